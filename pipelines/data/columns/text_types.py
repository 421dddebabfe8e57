"""Types of columns of text, inferred from their words: numbers and dates in any form, Booleans, codes, strings."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from pipelines.data.columns.date_forms import find_date_form
from pipelines.data.columns.duration_forms import DURATION_CLOCKS, find_duration_form, note_durations
from pipelines.data.columns.number_forms import (
    NO_MARKS,
    FormConflict,
    Marks,
    find_factors,
    find_marks,
    is_money,
    make_form,
    split_numbers,
)
from pipelines.data.columns.source_types import ColumnKind
from pipelines.data.columns.written_forms import find_written_form, note_written
from pipelines.spec.data_spec import DataSpec
from tracking.mlflow.cell_values import PLAIN, CellForm, read_number, read_words, split_number, write_word
from tracking.mlflow.time_values import split_duration

ISO_DATE = r"\d{4}[-/]\d{2}[-/]\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
PANDAS_MISSING = frozenset({"NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A", "#NA"})
"""Words that `pandas.read_csv` makes missing values of."""
_GAP_WORDS = frozenset(
    {
        *(
            "?",
            "??",
            "-",
            "--",
            "---",
            ".",
            "..",
            "n.a.",
            "n. a.",
            "k.a.",
            "k. a.",
            "s/d",
            "nd",
            "\\n",
            "(null)",
            "nil",
        ),
        *("missing", "(missing)", "(blank)", "not available", "not applicable", "keine angabe", "fehlt"),
        *("#n/a", "#value!", "#div/0!", "#ref!", "#name?", "#num!", "#null!", "#wert!", "#bezug!"),
    }
)
"""Words by which people and spreadsheets mean "missing", in lower case; pandas keeps them."""
_HAS_ZONE = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})$")
_MOST_SAMPLED = 1_000
_FEWEST_MEASURED = 5  # distinct values with a unit that may be measurements
_ENDLESS = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})
_DOUBTFUL_DOT = re.compile(r"[-+]?[1-9]\d{0,2}\.\d{3}")


@dataclass(frozen=True)
class ReadingRules:
    """What the study file and the other columns determine about the text of a column.

    Attributes:
        dayfirst: whether dates have the day before the month; None where their words decide.
        date_format: form of its dates or durations as `strptime` takes it; empty where it is found.
        unit: unit of numbers that are dates; empty where they are none.
        others: the marks that other columns of the file show.
    """

    decimal: str | None = None
    thousands: str | None = None
    dayfirst: bool | None = None
    date_format: str = ""
    unit: str = ""
    others: Marks = NO_MARKS

    @classmethod
    def of_column(cls, name: str, spec: DataSpec, others: Marks = NO_MARKS) -> ReadingRules:
        """Return the rules of one column."""
        chosen = spec.columns.get(name)

        def choose(key: str) -> object:
            own = getattr(chosen, key, None)
            return getattr(spec, key) if own is None else own

        date_format, unit = (chosen.format or "", chosen.unit or "") if chosen else ("", "")
        return cls(choose("decimal"), choose("thousands"), choose("dayfirst"), date_format, unit, others)  # type: ignore[arg-type]


@dataclass(frozen=True)
class TextType:
    """Type of a column of text, the form of its values, and a note for the user if it was found by a form."""

    kind: ColumnKind
    form: CellForm = PLAIN
    note: str = ""


def infer_type(words: Sequence[str], name: str, rules: ReadingRules) -> TextType | None:
    """Return the type of a column by its distinct known words; None where no one type has them all.

    Raises:
        FormConflict: if the words fit several forms, or contradict each other.
    """
    if {word.lower() for word in words[:3]} <= {"true", "false"} and {word.lower() for word in words} <= {
        "true",
        "false",
    }:
        return TextType("boolean")
    if has_leading_zeros(words):
        return TextType("string", find_word_form(words), _note_codes(words, name))
    if (dates := _find_compact_dates(words, name, rules)) is not None:
        return dates
    if (form := find_numbers(words, rules)) is not None:
        return TextType("numeric", form, _note_numbers(words, form, name, rules))
    if pd.Series(list(words)).str.fullmatch(ISO_DATE).all():
        return TextType("date", note=_note_zones(words, name))
    return find_time_type(words, name, rules)


def find_time_type(words: Sequence[str], name: str, rules: ReadingRules) -> TextType | None:
    """Return the type of words that are durations, dates in another form than ISO's, or numbers in parts; else None.

    Raises:
        FormConflict: if the words fit several forms.
    """
    if (form := find_duration_form(words, name, is_number=False)) is not None:
        return TextType("numeric", form, note_durations(words, form, name))
    if (form := find_dates(words, rules)) is not None:
        return TextType("date", form, _note_dates(words, form, name))
    if (form := find_written_form(words, name, is_number=False)) is not None:
        return TextType("numeric", form, note_written(words, form, name))
    return None


def find_numbers(words: Sequence[str], rules: ReadingRules) -> CellForm | None:
    """Return the form in which all words are numbers; None where there is none.

    Raises:
        FormConflict: if there are several.
    """
    if rules.decimal in (None, ".") and rules.thousands is None and _are_plain(words, rules):
        return PLAIN
    finite = [word for word in words if word.lower() not in _ENDLESS]
    parts = split_numbers(finite)
    if not parts or (factors := find_factors(parts)) is None:
        return None
    if (marks := find_marks(each.body for each in parts)) is None:
        return None
    form = make_form(_resolve_marks(marks, rules, parts[0].before if is_money(factors) else None), factors)
    return form if np.isfinite(read_words(finite, "numeric", form)).all() else None


def find_unknown_unit(words: Sequence[str]) -> str:
    """Return the one text behind all words, which are numbers otherwise, such as "PS" in 75 PS; "" for none."""
    parts = split_numbers(words) if words else None
    try:
        if parts and find_marks(each.body for each in parts) is None:
            return ""  # 5'18" is no number of anything
    except FormConflict:
        return ""
    texts = {(each.before, each.after) for each in parts or ()}
    return next(iter(texts))[1] if len(texts) == 1 and not next(iter(texts))[0] else ""


def find_amounts(words: Sequence[str], name: str, rules: ReadingRules) -> CellForm | None:
    """Return the form in which all words are numbers, or durations in seconds; None where there is none.

    Raises:
        FormConflict: if there are several.
    """
    clock = rules.date_format if rules.date_format in DURATION_CLOCKS else ""
    form = None if clock else find_numbers(words, rules)
    form = form or find_duration_form(words, name, clock, is_number=True)
    form = form or (None if clock else find_written_form(words, name, is_number=True))
    if form is None and (unit := find_unknown_unit(words)):
        # Who declares a number has decided what an unknown unit is.
        bare = find_numbers([word.removesuffix(unit).rstrip() for word in words], rules)
        form = None if bare is None else replace(bare, factors=((unit, 1.0),))
    return form


def find_target_form(words: Sequence[str], name: str, rules: ReadingRules) -> CellForm | None:
    """Return the form in which all words of a target are numbers, in parts too, or durations; None where there is none.

    Two numbers of a clock, such as 08:30, are classes: nothing shows whether they are hours or minutes.

    Raises:
        FormConflict: if there are several.
    """
    form = find_numbers(words, rules) or find_written_form(words, name, is_number=False)
    if form is not None:
        return form
    is_short = all((split_duration(word) or ("",))[0] == "short clock" for word in words)
    return None if is_short else find_duration_form(words, name, is_number=True)


def find_file_marks(columns: Sequence[Sequence[str]]) -> Marks:
    """Return the marks that all columns of numbers agree on, each given by some of its words."""
    decimals: set[str] = set()
    groups: set[str] = set()
    for words in columns:
        parts = split_numbers(words[:_MOST_SAMPLED])
        try:
            marks = find_marks(each.body for each in parts) if parts else None
        except FormConflict:
            continue
        if marks is not None:
            decimals |= {marks.decimal} if marks.decimal else set()
            groups |= {marks.thousands} if marks.thousands else set()
    decimal = next(iter(decimals)) if len(decimals) == 1 else None
    group = next(iter(groups)) if len(groups) == 1 and groups != decimals else None
    return Marks(decimal, group)


def find_dates(words: Sequence[str], rules: ReadingRules) -> CellForm | None:
    """Return the form in which all words are dates; None where there is none.

    Raises:
        FormConflict: if there are several.
    """
    if rules.unit or rules.date_format:
        return CellForm(date_format=rules.date_format, unit=rules.unit)
    return find_date_form(words, rules.dayfirst)


def find_word_form(words: Sequence[str], *, has_gaps: bool = True) -> CellForm:
    """Return how numbers and missing values of a deployed model's table become words of a column of strings."""
    lost_words = [word for word in words if word in PANDAS_MISSING]
    # A table reader has made a missing value of the category "NA".
    absent = lost_words[0] if len(lost_words) == 1 and not has_gaps else ""
    return replace(_find_number_words(words), absent=absent)


def _find_number_words(words: Sequence[str]) -> CellForm:
    digits = [word for word in words if word.isdecimal()]
    lost = [word for word in words if (number := read_number(word)) == number and write_word(number) != word]
    if not lost:
        return PLAIN
    lengths = {len(word) for word in digits}
    # Whole numbers find their word again if all words of digits are equally long.
    is_padded = len(lengths) == 1 and set(lost) <= set(digits)
    return CellForm(digits=lengths.pop()) if is_padded else CellForm(refuses_numbers=True)


def has_leading_zeros(words: Sequence[str]) -> bool:
    """Return whether all words are digits, and some begin with a zero that a number would lose."""
    return all(word.isdecimal() for word in words) and any(len(word) > 1 and word[0] == "0" for word in words)


def is_number(word: str) -> bool:
    """Return whether a word is a number in whatever form is known."""
    parts = split_number(word)
    if parts is None:
        return False
    try:
        return find_factors([parts]) is not None and find_marks([parts.body]) is not None
    except FormConflict:
        return False


def _are_plain(words: Sequence[str], rules: ReadingRules) -> bool:
    """Return whether all words are numbers as Python writes them, without a doubt about their dots."""
    if pd.to_numeric(pd.Series(list(words)), errors="coerce").isna().any():
        return False
    dotted = [word for word in words if "." in word]
    if rules.decimal == "." or not all(_DOUBTFUL_DOT.fullmatch(word) for word in dotted):
        return True
    # A number of four digits without a dot shows that dots stand between no thousands.
    return not dotted or any("." not in word and len(word.lstrip("+-")) > 3 for word in words)


def _resolve_marks(marks: Marks, rules: ReadingRules, currency: str | None) -> Marks:
    """Return the marks with their doubt resolved; `currency` is what stands before amounts, None where none is money.

    Raises:
        FormConflict: if nothing resolves it.
    """
    mark = marks.doubtful
    if rules.decimal is not None or rules.thousands is not None:
        decimal = rules.decimal or ("," if rules.thousands == "." else ".")
        found = marks.thousands or (mark if mark != decimal else None)
        return Marks(decimal, rules.thousands if rules.thousands is not None else found)
    if not mark:
        return marks
    others = rules.others
    if marks.thousands is not None:
        if others.decimal == mark:
            return Marks(mark, marks.thousands)
        raise FormConflict(
            f"holds {marks.example} beside {marks.beside}, of which only one may have a mark between thousands; set "
            f'thousands: "{marks.thousands}" and decimal: "{mark}"'
        )
    if others.decimal == mark:
        return Marks(mark)
    if others.thousands == mark or others.decimal is not None:
        return Marks(None, mark)
    # Whole numbers below 1000 beside a comma or beside amounts show thousands, and so does a comma behind a $.
    if (marks.beside and (mark == "," or currency is not None)) or (mark == "," and currency):
        return Marks(None, mark)
    if mark == "." and not marks.beside and currency is None:
        return Marks(mark)
    beside = f" beside {marks.beside}" if marks.beside else ""
    joined, other = marks.example.replace(mark, ""), marks.example.replace(mark, ".")
    raise FormConflict(
        f'holds {marks.example}{beside}, which may be {joined} or {other}; set thousands: "{mark}" or decimal: "{mark}"'
    )


def _find_compact_dates(words: Sequence[str], name: str, rules: ReadingRules) -> TextType | None:
    """Return the type of words such as 20200131, which are whole numbers too."""
    if rules.date_format or not all(len(word) == 8 and word.isdecimal() for word in words):
        return None
    form = find_date_form(words, rules.dayfirst)
    return None if form is None else TextType("date", form, _note_dates(words, form, name))


def _note_numbers(words: Sequence[str], form: CellForm, name: str, rules: ReadingRules) -> str:
    if doubtful := find_doubtful_dot(words, form, rules):
        shown = f'column "{name}" holds {doubtful}, read as {float(doubtful):.12g}'
        return f'{shown}; if "." stands between thousands, set data.columns.{name}.thousands: "."'
    example = next((word for word in words if not _is_python_number(word)), "")
    marked = next((word for word in words if form.thousands and form.thousands in word), "")
    example = marked or example
    if not example:
        return ""
    units = sorted({text for text, _ in form.factors})
    unit = " (per cent)" if "%" in units else f" {_name_unit(form)}" if _name_unit(form) else ""
    advice = f"if they are categories, set data.columns.{name}.type: string"
    if _is_python_number(example):
        advice = f'"{form.thousands}" stands between thousands; if it does not, set data.columns.{name}.decimal'
    return (
        f'column "{name}" holds numbers such as {example!r}, read as {read_number(example, form):.12g}{unit}; {advice}'
    )


def find_doubtful_dot(words: Sequence[str], form: CellForm, rules: ReadingRules) -> str:
    """Return a word whose dot is taken for a decimal mark, though it may stand between thousands in every word.

    "" where something shows what it is: a word, another column of the file, or the study file.
    """
    is_shown = rules.decimal is not None or rules.thousands is not None or rules.others.decimal == "."
    if is_shown or form != PLAIN or not all(_DOUBTFUL_DOT.fullmatch(word) for word in words):
        return ""
    return words[0]


def _is_python_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _name_unit(form: CellForm) -> str:
    """Return the unit that numbers come in, where a column's texts have several."""
    return next((text for text, factor in form.factors if factor == 1.0 and len(form.factors) > 1), "")


def _note_dates(words: Sequence[str], form: CellForm, name: str) -> str:
    days = float(read_words([words[0]], "date", form)[0])
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)
    shown = at.strftime("%H:%M") if form.is_time else f"{at:%Y-%m-%d}" if days == int(days) else f"{at:%Y-%m-%d %H:%M}"
    what = "times of day" if form.is_time else "dates"
    if form.is_time and not re.search("[AaPp][Mm]", words[0]):
        return (
            f'column "{name}" holds times of day such as {words[0]!r}, read as {shown}; for durations set '
            f'data.columns.{name}.type: numeric, for another form data.columns.{name}.format (now "{form.date_format}")'
        )
    return (
        f'column "{name}" holds {what} such as {words[0]!r}, read as {shown}; if another form is meant, set '
        f'data.columns.{name}.format (now "{form.date_format}") or its type'
    )


def _note_zones(words: Sequence[str], name: str) -> str:
    """Return a note where some times have an offset from UTC and others have none; "" elsewhere."""
    timed = [word for word in words if ":" in word]
    local = next((word for word in timed if not _HAS_ZONE.search(word)), "")
    if not local or not any(map(_HAS_ZONE.search, timed)):
        return ""
    return (
        f'column "{name}" holds times with an offset from UTC beside others without, such as {local!r}, which are read '
        "as UTC; if they are local times, write their offset in the file"
    )


def _note_codes(words: Sequence[str], name: str) -> str:
    example = next(word for word in words if len(word) > 1 and word[0] == "0")
    return (
        f'column "{name}" holds codes such as {example!r}, whose zeros a number would lose, and is read as strings; if '
        f"they are amounts, set data.columns.{name}.type: numeric"
    )


def note_missing_words(words: Sequence[str], form: CellForm, name: str) -> str:
    """Return a note on categories that `pandas.read_csv` takes for missing values; "" where there are none."""
    found = [word for word in words if word in PANDAS_MISSING]
    if not found and (gap := find_gap_word(words)):
        return (
            f'"{gap}" is a category of column "{name}"; if it means "missing", set data.missing_values: '
            f"{{{json.dumps(name, ensure_ascii=False)}: [{json.dumps(gap, ensure_ascii=False)}]}}"
        )
    if not found:
        return ""
    if form.absent:
        return f'"{found[0]}" is a category of column "{name}", which a deployed model takes a missing value for'
    return (
        f'"{found[0]}" is a category of column "{name}"; if it means "missing", name it in data.missing_values; else '
        "read a deployed model's tables with keep_default_na=False, since pandas makes missing values of it"
    )


def note_unknown_unit(words: Sequence[str], name: str) -> str:
    """Return a note on categories that are numbers with an unknown unit; "" where they are few, or others."""
    if len(words) < _FEWEST_MEASURED or not (unit := find_unknown_unit(words)):
        return ""
    return (
        f'column "{name}" holds numbers with "{unit}" behind, such as {words[0]!r}, which are taken for categories; to '
        f"read them as numbers, set data.columns.{name}.type: numeric"
    )


def find_gap_word(words: Sequence[str]) -> str:
    """Return the first word by which people mean "missing"; "" where there is none."""
    return next((word for word in words if word.lower() in _GAP_WORDS), "")


def describe_word_form(form: CellForm, name: str) -> str:
    """Return a note on what a deployed model does with numbers in a column of strings; "" where nothing is special."""
    if form.digits:
        return f'a deployed model pads whole numbers in column "{name}" to {form.digits} digits'
    if form.refuses_numbers:
        return (
            f'a deployed model refuses numbers in column "{name}", whose words have zeros that a number loses: '
            f'read its table with dtype={{"{name}": str}}'
        )
    return ""
