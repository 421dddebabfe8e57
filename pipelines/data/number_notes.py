"""Notes on columns of whole numbers that may be dates or codes, each with the key that reads them so.

A column's name decides together with all of its values: neither alone is enough, since a count may have the values of a
code and a price those of a date.
"""

from __future__ import annotations

import re

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column

_FEWEST_ROWS = 20
_FEWEST_DATES = 5  # distinct values of eight digits that are all dates; fewer may be so by chance
_TIME_WORDS = frozenset(
    {
        *("date", "dates", "datetime", "time", "timestamp", "ts", "epoch", "created", "updated"),
        *("modified", "started", "ended", "posted", "published", "stamp", "datum", "zeit", "zeitpunkt", "fecha"),
        *("hora", "data", "when", "utc", "dt"),
    }
)
_DAY_WORDS = frozenset(
    ["date", "dates", "datetime", "timestamp", "created", "updated", "modified", "datum", "fecha", "dt", "day"]
)
_MONTH_WORDS = _DAY_WORDS | frozenset(["month", "period", "yearmonth", "yyyymm", "ym", "monat", "mes", "mois"])
# From 1980 to 2100, where hardly any other number in a column of such a name lies.
_FIRST_S, _LAST_S = 315_532_800.0, 4_102_444_800.0
_SECONDS_OF = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_FIRST_EXCEL, _LAST_EXCEL = 20_000.0, 73_050.0  # 1954-10-03 to 2099-12-31
_CODES = frozenset(
    {
        *("zip", "zipcode", "postcode", "postal", "plz", "cep", "code", "codes", "cd", "sku"),
        *("category", "categories", "cat", "class", "cluster", "segment", "kind", "type", "region"),
        *("district", "county", "state", "country", "city", "zone", "sector", "industry", "branch"),
        *("store", "shop", "department", "dept", "warehouse", "vendor", "supplier", "seller", "carrier"),
        *("airline", "route", "brand", "color", "colour", "gender", "sex", "race", "ethnicity"),
        *("occupation", "religion", "species", "soil", "subclass", "neighborhood", "neighbourhood"),
    }
)
_BEHIND_CODES = frozenset({"nr", "no", "num", "number", "key"})
_AMOUNTS = frozenset(
    {
        *("count", "counts", "total", "sum", "avg", "average", "mean", "median", "rate", "ratio"),
        *("share", "pct", "percent", "percentage", "amount", "price", "cost", "size", "length", "age"),
        *("distance", "score", "per", "population", "n", "nb"),
    }
)
_CALENDAR = (
    ("month", frozenset({"month", "mnth", "mon", "monat", "mes", "mois", "monthofyear"}), 0, 12, 6),
    ("weekday", frozenset({"weekday", "dow", "dayofweek", "wday", "wochentag"}), 0, 7, 5),
    ("hour", frozenset({"hour", "hr", "stunde", "heure", "hourofday"}), 0, 24, 12),
)


def explain_numbers(column: Column) -> str:
    """Return what a column of numbers may hold beside amounts, with the key; "" where nothing shows that.

    A type that the study file sets ends the note.
    """
    known = column.values[column.known]
    if column.kind != "numeric" or column.why == "data.columns" or column.form.duration or len(known) < _FEWEST_ROWS:
        return ""
    words = _list_words(column.name)
    values = np.unique(known)
    return _explain_dates(values, words, column.name) or _explain_codes(values, known, words, column.name)


def _list_words(name: str) -> list[str]:
    """Return the words of a column's name, as in `createdAt` and `created_at`."""
    return re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())


def _explain_dates(values: Array, words: list[str], name: str) -> str:
    low, high, is_whole = float(values[0]), float(values[-1]), bool(np.equal(np.mod(values, 1), 0).all())
    key, example = f"data.columns.{name}", f"{low:.12g}"
    if is_whole and _are_days(values) and (len(values) >= _FEWEST_DATES or _DAY_WORDS & set(words)):
        return f'holds numbers such as {example}, which look like dates: to read them so, set {key}.format: "%Y%m%d"'
    if is_whole and _MONTH_WORDS & set(words) and _are_months(values):
        return f'holds numbers such as {example}, which look like months: to read them so, set {key}.format: "%Y%m"'
    is_time = bool(_TIME_WORDS & set(words)) or words[-1:] in (["at"], ["on"])
    for unit, seconds in _SECONDS_OF.items():
        if is_time and low * seconds >= _FIRST_S and high * seconds <= _LAST_S:
            shown = f"{example}, which may be times ({np.datetime64(int(low * seconds), 's')})"
            return f"holds numbers such as {shown}: to read them so, set {key}.unit: {unit}"
    if _DAY_WORDS & set(words) and low >= _FIRST_EXCEL and high <= _LAST_EXCEL:
        shown = f"{example}, which may be days of Excel ({np.datetime64('1899-12-30') + int(low)})"
        return f"holds numbers such as {shown}: to read them so, set {key}.unit: excel"
    return ""


def _are_days(values: Array) -> bool:
    years, months, days = values // 10_000, values // 100 % 100, values % 100
    return _are_within(years, 1900, 2100) and _are_within(months, 1, 12) and _are_within(days, 1, 31)


def _are_months(values: Array) -> bool:
    return _are_within(values // 100, 1900, 2100) and _are_within(values % 100, 1, 12)


def _are_within(values: Array, low: float, high: float) -> bool:
    return bool(((values >= low) & (values <= high)).all())


def _explain_codes(values: Array, known: Array, words: list[str], name: str) -> str:
    if not np.equal(np.mod(values, 1), 0).all() or len(values) < 3 or values[0] < 0:
        return ""
    advice = f"for a category each, set data.columns.{name}.type: string; numeric ends this note"
    while words and words[-1] in _BEHIND_CODES:
        words = words[:-1]
    ends = {"".join(words[-count:]) for count in (1, 2, 3)}
    for what, names, low, high, fewest in _CALENDAR:
        if ends & names and _are_within(values, low, high) and len(values) >= fewest:
            shown = f"numbers of {what}s, of which the last is next to the first"
            return f"holds {shown}, and is read as amounts; {advice}"
    if len(values) > len(known) / 2 or _AMOUNTS & set(words) or words[:1] in (["number"], ["num"], ["no"]):
        return ""
    # An identifier that many rows share is a code: product_id.
    if words and (words[-1] in _CODES or (words[-1] == "id" and len(words) > 1)):
        shown = f"whole numbers such as {values[0]:.12g}, which may be codes by its name"
        return f"holds {shown}, and is read as amounts; {advice}"
    return ""
