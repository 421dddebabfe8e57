"""Forms of dates in a column's text: 31/12/2020, 05 Feb 2020, Dec-2019, 20200131, 14:05, 2 PM, 2020Q1, 2020-W05.

A form is found where every known value of a column is a date in it. Where day and month could change places in every
value, the study file must state which comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from pipelines.data.columns.number_forms import FormConflict
from tracking.mlflow.cell_values import CellForm, read_words, translate_months, translate_weekday

_TIME = re.compile(r"(?:[T ]+|^)(?P<clock>\d{1,2}:\d{2})(?P<seconds>:\d{2})?(?P<part>\.\d+)?(?P<half> ?[AaPp][Mm])?$")
_ZONE = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})$")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_FULL_MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
_WEEKDAY = re.compile(r"(?P<day>mon|tue|wed|thu|fri|sat|sun)(?P<rest>[a-z]*)(?P<mark>,? )", re.IGNORECASE)
_FEWEST_COMPACT = 5
"""Whole numbers such as 20200131 are dates in so many distinct values or more: fewer may be so by chance."""


def find_date_form(words: Sequence[str], dayfirst: bool | None) -> CellForm | None:
    """Return the form in which all of a column's distinct words are dates; None where there is none.

    Args:
        words: the distinct words, without missing ones.
        dayfirst: whether the day comes before the month; None where the words decide.

    Raises:
        FormConflict: if the words are dates with the day first as well as with the month first.
    """
    fitting: dict[str, np.ndarray] = {}
    for date_format in _list_formats(words[0]):
        form = CellForm(date_format=date_format)
        # A few first: most candidates fail there.
        if np.isfinite(read_words(words[:50], "date", form)).all():
            values = read_words(words, "date", form)
            if np.isfinite(values).all():
                fitting[date_format] = values
    if dayfirst is not None and len(fitting) > 1:
        fitting = {each: values for each, values in fitting.items() if _is_day_first(each) == dayfirst} or fitting
    if not fitting:
        return None
    first, *others = fitting
    if any(not np.array_equal(fitting[first], fitting[other]) for other in others):
        raise FormConflict(_describe_doubt(words, first))
    if first == "%Y%m%d" and not _looks_like_dates(words):
        return None
    return CellForm(date_format=first)


def measure_fit(words: Sequence[str]) -> tuple[str, float]:
    """Return the form, of those that the first words may have, that reads most of the words, and their share."""
    formats = sorted({each for word in words[:5] for each in _list_formats(word)})
    shares = {each: np.isfinite(read_words(words, "date", CellForm(date_format=each))).mean() for each in formats}
    best = max(shares, key=lambda each: shares[each], default="")
    return best, float(shares.get(best, 0.0))


def _is_day_first(date_format: str) -> bool:
    return "%m" in date_format and 0 <= date_format.find("%d") < date_format.find("%m")


def _looks_like_dates(words: Sequence[str]) -> bool:
    years = pd.Series(list(words)).str.slice(0, 4).astype(int)
    return len(words) >= _FEWEST_COMPACT and bool(years.between(1900, 2100).all())


def _describe_doubt(words: Sequence[str], date_format: str) -> str:
    example = next((word for word in words if not _is_same_both_ways(word)), words[0])
    return f"has dates such as {example!r}, whose day and month may change places in every value"


def _is_same_both_ways(word: str) -> bool:
    first, second = re.findall(r"\d+", word)[:2]
    return int(first) == int(second)


def _list_formats(word: str) -> Iterator[str]:
    """Yield the forms that a word may have, those with the day first before those with the month first."""
    if (hours := re.fullmatch(r"\d{1,2}([hH])\d{2}", word)) is not None:
        yield f"%H{hours[1]}%M"
        return
    if (half := re.fullmatch(r"\d{1,2}( ?)[AaPp][Mm]", word)) is not None:
        yield f"%I{half[1]}%p"
        return
    word = translate_weekday(word)
    time = _TIME.search(word)
    zone = _ZONE.search(word) if time is None and ":" in word else None
    if zone is not None:
        time = _TIME.search(word[: zone.start()].rstrip())
    clock = _write_clock(time, zone is not None) if time else ""
    date = word[: time.start()] if time else word
    if time and not date:
        yield clock
        return
    between = word[time.start() : time.start("clock")] if time else ""
    weekday = _WEEKDAY.match(date)
    prefix = ""
    if weekday is not None:
        prefix = ("%A" if len(weekday["rest"]) > 1 else "%a") + weekday["mark"]
        date = date[weekday.end() :]
    for each in _list_date_formats(date.rstrip(",")):
        comma = "," if date.endswith(",") else ""
        yield f"{prefix}{each}{comma}{between}{clock}"


def _write_clock(time: re.Match[str], has_zone: bool) -> str:
    hour = "%I" if time["half"] else "%H"
    half = time["half"].replace(time["half"].strip(), "%p") if time["half"] else ""
    return f"{hour}:%M{':%S' if time['seconds'] else ''}{'.%f' if time['part'] else ''}{half}{'%z' if has_zone else ''}"


def _list_date_formats(date: str) -> Iterator[str]:
    if re.fullmatch(r"\d{8}", date):
        yield "%Y%m%d"
    elif found := re.fullmatch(r"\d{1,2}([/.-])\d{1,2}\1(\d{4}|\d{2})\.?", date):
        mark, year = found[1], "%Y" if len(found[2]) == 4 else "%y"
        # Versions such as 1.2.30 have no leading zeros.
        if year == "%y" and mark == "." and not re.fullmatch(r"\d{2}\.\d{2}\.\d{2}", date):
            return
        yield f"%d{mark}%m{mark}{year}"
        # Nobody writes the month first before a dot.
        if mark != ".":
            yield f"%m{mark}%d{mark}{year}"
    elif found := re.fullmatch(r"\d{4}([/.-])\d{1,2}\1\d{1,2}", date):
        yield f"%Y{found[1]}%m{found[1]}%d"
    elif found := re.fullmatch(r"\d{4}([/-])\d{1,2}", date):
        yield f"%Y{found[1]}%m"
    elif found := re.fullmatch(r"\d{1,2}([/-])\d{4}", date):
        yield f"%m{found[1]}%Y"
    elif found := re.fullmatch(r"\d{4}([ /-]?)([Qq])[1-4]", date):
        yield f"%Y{found[1]}{found[2]}%q"
    elif found := re.fullmatch(r"([Qq])[1-4]([ /-]?)\d{4}", date):
        yield f"{found[1]}%q{found[2]}%Y"
    elif found := re.fullmatch(r"[1-4]([Qq])([ /-]?)\d{4}", date):
        yield f"%q{found[1]}{found[2]}%Y"
    elif found := re.fullmatch(r"\d{4}([ -]?)W\d{2}(-[1-7])?", date):
        yield f"%G{found[1]}W%V{'-%u' if found[2] else ''}"
    else:
        yield from _list_named_formats(date)


def _list_named_formats(date: str) -> Iterator[str]:
    """Yield the forms of a date with a month's name; of other names than English ones those of their translation."""
    yield from _list_english_formats(date)
    if (translated := translate_months(date)) != date:
        yield from _list_english_formats(translated)


def _list_english_formats(date: str) -> Iterator[str]:
    for pattern, name in ((_FULL_MONTH, "%B"), (_MONTH, "%b")):
        month = re.search(rf"(?<![A-Za-z]){pattern}(?![A-Za-z])", date, re.IGNORECASE)
        if month is None:
            continue
        before, after = date[: month.start()], date[month.end() :]
        numbers = _name_numbers(re.findall(r"\d+", before), re.findall(r"\d+", after), after)
        if numbers is not None and re.fullmatch(r"[\d\s,./-]*", before + after):
            yield _put_names(f"{before}\0{after}", numbers).replace("\0", name)


def _put_names(text: str, names: Sequence[str]) -> str:
    """Return the text with a name for each number, in their order."""
    for each in names:
        text = re.sub(r"\d+", each, text, count=1)
    return text


def _name_numbers(before: Sequence[str], after: Sequence[str], behind: str) -> list[str] | None:
    """Return what the numbers around a month's name are, day or year; None if there is no year among them."""
    numbers = [*before, *after]
    if len(numbers) == 1:
        # Dec-19 is a month, and Dec 19 a day without a year.
        short = bool(after) and len(numbers[0]) == 2 and behind.startswith("-")
        return ["%Y"] if len(numbers[0]) == 4 else ["%y"] if short else None
    if len(numbers) != 2:
        return None
    if len(numbers[0]) == 4:
        return ["%Y", "%d"]
    return ["%d", "%Y" if len(numbers[1]) == 4 else "%y"] if len(numbers[1]) in (2, 4) else None
