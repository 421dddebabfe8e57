"""Times in cells other than plain dates: durations, quarters, weeks, and numbers that count from a first day.

A deployed model has a copy of this file beside its loader, so nothing of kerastudy is imported here. Python's
`strptime` has no quarter: `%q` stands for it here, and only here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

LONG_CLOCK, HOUR_CLOCK, MINUTE_CLOCK = "%H:%M:%S", "%H:%M", "%M:%S"
"""Clocks of a column of durations; the latter two read two numbers, such as 3:45, the first none but three."""

_WORDS = {
    60.0: "m min mins minute minutes Min Mins Minute Minutes",
    3600.0: "h hr hrs hour hours std Std Stunde Stunden Hour Hours",
    86400.0: "d day days Day Days Tag Tage",
    604800.0: "w week weeks Week Weeks",
    1.0: "s sec secs second seconds Sec Second Seconds Sek",
    1e-3: "ms",
}
_SECONDS = {word: seconds for seconds, words in _WORDS.items() for word in words.split()}
_PART = re.compile(r"(?P<number>\d+(?:[.,]\d+)?) ?(?P<unit>[A-Za-z]+)\.?(?:, ?| and | und | et | )?")
_CLOCK = re.compile(
    r"(?:(?P<days>\d+) ?d(?:ays?)?,? ?)?(?P<plus>\+)?"
    r"(?P<first>\d{1,4}):(?P<second>\d{2})(?::(?P<third>\d{2}))?(?P<fraction>[.,]\d+)?"
)
_HOURS = re.compile(r"(?P<hours>\d{1,4})[hH](?P<minutes>[0-5]\d)")
_NUMBER = r"\d+(?:[.,]\d+)?"
_ISO = re.compile(
    rf"P(?=[\dT])(?:(?P<w>{_NUMBER})W)?(?:(?P<d>{_NUMBER})D)?"
    rf"(?:T(?=\d)(?:(?P<h>{_NUMBER})H)?(?:(?P<m>{_NUMBER})M)?(?:(?P<s>{_NUMBER})S)?)?"
)

# Seconds of a unit, and days from 1970-01-01 to its first day. Excel has a day that never was, 1900-02-29, so the day 0
# that fits all days after it is 1899-12-30.
_UNITS = {
    "s": (1.0, 0.0),
    "ms": (1e-3, 0.0),
    "us": (1e-6, 0.0),
    "ns": (1e-9, 0.0),
    "D": (86400.0, 0.0),
    "excel": (86400.0, -25569.0),
}


def split_duration(word: str) -> tuple[str, tuple[str, ...]] | None:
    """Return how a word writes a duration, and the units in it; None if it is none.

    The first is `clock` for three numbers (01:54:30), `short clock` for two (3:45), `days` for a clock with days before
    it or with fractions behind two numbers, `hours` for 2h30, `iso` for ISO 8601, and `units` for numbers with units.
    """
    word = word.lstrip("+-").lstrip()
    if (clock := _CLOCK.fullmatch(word)) is not None:
        if int(clock["third"] or clock["second"]) > 59 or (clock["third"] and int(clock["second"]) > 59):
            return None
        if clock["days"]:
            return "days", ()
        if clock["plus"]:
            return None
        if not clock["third"]:
            return ("short fraction" if clock["fraction"] else "short clock"), ()
        return "clock", ()
    if _HOURS.fullmatch(word) is not None:
        return "hours", ()
    if _ISO.fullmatch(word) is not None:
        return "iso", ()
    units = [found["unit"] for found in _split_parts(word)]
    return ("units", tuple(units)) if units else None


def read_duration(word: str, clock: str) -> float:
    """Return a duration in seconds; NaN if the word holds none.

    Args:
        word: without blanks around.
        clock: one of the clocks above.

    >>> [read_duration(word, LONG_CLOCK) for word in ("1h 54m", "2 days 03:00:00", "PT1H30M", "-0:00:05", "3:45")]
    [6840.0, 183600.0, 5400.0, -5.0, nan]
    """
    if (split := split_duration(word)) is None:
        return math.nan
    sign = -1.0 if word.startswith("-") else 1.0
    plain = word.lstrip("+-").lstrip()
    kind, _ = split
    if kind == "iso":
        found = _ISO.fullmatch(plain)
        assert found is not None
        scales = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
        return sign * sum(_read(found[name]) * scale for name, scale in scales.items() if found[name])
    if kind == "hours":
        hours = _HOURS.fullmatch(plain)
        assert hours is not None
        return sign * (3600.0 * float(hours["hours"]) + 60.0 * float(hours["minutes"]))
    if kind == "units":
        return sign * sum(_read(part["number"]) * _SECONDS[part["unit"]] for part in _split_parts(plain))
    return _read_clock(plain, kind, clock, sign)


def _read_clock(word: str, kind: str, clock: str, sign: float) -> float:
    found = _CLOCK.fullmatch(word)
    assert found is not None
    numbers = [float(found[name]) for name in ("first", "second", "third") if found[name]]
    if kind == "short clock" and clock == LONG_CLOCK:
        return math.nan
    is_minutes = kind == "short fraction" or (kind == "short clock" and clock == MINUTE_CLOCK)
    scales = (60.0, 1.0) if is_minutes else (3600.0, 60.0, 1.0)
    within = sum(number * scale for number, scale in zip(numbers, scales, strict=False))
    within += float(f"0.{found['fraction'][1:]}") if found["fraction"] else 0.0
    days = 86400.0 * float(found["days"] or 0)
    # As pandas writes what is below zero: -1 days +23:00:00.
    return sign * days + within if found["plus"] else sign * (days + within)


def _split_parts(word: str) -> list[re.Match[str]]:
    """Return numbers with their units, from the largest down; none if the word holds anything else."""
    parts, at = list[re.Match[str]](), 0
    while at < len(word):
        found = _PART.match(word, at)
        if found is None or found["unit"] not in _SECONDS:
            return []
        if parts and _SECONDS[found["unit"]] >= _SECONDS[parts[-1]["unit"]]:
            return []
        parts.append(found)
        at = found.end()
    return parts


def _read(number: str) -> float:
    return float(number.replace(",", "."))


def count_days_in(numbers: Any, unit: str) -> Any:
    """Return numbers that count from a first day, such as seconds since 1970, as days since 1970-01-01 UTC."""
    seconds, first = _UNITS[unit]
    return np.asarray(numbers, dtype=np.float64) * seconds / 86400.0 + first


def write_time(days: float, date_format: str, unit: str) -> str | float:
    """Return days since 1970-01-01 UTC as a cell of a form holds them: text, or a number of a unit."""
    if unit:
        seconds, first = _UNITS[unit]
        number = round((days - first) * 86400.0 / seconds, 6)
        return int(number) if number.is_integer() else number
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)
    if date_format:
        return at.strftime(date_format.replace("%q", str((at.month + 2) // 3)))
    return at.date().isoformat() if days == int(days) else at.isoformat(timespec="seconds")


def parse_dates(words: Sequence[str], date_format: str) -> Any:
    """Return words as dates in UTC, a series with NaT for those that are none; a quarter or week is its first day."""
    import pandas as pd

    if "%q" in date_format:
        words, date_format = _write_months(words, date_format), "%Y-%m"
    elif "%V" in date_format and "%u" not in date_format:
        words, date_format = [f"{word}-1" for word in words], f"{date_format}-%u"
    return pd.to_datetime(pd.Series(list(words), dtype=object), utc=True, format=date_format, errors="coerce")


def _write_months(words: Sequence[str], date_format: str) -> list[str]:
    """Return the quarters as the first month of each, as in 2020-04; "" for a word that is none."""
    pattern = re.escape(date_format).replace("%q", "(?P<quarter>[1-4])").replace("%Y", r"(?P<year>\d{4})")
    found = [re.fullmatch(pattern, word, re.IGNORECASE) for word in words]
    return [f"{each['year']}-{3 * int(each['quarter']) - 2:02d}" if each else "" for each in found]
