"""One column's type and values, with notes on how they were found."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.cell_text import clean_text, find_cell_rules, mark_missing_words
from pipelines.data.columns.compound_words import note_compound
from pipelines.data.columns.date_forms import measure_fit
from pipelines.data.columns.duration_forms import find_duration_form
from pipelines.data.columns.list_columns import is_list_column, read_list_column
from pipelines.data.columns.number_forms import NO_MARKS, FormConflict, Marks
from pipelines.data.columns.source_types import ColumnKind, convert_values, find_source_kind, mark_missing_cells
from pipelines.data.columns.text_columns import is_text
from pipelines.data.columns.text_types import (
    ISO_DATE,
    ReadingRules,
    TextType,
    describe_word_form,
    find_amounts,
    find_dates,
    find_numbers,
    find_time_type,
    find_word_form,
    has_leading_zeros,
    infer_type,
    is_number,
    note_missing_words,
    note_unknown_unit,
)
from pipelines.data.columns.written_forms import note_fractions
from pipelines.data.raw import RawData
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem
from tracking.mlflow.cell_values import PLAIN, CellForm, list_missing_numbers, read_number, read_words
from tracking.mlflow.time_values import split_duration

MIXED_FROM = 0.1
"""Share of numbers among other words from which a column has mixed types."""
_DRESSED_FROM = 0.5
_FEW_WORDS = 10
_FRACTIONS_FROM = 0.5
_MOST_NAMED = 3  # words that a message writes as a setting
_BOUND = re.compile(r"(?:[<>≤≥~≈]=?|ca\.|approx\.) ?(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?) ?\+")
_EXPECTED = {
    "boolean": "true or false (yes/no, y/n, t/f, on/off, 1/0)",
    "date": "a date such as 2024-05-01",
    "numeric": "a number",
}


@dataclass(frozen=True)
class ColumnReading:
    """Type and values of a column; see `columns.Column`."""

    kind: ColumnKind
    values: Array
    form: CellForm = PLAIN
    why: str = ""
    notes: tuple[str, ...] = ()
    unrepresentable: int = 0


def read_column(series: pd.Series, name: str, raw: RawData, spec: DataSpec, others: Marks = NO_MARKS) -> ColumnReading:
    """Return one column's type and values.

    Args:
        series: its cells.
        name: its name.
        raw: the rows: whether cells are text, and the place of each row.
        spec: the study file's `data`.
        others: the marks in numbers that the columns of the source agree on.

    Raises:
        InputError: for mixed types, values that do not fit the declared type, and forms that are in doubt.
    """
    series = series.rename(name)
    chosen = spec.columns.get(name)
    declared = (chosen.type or ("date" if chosen.format or chosen.unit else None)) if chosen else None
    cell_rules = find_cell_rules(name, spec)
    if name in raw.pictures:
        return ColumnReading("image", raw.pictures[name], why="data.columns" if declared else "every value")
    if declared == "image":
        raise InputError(Problem("pictures cannot be read of these rows; remove this key", f"data.columns.{name}.type"))
    if is_list_column(series, declared, is_text=raw.text):
        lists = read_list_column(series, name, raw, spec, cell_rules)
        why = "data.columns" if declared else "every value"
        return ColumnReading(lists.kind, lists.values, lists.form, why, tuple(filter(None, (lists.note,))))
    found = None if raw.text else find_source_kind(series, name, raw, cell_rules.missing)
    if found is not None and found != "string" and declared in (None, found):
        known = series.mask(mark_missing_cells(series, cell_rules.missing))
        finished = finish_numbers(convert_values(known, found), found, cell_rules, spec, "the source's type")
        lost = _note_lost_digits(series.nunique(), finished.values, name) if found == "numeric" else ()
        return replace(finished, notes=(*_note_durations(series, name), *lost))
    cells = clean_text(series, spec)
    rules = ReadingRules.of_column(name, spec, others)
    words = pd.unique(cells[~mark_missing_words(cells)]).tolist()
    if declared in ("string", "text") or (declared is None and found == "string"):
        is_free = declared is None and not _is_encoded(spec, name)
        type_ = TextType("text" if declared == "text" else "string")
        if is_free and not isinstance(series.dtype, pd.CategoricalDtype):
            type_ = _look_at_words(words, name, rules)
        why = "data.columns" if declared else "the source's type"
        if type_.kind in ("date", "numeric"):
            return _parse(cells, type_, name, raw, spec, cell_rules, "every value")
        return _finish_words(cells, type_, name, cell_rules, why, guesses=is_free)
    if declared is not None and declared != "list":
        form = _find_declared_form(words, declared, name, rules)
        return _parse(cells, TextType(declared, form), name, raw, spec, cell_rules, "data.columns")
    type_ = _infer(words, cells, name, raw, rules)
    if type_.kind == "string":
        free = not type_.note and not _is_encoded(spec, name)
        return _finish_words(cells, type_, name, cell_rules, "words", guesses=free)
    return _parse(cells, type_, name, raw, spec, cell_rules, "every value")


def _look_at_words(words: list[str], name: str, rules: ReadingRules) -> TextType:
    """Return the type of a column of strings in a source with types, which has no type for dates or lost another."""
    column = pd.Series(words, dtype=object)
    if words and column.str.fullmatch(ISO_DATE).all():
        note = f'column "{name}" holds text that is read as dates; for categories set data.columns.{name}.type: string'
        return TextType("date", note=note)
    if words and (found := _find_times(words, name, rules)) is not None:
        return found
    if len(words) > _FEW_WORDS and not has_leading_zeros(words) and all(map(is_number, words)):
        # Codes have no fractions.
        if (form := _find_fractions(words, rules)) is not None:
            shown = f'column "{name}" holds numbers as text, such as {words[0]!r}, read as'
            advice = f"if they are categories, set data.columns.{name}.type: string"
            return TextType("numeric", form, f"{shown} {read_number(words[0], form):.12g}; {advice}")
        shown = f'column "{name}" holds numbers as text, such as {words[0]!r}, which are taken for categories'
        return TextType("string", note=f"{shown}; for numbers set data.columns.{name}.type: numeric")
    return TextType("string")


def _find_times(words: list[str], name: str, rules: ReadingRules) -> TextType | None:
    """Return the type of durations and of dates that are not ISO's; of what is in doubt strings, with a note."""
    try:
        return find_time_type(words, name, rules)
    except FormConflict as conflict:
        shown = f"{_explain_conflict(str(conflict), name)}; it is read as categories"
        return TextType("string", note=shown)


def _find_fractions(words: list[str], rules: ReadingRules) -> CellForm | None:
    """Return the form of numbers of which half have decimals; None for whole ones, and where the form is in doubt."""
    try:
        form = find_numbers(words, rules)
    except FormConflict:
        return None
    if form is None:
        return None
    values = read_words(words, "numeric", form)
    return form if np.mean(np.mod(values, 1) != 0) >= _FRACTIONS_FROM else None


def _note_durations(series: pd.Series, name: str) -> tuple[str, ...]:
    if not pd.api.types.is_timedelta64_dtype(series.dtype):
        return ()
    return (f'column "{name}" holds durations, which are read as seconds; write another unit as a number',)


def _is_encoded(spec: DataSpec, name: str) -> bool:
    # An encoding is for categories: who sets one has decided.
    chosen = spec.columns.get(name)
    return chosen is not None and chosen.encoding is not None


def _infer(words: list[str], cells: pd.Series, name: str, raw: RawData, rules: ReadingRules) -> TextType:
    if not words:
        return TextType("numeric")
    try:
        found = infer_type(words, name, rules)
    except FormConflict as conflict:
        raise InputError(Problem(_explain_conflict(str(conflict), name), "data.source")) from None
    if found is not None:
        return found
    _check_unmixed(words, cells, name, raw)
    return TextType("string")


def _find_declared_form(words: list[str], kind: ColumnKind, name: str, rules: ReadingRules) -> CellForm:
    """Return the form of words of a declared type; the plain one where none has them all."""
    if not words or kind == "boolean":
        return PLAIN
    try:
        if kind == "numeric":
            plain = CellForm(rules.decimal or ".", rules.thousands or "")
            numbers = [word for word in words if is_number(word)]
            return find_amounts(words, name, rules) or (find_numbers(numbers, rules) if numbers else None) or plain
        if (form := find_dates(words, rules)) is not None:
            return form
        date_format, share = measure_fit(words)
        return CellForm(date_format=date_format) if share >= _DRESSED_FROM else PLAIN
    except FormConflict as conflict:
        raise InputError(Problem(_explain_conflict(str(conflict), name), f"data.columns.{name}")) from None


def _explain_conflict(conflict: str, name: str) -> str:
    if "change places" in conflict:
        advice = f"set data.dayfirst or data.columns.{name}.dayfirst to true or false"
    elif "; set thousands" in conflict:
        advice = f"under data.columns.{name}, or under data for all columns"
        return f'column "{name}" {conflict} {advice}'
    else:
        advice = f"correct them, or set data.columns.{name}.type to string"
    return f'column "{name}" {conflict}; {advice}'


def _check_unmixed(words: list[str], cells: pd.Series, name: str, raw: RawData) -> None:
    """Refuse a column of numbers or dates among other words.

    Raises:
        InputError: if there are too many to be categories.
    """
    known = cells[~mark_missing_words(cells)]
    plain = pd.to_numeric(known, errors="coerce").notna().to_numpy(dtype=bool)
    if plain.mean() >= MIXED_FROM:
        raise InputError(_explain_mixed_types(known, plain, "number", name, raw))
    fits = known.map({word: is_number(word) for word in words}).to_numpy(dtype=bool)
    if fits.mean() >= _DRESSED_FROM:
        raise InputError(_explain_mixed_types(known, fits, "number", name, raw))
    iso = read_words(known.tolist(), "date")
    if np.isfinite(iso).mean() >= MIXED_FROM and known.str.fullmatch(r"\d{4}[-/].*").mean() >= MIXED_FROM:
        raise InputError(_explain_mixed_types(known, np.isfinite(iso), "date", name, raw))
    if (fits := _mark_durations(known, words, name)).mean() >= _DRESSED_FROM:
        raise InputError(_explain_mixed_types(known, fits, "duration", name, raw))
    date_format, share = measure_fit(words)
    if share >= _DRESSED_FROM:
        fits = np.isfinite(read_words(known.tolist(), "date", CellForm(date_format=date_format)))
        raise InputError(_explain_mixed_types(known, fits, "date", name, raw))


def _mark_durations(known: pd.Series, words: list[str], name: str) -> Array:
    """Return which cells are durations, bool [cell]; none where these have no form in common."""
    durations = [word for word in words if split_duration(word) is not None]
    try:
        form = find_duration_form(durations, name, is_number=False)
    except FormConflict:
        form = None
    return known.isin(durations if form is not None else []).to_numpy(dtype=bool)


def _explain_mixed_types(known: pd.Series, fits: Array, word: str, name: str, raw: RawData) -> Problem:
    if fits.all():
        return _explain_several_forms(known, word, name, raw)
    good, bad = known[fits], known[~fits]
    good_place, bad_place = (raw.format_place(int(each.index[0])) for each in (good, bad))
    words = pd.unique(bad).tolist()
    named = ", ".join(json.dumps(each, ensure_ascii=False) for each in words)
    gaps = f": {{{json.dumps(name, ensure_ascii=False)}: [{named}]}}" if len(words) <= _MOST_NAMED else ""
    if bounds := _find_bounds(words):
        gaps += f", read them as numbers by data.columns.{name}.replace: {{{bounds}}}"
    return Problem(
        f'column "{name}" mixes types: {good.iloc[0]!r} at {good_place} is a {word}, '
        f"{bad.iloc[0]!r} at {bad_place} is not ({len(bad)} of {len(known)} values are no {word}s, at "
        f"{raw.format_places(bad.index)}); correct them, name them in data.missing_values{gaps}, or set "
        f"data.columns.{name}.type to string{_explain_end(bad, raw)}",
        "data.source",
    )


def _find_bounds(words: list[str]) -> str:
    """Return, as a setting, the numbers in words such as <0.01 and 100+; "" where a word is none, or they are many."""
    found = [_BOUND.fullmatch(word) for word in words]
    if len(words) > _MOST_NAMED or not all(found):
        return ""
    return ", ".join(f'"{each[0]}": "{each[1] or each[2]}"' for each in found if each is not None)


def _explain_end(bad: pd.Series, raw: RawData) -> str:
    """Return advice where the only row that does not fit is the first or the last one."""
    origin = raw.origins[0]
    if not raw.text or len(raw.origins) > 1 or len(bad) > 1:
        return ""
    row = int(bad.index[0])
    if row == 0:
        line = int(origin.numbers[0])
        return f"; if {origin.word} {line} belongs to the header, set data.skiprows: {line} and data.names"
    return "; if that row is none, set data.skipfooter: 1" if row == raw.rows - 1 else ""


def _explain_several_forms(known: pd.Series, word: str, name: str, raw: RawData) -> Problem:
    """Return the problem of a column whose values are all numbers or dates, but have no form in common."""
    shapes = known.str.replace(r"\d+", "0", regex=True)
    first, other = known.index[0], shapes.index[int((shapes != shapes.iloc[0]).to_numpy().argmax())]
    pair = f"{known[first]!r} at {raw.format_place(int(first))}"
    pair += f" and {known[other]!r} at {raw.format_place(int(other))}" if other != first else ""
    message = (
        f'column "{name}" holds {word}s that no one form reads, such as {pair}; correct them, set the form under '
        f"data.columns.{name}, or its type to string"
    )
    return Problem(message, "data.source")


def _parse(
    cells: pd.Series, type_: TextType, name: str, raw: RawData, spec: DataSpec, cell_rules: CellForm, why: str
) -> ColumnReading:
    """Return text as numbers, Booleans or dates of a form, with notes.

    Raises:
        InputError: if a value is none.
    """
    values = parse_cells(cells, type_, name, raw, spec)
    form = replace(type_.form, missing=cell_rules.missing, replaced=cell_rules.replaced)
    found = finish_numbers(values, type_.kind, form, spec, why)
    words = pd.unique(cells[~mark_missing_words(cells)])
    whole = sum(word.lstrip("+-").isdecimal() for word in words)
    lost = _note_lost_digits(whole, found.values, name) if type_.kind == "numeric" else ()
    return replace(found, notes=tuple(filter(None, (type_.note, *lost))))


def parse_cells(cells: pd.Series, type_: TextType, name: str, raw: RawData, spec: DataSpec) -> Array:
    """Return text as numbers, Booleans or dates of a form, float64 [row] with NaN for missing.

    Raises:
        InputError: if a value is none.
    """
    missing = mark_missing_words(cells)
    values = np.full(len(cells), np.nan)
    codes, words = pd.factorize(cells[~missing])
    if len(words):
        values[~missing] = read_words(words.tolist(), type_.kind, type_.form)[codes]
    bad = np.flatnonzero(np.isnan(values) & ~missing)
    if not len(bad):
        return values
    expected = _describe_expected(type_)
    message = f'column "{name}": expected {expected}, got {cells.iloc[bad[0]]!r} at {raw.format_place(int(bad[0]))}'
    more = f" ({len(bad)} such values, at {raw.format_places(bad)})" if len(bad) > 1 else ""
    if name in spec.columns:
        raise InputError(Problem(message + more, f"data.columns.{name}.type"))
    advice = f"; correct them, name them in data.missing_values, or set data.columns.{name}.type to string"
    raise InputError(Problem(message + more + advice, "data.source"))


def _describe_expected(type_: TextType) -> str:
    form = type_.form
    if form.unit:
        return f"a number of the unit {form.unit}, which is a date"
    if form.date_format:
        return f'a date of the form "{form.date_format}"'
    if form.duration:
        return "a duration such as 1h 30m or 01:30:00"
    return 'a number with "," before its decimals' if form.decimal == "," else _EXPECTED[type_.kind]


def finish_numbers(values: Array, kind: ColumnKind, form: CellForm, spec: DataSpec, why: str) -> ColumnReading:
    """Return numbers with NaN for those that mean "missing", and those that the model's float32 cannot hold."""
    if kind == "numeric" and (marked := list_missing_numbers(form.missing)):
        values = np.where(np.isin(values, marked), np.nan, values)
    fits = np.isnan(values) | (np.abs(values) <= np.finfo(np.float32).max)
    return ColumnReading(kind, np.where(fits, values, np.nan), form, why, unrepresentable=int((~fits).sum()))


def _finish_words(
    cells: pd.Series, type_: TextType, name: str, cell_rules: CellForm, why: str, *, guesses: bool
) -> ColumnReading:
    values = cells.to_numpy(dtype=object)
    notes = [type_.note]
    kind: ColumnKind = "text" if type_.kind == "text" or (guesses and is_text(values)) else "string"
    if kind == "text" and guesses:
        notes.append(
            f'column "{name}" holds sentences and is read word by word; if its values are categories, set '
            f"data.columns.{name}.type: string"
        )
    words = pd.unique(cells).tolist()
    form = find_word_form([word for word in words if word], has_gaps="" in words)
    notes += [describe_word_form(form, name), note_missing_words(words, form, name)]
    if guesses and kind == "string":
        known = [word for word in words if word]
        usual = note_unknown_unit(known, name) or note_fractions(known, name)
        notes.append(usual or note_compound(known, name))
    form = replace(form, missing=cell_rules.missing, replaced=cell_rules.replaced)
    return ColumnReading(kind, values, form, why, tuple(filter(None, notes)))


def _note_lost_digits(apart: int, values: Array, name: str) -> tuple[str, ...]:
    """Return a note if so many distinct whole numbers, beyond 2^24, become fewer in float32."""
    known = np.unique(values[np.isfinite(values)])
    if not len(known) or np.abs(known).max() <= 2**24 or not np.equal(np.mod(known, 1), 0).all():
        return ()
    left = len(np.unique(known.astype(np.float32)))
    if left >= apart:
        return ()
    advice = f"if it is an identifier, name it in data.drop, or set data.columns.{name}.type: string"
    return (
        f'column "{name}": {apart} whole numbers are {left} in the model, whose float32 is exact to 16777216; {advice}',
    )
