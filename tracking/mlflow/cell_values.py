"""Cells of a table as values: the one reading that training and a deployed model share.

A deployed model has a copy of this file beside its loader, so nothing of kerastudy is imported here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Relative: beside this file in kerastudy and in a model's folder, where the package has another name.
from .time_values import count_days_in, parse_dates, read_duration
from .written_numbers import read_written

MISSING_WORDS = frozenset({"na", "n/a", "nan", "null", "none", "<na>"})
"""Words that mean "missing" among numbers, Booleans and dates, in lower case."""

_TRUE = ("true", "t", "yes", "y", "on", "1", "1.0", "ja", "j", "wahr", "oui", "o", "vrai", "si", "sí", "sim", "да")
_FALSE = ("false", "f", "no", "n", "off", "0", "0.0", "nein", "falsch", "non", "faux", "não", "нет")
BOOLEANS = {**dict.fromkeys(_TRUE, 1.0), **dict.fromkeys(_FALSE, 0.0)}
"""Words of a column of Booleans, in lower case."""

# Some text, then digits with their marks, then some text; a minus may stand on either side, brackets mean one.
_NUMBER = re.compile(
    r"(?P<open>\()?\s*(?P<sign>[-+]?)\s*(?P<before>[^\d\s.,()+-][^\d(),+-]*?)?\s*(?P<inner>[-+]?)\s*"
    r"(?P<body>[.,]?\d(?:[\d.,'_ ]*\d)?[.,]?(?:[eE][-+]?\d+)?)\s*"
    r"(?P<after>[^\d\s.,()+-][^()+-]*?)?\s*(?P<trailing>-)?(?P<close>\))?"
)
# January to December; names and their beginnings of German, French, Spanish, Italian, Dutch and Portuguese.
_MONTHS = (
    "jan janu janv january januar januari janvier jänner ene enero gen gennaio janeiro",
    "feb febr february februar februari fev fév févr fevr février fevrier febrero febbraio fevereiro",
    "mar mär mrz mrt march märz mars marzo maart março marco",
    "apr avr abr april avril abril aprile",
    "may mai mei mag mayo maggio maio",
    "jun june juni juin junio giu giugno junho",
    "jul july juli juil juillet julio lug luglio julho",
    "aug august août aout ago agosto augustus",
    "sep sept september septembre septiembre set settembre setembro",
    "oct okt out october oktober octobre octubre ott ottobre outubro",
    "nov november novembre noviembre novembro",
    "dec dez déc dic december dezember décembre diciembre dicembre dezembro",
)
# Monday to Sunday in the same languages but English, which `strptime` reads itself; "mar" is a month first.
_DAYS = (
    ("Mon", "mo montag lundi lun lunes lunedì ma maandag segunda segunda-feira"),
    ("Tue", "di dienstag mardi martes martedì dinsdag terça terça-feira"),
    ("Wed", "mi mittwoch mercredi mer miércoles mié mercoledì wo woensdag quarta quarta-feira"),
    ("Thu", "do donnerstag jeudi jeu jueves jue giovedì gio donderdag quinta quinta-feira"),
    ("Fri", "fr freitag vendredi ven viernes vie venerdì vr vrijdag sexta sexta-feira"),
    ("Sat", "sa samstag sonnabend samedi sam sábado sáb sabato sab za zaterdag"),
    ("Sun", "so sonntag dimanche dim domingo dom domenica zo zondag"),
)
_DAY_OF = {name: day for day, names in _DAYS for name in names.split()}
_MONTH_OF = {name: names[:3].capitalize() for names in _MONTHS for name in names.split()}
# Typographic minus signs, and blanks and apostrophes between groups of digits.
_PLAIN_MARKS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'"})


@dataclass(frozen=True)
class CellForm:
    """Form in which the text of a column holds its values.

    Attributes:
        decimal: mark before the fraction of a number.
        thousands: mark between groups of digits; empty for none.
        factors: texts around a number, such as "$" or "k", each with the factor that it stands for.
        date_format: form of a date as `datetime.strptime` takes it, with `%q` for a quarter; empty for ISO 8601.
        unit: unit of numbers that are dates, such as "s" since 1970; empty where none are.
        duration: clock of a column of durations (see `time_values`), which are seconds; empty for other numbers.
        written: way in which numbers are written in parts (see `written_numbers`); empty for other numbers.
        digits: digits of a column of codes such as 00501, which whole numbers are padded to; 0 where none is.
        refuses_numbers: whether a number is no word of this column of strings, as in "007" beside "42".
        absent: the word of a column of strings that a missing value stands for, where training had none missing.
        missing: words that mean "missing" in this column.
        replaced: words that stand for others, with these.
        mark: mark between the entries of a list in text; a blank for any blanks.
    """

    decimal: str = "."
    thousands: str = ""
    factors: tuple[tuple[str, float], ...] = ()
    date_format: str = ""
    unit: str = ""
    duration: str = ""
    written: str = ""
    digits: int = 0
    refuses_numbers: bool = False
    absent: str = ""
    missing: tuple[str, ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()
    mark: str = ","

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> CellForm:
        """Return the form of `dataclasses.asdict`'s result after JSON."""
        pairs = {name: tuple(tuple(pair) for pair in read.get(name, ())) for name in ("factors", "replaced")}
        return cls(**{**read, **pairs, "missing": tuple(read.get("missing", ()))})

    @property
    def is_time(self) -> bool:
        """Whether a date is a time of day alone."""
        return bool(self.date_format) and not re.search(r"%[dmYyjUWbBqGV]", self.date_format)


PLAIN = CellForm()
"""Numbers as Python writes them, ISO dates, and strings as they are."""


@dataclass(frozen=True)
class NumberParts:
    """Parts of a word that holds a number: the sign, texts around, and digits with their marks."""

    sign: int
    before: str
    body: str
    after: str


def split_number(word: str) -> NumberParts | None:
    """Return the parts of a word such as "-$1,234.50" or "(300 €)"; None if it is no number in any dress."""
    plain = word.translate(_PLAIN_MARKS).strip()
    # A currency may stand in front of the brackets: $(300).
    moved = re.fullmatch(r"([^\d()\s]+)\s*\((.*)\)", plain)
    found = _NUMBER.fullmatch(f"({moved[1]}{moved[2]})" if moved else plain)
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    minuses = [found["sign"] == "-", found["inner"] == "-", bool(found["trailing"]), bool(found["open"])]
    if sum(minuses) > 1:
        return None
    return NumberParts(-1 if any(minuses) else 1, found["before"] or "", found["body"], found["after"] or "")


def read_words(words: Sequence[str], kind: str, form: CellForm = PLAIN) -> Any:
    """Return words as numbers, as 0 and 1, or as days since 1970-01-01 UTC: float64 [word], NaN for what is none.

    Args:
        words: without blanks around and without missing ones.
        kind: numeric, boolean or date.
        form: the form of their column.
    """
    if kind == "boolean":
        return np.array([BOOLEANS.get(word.lower(), math.nan) for word in words], dtype=np.float64)
    if kind == "date":
        return _read_dates(words, form)
    if form.duration:
        return np.array([read_duration(word, form.duration) for word in words], dtype=np.float64)
    if form.written:
        return np.array([read_written(word, form.written) for word in words], dtype=np.float64)
    if form.decimal == "." and not form.thousands and not any("_" in word for word in words):
        try:
            return np.array(words, dtype=str).astype(np.float64)  # a tenth of the time, for most columns
        except ValueError:
            pass
    factors = dict(form.factors)
    return np.array([read_number(word, form, factors) for word in words], dtype=np.float64)


def read_number(word: str, form: CellForm = PLAIN, factors: Mapping[str, float] | None = None) -> float:
    """Return the number that a word holds in a column's form; NaN if it holds none.

    Args:
        word: without blanks around.
        form: the form of its column.
        factors: those of the form as a mapping, for many words of one column.
    """
    if form.written:
        return read_written(word, form.written)
    if form.decimal == "." and not form.thousands and "_" not in word:
        try:
            return float(word)
        except ValueError:
            pass  # in some dress, such as (300)
    elif word.lower().lstrip("+-") in ("inf", "infinity"):
        return float(word)
    parts = split_number(word)
    factors = dict(form.factors) if factors is None else factors
    if parts is None:
        return math.nan
    factor = float(parts.sign)
    for text in filter(None, (parts.before, parts.after)):
        factor *= factors.get(text, math.nan)
    return factor * _read_digits(parts.body, form)


def _read_digits(body: str, form: CellForm) -> float:
    digits, _, exponent = body.replace("E", "e").partition("e")
    whole, _, fraction = digits.partition(form.decimal)
    if form.thousands and form.thousands in whole:
        mark = re.escape(form.thousands)
        # Groups of two are India's: 12,34,567.
        inner = r"\d{2,3}" if form.thousands == "," else r"\d{3}"
        if not re.fullmatch(rf"\d{{1,3}}(?:{mark}{inner})*{mark}\d{{3}}", whole):
            return math.nan
        whole = whole.replace(form.thousands, "")
    if not all(each == "" or each.isdecimal() for each in (whole, fraction)):
        return math.nan
    return float(f"{whole or 0}.{fraction or 0}e{exponent or 0}")


def _read_dates(words: Sequence[str], form: CellForm) -> Any:
    import pandas as pd  # a deployed model of tensors does without

    if form.unit:
        return count_days_in([read_number(word) for word in words], form.unit)
    if form.date_format:
        dates = parse_dates(words, form.date_format)
        if re.search("%[ab]", form.date_format) and dates.isna().any():
            translated = [translate_months(translate_weekday(word)) for word in words]
            dates = dates.fillna(parse_dates(translated, form.date_format))
    else:
        plain = [word.replace("/", "-") for word in words]
        dates = pd.to_datetime(pd.Series(plain), utc=True, format="ISO8601", errors="coerce")
    days = count_days(dates)
    return np.mod(days, 1) if form.is_time else days


def translate_months(word: str) -> str:
    """Return a date with its month by its English abbreviation, and without the endings of English ordinals.

    >>> translate_months("5. Februar 2020"), translate_months("March 1st, 2020")
    ('5. Feb 2020', 'Mar 1, 2020')
    """
    word = re.sub(r"(?<=\d)(?:st|nd|rd|th|er)\b|\bde\s+", "", word, flags=re.IGNORECASE)
    return re.sub(r"[^\W\d_]+\.?", lambda each: _MONTH_OF.get(each[0].lower().rstrip("."), each[0]), word)


def translate_weekday(word: str) -> str:
    """Return a date with the weekday before it by its English abbreviation.

    >>> translate_weekday("Mi, 21.04.2021"), translate_weekday("lundi 5 mars 2021")
    ('Wed, 21.04.2021', 'Mon 5 mars 2021')
    """
    found = re.match(r"([^\W\d_]{2,10}(?:-feira)?)\.?(,? )(?=\d)", word)
    day = _DAY_OF.get(found[1].lower()) if found else None
    return word if found is None or day is None else f"{day}{found[2]}{word[found.end() :]}"


def count_days(dates: Any) -> Any:
    """Return a series of dates as days since 1970-01-01 UTC, float64 with NaN for missing ones."""
    import pandas as pd

    # By seconds: pandas converts to the finer of two units, and nanoseconds end in 1677 and 2262.
    first = pd.Timestamp(0, tz="UTC").as_unit("s")
    return ((dates - first) / pd.Timedelta(days=1)).to_numpy(dtype=np.float64)


def count_seconds(durations: Any) -> Any:
    """Return a series of durations as seconds, float64 with NaN for missing ones."""
    return durations.dt.total_seconds().to_numpy(dtype=np.float64)


def decode_bytes(value: bytes) -> str | None:
    """Return bytes as text; None where they are none."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def write_word(value: Any, form: CellForm = PLAIN) -> str:
    """Return a value of a column of strings as the word that training had; of a missing one (None) mostly "".

    Raises:
        ValueError: if it is a number, and a number may be several of the column's words.
    """
    if value is None:
        return form.absent
    if isinstance(value, bytes):
        value = decode_bytes(value) or ""
    if isinstance(value, str):
        return clean_word(value, form)
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        if form.refuses_numbers:
            raise ValueError("expected text, since training's words had zeros that a number lost")
        if float(value).is_integer():
            return clean_word(str(int(value)).zfill(form.digits), form)
    return clean_word(str(value), form)


def clean_word(word: str, form: CellForm = PLAIN) -> str:
    """Return a word without blanks around and after its replacement; "" for one that means "missing"."""
    word = word.strip()
    word = dict(form.replaced).get(word, word)
    return "" if word in form.missing else word


def list_missing_numbers(words: Sequence[str], form: CellForm = PLAIN) -> list[float]:
    """Return the numbers among the words that mean "missing": -999 is one however a table holds it."""
    numbers = (read_number(word, form) for word in (*words, *form.missing))
    return [number for number in numbers if math.isfinite(number)]
