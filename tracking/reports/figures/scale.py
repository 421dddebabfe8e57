"""Scales: places of values along an axis, and its ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from search_spaces.values import Value
from tracking.reports.figures.figure import Axis

# A parameter whose largest value is so many times its smallest has a logarithmic axis where nothing declares one.
_LOG_RATIO = 100
_LONGEST_TEXT = 18
_MOST_POWER = 300


def shorten(text: object, longest: int = _LONGEST_TEXT) -> str:
    """Return a text in one line, cut where it is long.

    >>> shorten("a b", 5), shorten("abcdefgh", 5)
    ('a b', 'abcd\u2026')
    """
    whole = " ".join(str(text).split())
    return whole if len(whole) <= longest else f"{whole[: longest - 1]}\u2026"


def shorten_all(texts: Sequence[str], longest: int = _LONGEST_TEXT) -> list[str]:
    """Return texts that stand side by side, cut where they are long; in the middle where only their ends differ.

    >>> shorten_all(["abcdefgh", "xbcdefgh"], 5), shorten_all(["abcdefg1", "abcdefg2"], 5)
    (['abcd\u2026', 'xbcd\u2026'], ['ab\u2026g1', 'ab\u2026g2'])
    """
    cut = [shorten(text, longest) for text in texts]
    if len(set(cut)) == len(set(texts)):
        return cut
    whole = [" ".join(text.split()) for text in texts]
    before, after = longest // 2, max(1, longest - longest // 2 - 1)
    return [text if len(text) <= longest else f"{text[:before]}\u2026{text[-after:]}" for text in whole]


def format_number(value: float) -> str:
    """Return a number for people, with at most five digits that matter.

    >>> format_number(0.123456), format_number(1234567.0), format_number(3.0), format_number(1e-5)
    ('0.12346', '1,234,567', '3', '1e-05')
    """
    if not math.isfinite(value):
        return "none" if math.isnan(value) else str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.5g}"


def format_count(count: int, noun: str) -> str:
    """Return a number with its noun.

    >>> format_count(1, "trial"), format_count(2000, "trial")
    ('1 trial', '2,000 trials')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def is_number(value: object) -> bool:
    """Return whether a value is a finite number and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Scale:
    """Scale of one axis: numbers by their value, any other values in a row.

    Attributes:
        names: values in a row, as text; empty for numbers.
    """

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False
    names: tuple[str, ...] = ()

    @classmethod
    def from_numbers(cls, values: Iterable[float], *, is_log: bool = False, room: float = 0.05) -> Self:
        """Return the scale of finite numbers, with some room at both ends."""
        found = [value for value in values if math.isfinite(value) and (value > 0 or not is_log)]
        if not found:
            return cls(1.0, 10.0, is_log=True) if is_log else cls(0.0, 1.0)
        low, high = min(found), max(found)
        if is_log:
            ends = math.log10(low), math.log10(high)
            margin = room * (ends[1] - ends[0]) if high > low else 0.2
            return cls(10 ** max(-_MOST_POWER, ends[0] - margin), 10 ** min(_MOST_POWER, ends[1] + margin), is_log=True)
        # Equal but for rounding: an axis of 1e-12 would show noise.
        is_flat = high - low <= 1e-9 * max(abs(low), abs(high))
        margin = room * (high - low) if not is_flat else 0.05 * abs(high) or 0.5
        return cls(low - margin, high + margin, is_whole=all(isinstance(value, int) for value in found))

    @classmethod
    def from_values(cls, values: Sequence[Value], *, is_log: bool | None = None) -> Self:
        """Return the scale of a parameter's values; logarithmic where that is declared, or the values suggest it."""
        if values and all(is_number(value) for value in values):
            numbers = [float(value) for value in values]  # type: ignore[arg-type]
            low, high = min(numbers), max(numbers)
            if is_log is None:
                is_log = low > 0 and high / low >= _LOG_RATIO
            return cls.from_numbers(numbers, is_log=is_log and low > 0)
        names = tuple(dict.fromkeys(sorted(map(str, values))))
        return cls(0.0, float(max(1, len(names) - 1)), names=names)

    def place(self, value: Value) -> float:
        """Return the place of a value from 0 to 1; NaN where the scale cannot show it."""
        if self.names:
            # Room for half a name at both ends.
            text = str(value)
            return (self.names.index(text) + 0.5) / len(self.names) if text in self.names else math.nan
        if not is_number(value):
            return math.nan
        number = float(value)  # type: ignore[arg-type]
        low, high = self.low, self.high
        if self.is_log:
            if number <= 0:
                return math.nan
            number, low, high = math.log(number), math.log(low), math.log(high)
        return 0.5 if high == low else (number - low) / (high - low)

    def make_axis(self, title: str = "", *, most: int = 6, has_grid: bool = True) -> Axis:
        """Return the axis with ticks at round numbers."""
        if self.names:
            step = math.ceil(len(self.names) / 12)
            named = [(self.place(name), " ".join(name.split())) for name in self.names[::step]]
            return Axis(title, named, has_grid=False)
        values = self._list_log_ticks(most) if self.is_log else self._list_ticks(most)
        texts = _format_ticks(values)
        return Axis(title, [(self.place(value), text) for value, text in zip(values, texts, strict=True)], has_grid)

    def _list_ticks(self, most: int) -> list[float]:
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
        if self.is_whole:
            step = max(1.0, float(math.ceil(step)))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        # Adding 0.0 turns -0.0 into 0.0.
        return [step * index + 0.0 for index in range(first, last + 1)]

    def _list_log_ticks(self, most: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for factors in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0)):
            values = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
            inside = [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]
            if len(inside) >= 3:
                return inside[:: math.ceil(len(inside) / most)]
        return Scale(self.low, self.high)._list_ticks(most)


def _format_ticks(ticks: Sequence[float]) -> list[str]:
    """Return numbers in one format, with enough digits to be different."""
    largest = max(map(abs, ticks), default=0.0)
    smallest = min((abs(tick) for tick in ticks if tick), default=1.0)
    if largest >= 1e6 or largest < 1e-3 or (smallest < 1e-3 and largest / smallest >= _LOG_RATIO):
        return [f"{tick:.3g}".replace("e-0", "e-").replace("e+0", "e") for tick in ticks]
    if largest / smallest >= _LOG_RATIO:
        return [f"{tick:,.6g}" for tick in ticks]
    step = ticks[1] - ticks[0] if len(ticks) > 1 else largest or 1.0
    digits = next((count for count in range(7) if abs(round(step, count) - step) < abs(step) * 1e-6), 7)
    return [f"{tick:,.{digits}f}" for tick in ticks]
