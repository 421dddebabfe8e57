"""Forms of numbers in a column's text: currencies, units, per cent, brackets, marks of decimals and of thousands.

A form is found where every known value of a column has it. Whether a dot is a decimal mark or one of thousands follows
from the column's own values (`1.5` and `1.234.567` have one meaning each), then from those of the other columns. Where
neither shows it, as for `1.203` beside `987`, the study file must.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tracking.mlflow.cell_values import CellForm, NumberParts, split_number

_MARKS = (".", ",", " ", "'", "_")
_GROUPING = " '_"  # these stand between thousands alone
_CURRENCIES = frozenset(
    {
        *("$", "€", "£", "¥", "₹", "₩", "₽", "₺", "₴", "₪", "฿", "₫", "₦", "₱", "US$", "R$", "A$", "C$", "HK$", "NZ$"),
        *("USD", "EUR", "GBP", "CHF", "JPY", "CNY", "INR", "AUD", "CAD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK"),
        *("HUF", "RON", "BRL", "MXN", "ZAR", "TRY", "RUB", "KRW", "SGD", "HKD", "THB", "ILS", "AED", "SAR"),
        *("kr", "kr.", "zł", "Kč", "Ft", "Fr.", "SFr.", "Rs", "Rs.", "Euro", "euro", "EURO", "dollars"),
    }
)
_SCALES = {
    **dict.fromkeys(("k", "K", "tsd", "Tsd", "Tsd.", "thousand"), 1e3),
    **dict.fromkeys(("M", "MM", "mn", "Mn", "mio", "Mio", "Mio.", "million"), 1e6),
    **dict.fromkeys(("bn", "Bn", "mrd", "Mrd", "Mrd.", "billion"), 1e9),
}
# Metres and bytes too: millions and billions only beside money or another scale.
_SCALES_OF_MONEY = {"m": 1e6, "b": 1e9, "B": 1e9}
_UNITS: tuple[dict[str, float], ...] = (
    {"%": 1.0, "pct": 1.0, "percent": 1.0},
    {"‰": 1.0},
    {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3, "CM": 1e-2, "KM": 1e3, "Km": 1e3},
    {"in": 1.0, "ft": 12.0, "mi": 63360.0},
    {"mg": 1e-6, "g": 1e-3, "kg": 1.0, "t": 1e3, "KG": 1.0, "Kg": 1.0},
    {"oz": 1.0, "lb": 16.0, "lbs": 16.0, "LB": 16.0, "LBS": 16.0, "Lbs": 16.0},
    {"ml": 1e-3, "mL": 1e-3, "cl": 1e-2, "l": 1.0, "L": 1.0},
    {"m²": 1.0, "m2": 1.0, "sqm": 1.0, "qm": 1.0, "ha": 1e4, "km²": 1e6, "km2": 1e6},
    {"sqft": 1.0, "sq ft": 1.0},
    {"m³": 1.0, "m3": 1.0},
    {
        **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "Sek"), 1.0),
        **dict.fromkeys(("min", "mins", "minute", "minutes", "Min"), 60.0),
        **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "Std", "Stunden"), 3600.0),
        "ms": 1e-3,
    },
    {"day": 1.0, "days": 1.0, "week": 7.0, "weeks": 7.0, "d": 1.0},
    {"month": 1.0, "months": 1.0, "year": 12.0, "years": 12.0, "yrs": 12.0},
    {"°C": 1.0, "℃": 1.0},
    {"°F": 1.0, "℉": 1.0},
    {"°": 1.0},
    {"km/h": 1.0, "kmh": 1.0, "kph": 1.0},
    {"mph": 1.0},
    {"m/s": 1.0},
    {"B": 1.0, "KB": 1e3, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12},
    {"W": 1.0, "kW": 1e3, "MW": 1e6},
    {"Wh": 1.0, "kWh": 1e3, "MWh": 1e6},
    {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9},
    {"V": 1.0, "kV": 1e3},
    {"hPa": 1.0, "kPa": 10.0},
    {"kcal": 1.0},
    {"kJ": 1.0},
    {"hp": 1.0},
    {"cc": 1.0},
    {"bhp": 1.0},
    {"kmpl": 1.0},
    {"mpg": 1.0},
)


class FormConflict(Exception):  # noqa: N818  # an outcome of reading, which becomes a problem of the column
    """Values of a column that contradict each other; the message states which."""


@dataclass(frozen=True)
class Marks:
    """The decimal mark and that of thousands; None where nothing shows them.

    Attributes:
        doubtful: a mark that stands before three digits wherever it occurs, and so may be either; empty for none.
        example: a value with it.
        beside: a value without any mark, or with the other mark between thousands; empty if there is none.
    """

    decimal: str | None = None
    thousands: str | None = None
    doubtful: str = ""
    example: str = ""
    beside: str = ""


NO_MARKS = Marks()
"""No mark in any value."""


def split_numbers(words: Sequence[str]) -> list[NumberParts] | None:
    """Return the parts of every word; None if one of them is no number in any dress."""
    found = []
    for word in words:
        parts = split_number(word)
        if parts is None:
            return None
        found.append(parts)
    return found


def find_marks(bodies: Iterable[str]) -> Marks | None:
    """Return what digits with their marks show; None if one is no number, such as a version 1.2.3.

    Raises:
        FormConflict: if a mark is a decimal one in one value and one of thousands in another.
    """
    seen: dict[tuple[str, str], str] = {}
    beside = ""
    for body in bodies:
        digits = body.lower().partition("e")[0]
        marks = [mark for mark in _MARKS if mark in digits]
        if not marks:
            beside = beside or digits
            # Whoever writes 1234 puts no mark between thousands.
            if len(digits) > 3:
                seen.setdefault(("ungrouped", ""), body)
            continue
        roles = _find_roles(digits, marks)
        if not roles:
            return None
        for role, mark in roles:
            seen.setdefault((role, mark), body)
    return _combine_roles(seen, beside)


def _find_roles(digits: str, marks: list[str]) -> list[tuple[str, str]]:
    """Return what one number shows of its marks: decimal, thousands, or either of the two; nothing if it is none."""
    last = max(marks, key=digits.rfind)
    is_whole = digits.count(last) > 1 or last in _GROUPING
    roles = [("thousands", mark) for mark in marks if mark != last or is_whole]
    whole, _, fraction = ("", "", digits) if is_whole else digits.rpartition(last)
    grouped = fraction if is_whole else whole
    if len(roles) > 1 or (roles and not _is_grouped(grouped, roles[0][1])):
        return []
    if is_whole:
        return roles
    # Thousands have one to three digits before a mark, none of them a leading zero, and three behind it.
    groups = re.fullmatch(r"[1-9]\d{0,2}", whole) is not None and len(fraction) == 3
    return [*roles, ("either" if groups and len(marks) == 1 else "decimal", last)]


def _is_grouped(digits: str, mark: str) -> bool:
    # Groups of two are India's: 12,34,567.
    return re.fullmatch(rf"\d{{1,3}}(?:{re.escape(mark)}\d{{{'2,3' if mark == ',' else '3'}}})+", digits) is not None


def _combine_roles(seen: dict[tuple[str, str], str], beside: str) -> Marks:
    for mark in _MARKS:
        if ("decimal", mark) in seen and ("thousands", mark) in seen:
            fraction, groups_of = seen["decimal", mark], seen["thousands", mark]
            raise FormConflict(f'has "{mark}" before decimals in {fraction!r} and between thousands in {groups_of!r}')
    decimals = [mark for role, mark in seen if role == "decimal"]
    groups = [mark for role, mark in seen if role == "thousands"]
    if len(decimals) > 1 or len(groups) > 1:
        examples = " and ".join(repr(each) for (role, _), each in seen.items() if role in ("decimal", "thousands"))
        raise FormConflict(f"has several marks for the same purpose, as in {examples}")
    decimal, group = next(iter(decimals), None), next(iter(groups), None)
    doubtful = [mark for role, mark in seen if role == "either" and mark not in (decimal, group)]
    if len(doubtful) > 1:
        raise FormConflict(f"has both {seen['either', doubtful[0]]!r} and {seen['either', doubtful[1]]!r}")
    if not doubtful:
        return Marks(decimal, group)
    mark = doubtful[0]
    if decimal is not None:
        return Marks(decimal, mark)
    # 1234 shows that nothing stands between thousands. Another mark there shows nothing: who mixes 15 788 and 64,222
    # may mean thousands by both.
    if group is None and ("ungrouped", "") in seen:
        return Marks(mark, group)
    if group is not None:
        return Marks(None, group, mark, seen["either", mark], seen["thousands", group])
    return Marks(None, None, mark, seen["either", mark], beside)


def find_factors(parts: Sequence[NumberParts]) -> tuple[tuple[str, float], ...] | None:
    """Return the texts around numbers with their factors; None if one of them is unknown.

    Raises:
        FormConflict: if the values are in several currencies, or some are per cent and others are not.
    """
    texts = {text for each in parts for text in (each.before, each.after) if text}
    if not texts:
        return ()
    # A unit stands behind its number: s012 and m12 are names.
    if not all(map(_may_stand_before, {each.before for each in parts} - {""})):
        return None
    money = {text: _split_money(text) for text in texts}
    if all(money.values()):
        found = {text: reading for text, reading in money.items() if reading is not None}
        currencies = sorted({currency for _, currency in found.values() if currency})
        # m and B are none in a column that has neither money nor another scale.
        if currencies or not set(texts) <= set(_SCALES_OF_MONEY):
            if len(currencies) > 1 and not _is_same_currency(currencies):
                raise FormConflict(f"has several currencies: {', '.join(currencies)}")
            if not ("B" in texts and texts & {"KB", "kB", "MB", "GB", "TB"}):
                return tuple(sorted((text, factor) for text, (factor, _) in found.items()))
    family = next((units for units in _UNITS if texts <= set(units)), None)
    if family is None:
        return None
    if len(parts) > sum(bool(each.before or each.after) for each in parts) and not _is_zero_beside(parts):
        text = next(iter(texts))
        bare = next(each.body for each in parts if not (each.before or each.after))
        raise FormConflict(f'has numbers with "{text}" and others without, such as {bare!r}')
    # One unit stays what it is; several become the smallest of them.
    smallest = min(family[text] for text in texts)
    return tuple(sorted((text, family[text] / smallest) for text in texts))


def _may_stand_before(text: str) -> bool:
    return text in ("%", "‰") or (_split_money(text) or (0.0, ""))[1] != ""


def _is_zero_beside(parts: Sequence[NumberParts]) -> bool:
    return all(each.before or each.after or not each.body.strip("0.,") for each in parts)


def _is_same_currency(names: Sequence[str]) -> bool:
    same = ({"$", "USD", "US$", "dollars"}, {"€", "EUR", "Euro", "euro", "EURO"}, {"£", "GBP"}, {"CHF", "Fr.", "SFr."})
    return any(set(names) <= each for each in same)


def _split_money(text: str) -> tuple[float, str] | None:
    """Return the factor and the currency of a text such as "Mio. €"; None if it is neither."""
    if text in _CURRENCIES:
        return 1.0, text
    scales = _SCALES | _SCALES_OF_MONEY
    if text in scales:
        return scales[text], ""
    for scale, factor in scales.items():
        if text.startswith(scale) and text.removeprefix(scale).strip() in _CURRENCIES:
            return factor, text.removeprefix(scale).strip()
    return None


def is_money(factors: tuple[tuple[str, float], ...]) -> bool:
    """Return whether one of the texts around a column's numbers is a currency."""
    return any((_split_money(text) or (0.0, ""))[1] for text, _ in factors)


def make_form(marks: Marks, factors: tuple[tuple[str, float], ...]) -> CellForm:
    """Return the form of a column's numbers; what nothing shows is as in Python."""
    decimal = marks.decimal or ("," if marks.thousands == "." else ".")
    return CellForm(decimal=decimal, thousands=marks.thousands or "", factors=factors)
