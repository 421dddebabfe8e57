"""Notes on categories that hold numbers in a form which is not read, such as 43±3 or 12-17, with what to write instead.

Without one, a column of measurements becomes one category for each value, which no new row will have. A form counts
where nearly all of a column's many words have it; few words, such as age bands, are categories as any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FEWEST = 20
"""Distinct words from which they are measurements rather than categories."""
_SHARE = 0.9
_SAMPLE = 50  # words, which most columns fail by
_MOST_UNITS = 5
_N = r"[-+]?(?:\d{1,3}(?:[.,]\d{3})+|\d+)(?:[.,]\d+)?"
_TIMES = r"[xX*·\u00d7]"
_WHOLE = r"(?:0|[1-9]\d*)(?:[.,]\d+)?"
_DAY = r"(?:\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4})"
_TO = r"(?:-|\u2013|\u2014|/|to|until|bis|à|a|hasta)"  # also the dashes between ranges


@dataclass(frozen=True)
class _Form:
    """A form of words: what they hold, how they look, what else must hold, and what to write instead."""

    holds: str
    pattern: re.Pattern[str]
    advice: str
    check: Callable[[Sequence[re.Match[str]]], bool] = lambda found: True


def _are_ranges(found: Sequence[re.Match[str]]) -> bool:
    """Return whether the first number is never above the second, and of nearly its size: others are codes."""
    pairs = [(_read(each[1]), _read(each[2])) for each in found]
    near = [low <= high and len(str(int(high))) - len(str(int(low))) <= 1 for low, high in pairs]
    return all(near) and any(len(str(int(low))) == len(str(int(high))) for low, high in pairs)


def _have_few_units(found: Sequence[re.Match[str]]) -> bool:
    return 2 <= len({each[1] for each in found}) <= _MOST_UNITS


def _read(number: str) -> float:
    return float(number.replace(",", "."))


_SEVERAL = "write each number as a column of its own"
_FORMS = (
    _Form(
        "objects of JSON", re.compile(r"\{.*\}", re.DOTALL), "write the rows as a .jsonl file, where they are columns"
    ),
    _Form("numbers with their error", re.compile(rf"{_N} ?(?:±|\+/-|\+-) ?{_N} ?\S{{0,5}}"), _SEVERAL),
    _Form("powers of ten", re.compile(rf"{_N} ?{_TIMES} ?10 ?\^? ?[-\u2212⁻+]?[\d⁰¹²³⁴-⁹]+"), "write them as 4.4e5"),
    _Form(
        "minutes and seconds",
        re.compile(r"\d+ ?['\u2032\u2019] ?\d{2}(?:[.,]\d+)? ?(?:[\"\u2033\u201d]|'')"),
        "write them as 0:05:18",
    ),
    _Form("sizes", re.compile(rf"{_N}(?: ?{_TIMES} ?{_N}){{1,3}} ?\w{{0,3}}"), _SEVERAL),
    _Form(
        "rounded numbers or bounds",
        re.compile(rf"(?:~|≈|ca\.?|approx\.?|about|[<>≤≥]=?) ?{_N} ?\S{{0,5}}|{_N} ?\+"),
        "write the numbers alone",
    ),
    _Form(
        "times with the name of a zone",
        re.compile(rf"{_DAY}[T ]\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?:\.\d+)? ?(?:[A-Z]{{2,5}}|[A-Z][a-z]+/[A-Za-z_]+)"),
        "write offsets such as +02:00 in place of names",
    ),
    _Form("spans of days", re.compile(rf"{_DAY} ?{_TO} ?{_DAY}"), "write both days as columns of their own"),
    _Form(
        "ranges", re.compile(rf"({_WHOLE}) ?{_TO} ?({_WHOLE})"), "write both ends as columns of numbers", _are_ranges
    ),
    _Form("two numbers each", re.compile(rf"{_WHOLE} ?[/:] ?{_WHOLE}"), _SEVERAL),
    _Form(
        "several numbers each", re.compile(rf"[(\[]?{_N}(?:[,;|] ?{_N}){{1,9}}[)\]]?"), "set data.columns.{}.type: list"
    ),
    _Form(
        "numbers with one of several words behind",
        re.compile(rf"{_N} ([A-Za-z]{{1,6}}\.?)"),
        "write number and word as two columns",
        _have_few_units,
    ),
)


def note_compound(words: Sequence[str], name: str) -> str:
    """Return a note on categories that hold numbers in a form which is not read; "" where they are few, or others."""
    form = find_compound(words)
    if form is None:
        return ""
    example = next(word for word in words if form.pattern.fullmatch(word))
    shown = example if len(example) <= 60 else f"{example[:60]}..."
    return (
        f'column "{name}" holds {form.holds}, such as {shown!r}, which are taken for categories; '
        f"{form.advice.format(name)}, or set data.columns.{name}.type: string if they are categories"
    )


def find_compound(words: Sequence[str]) -> _Form | None:
    """Return the form that nearly all distinct words have; None where there is none."""
    if len(words) < FEWEST:
        return None
    for form in _FORMS:
        if _find(words[:_SAMPLE], form) and _find(words, form):
            return form
    return None


def _find(words: Sequence[str], form: _Form) -> bool:
    found = [match for match in map(form.pattern.fullmatch, words) if match is not None]
    return len(found) >= _SHARE * len(words) and form.check(found)
