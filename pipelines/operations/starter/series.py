"""Series in a table: which column is time, which one distinguishes them, and how far ahead a forecast looks.

A table looks like a series where one column of dates has even steps, for each series one row a step.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import read_values
from pipelines.data.raw import RawData, select_column
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem, suggest_choice

_HABITS = (  # largest step in days, its name, rows ahead, rows of a window: chosen; a window has the season before
    (1 / 300, "minute", 30, 120),
    (1 / 20, "hour", 24, 48),
    (1.5, "day", 7, 28),
    (8.0, "week", 4, 26),
    (32.0, "month", 6, 24),
    (100.0, "quarter", 4, 12),
)
_OTHER = ("step", 4, 16)
_LEAST_ROWS = 30  # chosen; fewer rows of a series are too few to learn a forecast from
_SHARE_OF_USUAL_STEPS = 0.8  # chosen: business days have four usual steps of five
_SHARE_AHEAD, _SHARE_OF_WINDOW = 10, 5  # of the longest series: a tenth and a fifth, so that each part has windows
_SAMPLE = 50
_MOST_SERIES = 0.5  # of the rows; more are no series


@dataclass(frozen=True)
class SeriesRequest:
    """What a person stated of the series in a table; None where it is to be guessed."""

    time: str | None = None
    by: str | None = None
    horizon: int | None = None

    @property
    def is_stated(self) -> bool:
        """Whether a forecast is requested."""
        return (self.time, self.by, self.horizon) != (None, None, None)


NO_REQUEST = SeriesRequest()


@dataclass(frozen=True)
class SeriesFacts:
    """Series of a table.

    Attributes:
        by: column that distinguishes several series; None for one.
        step: name of the usual step.
        length: rows of a window.
        horizon: rows ahead.
        is_even: whether most steps are the usual one.
        reason: what was guessed, and why; empty if nothing was.
    """

    time: str
    by: str | None
    step: str
    length: int
    horizon: int
    is_even: bool
    reason: str = ""

    def to_key(self) -> dict[str, Any]:
        """Return `data.series` of a study file."""
        by = {} if self.by is None else {"by": self.by}
        return {"time": self.time, **by, "length": self.length, "horizon": self.horizon}


def find_series(raw: RawData, spec: DataSpec, targets: Sequence[str], request: SeriesRequest) -> SeriesFacts | None:
    """Return the series of a table; None where none is requested and the table does not look like one.

    Raises:
        InputError: if one is requested, and a column is missing or no column is time.
    """
    assert raw.table is not None
    names = [str(name) for name in raw.table.columns]
    for option, named in (("--time", request.time), ("--by", request.by)):
        if named is not None and named not in names:
            raise InputError(Problem(f'there is no column "{named}"; {suggest_choice(named, names)}', option))
    if request.horizon is not None and request.horizon < 1:
        raise InputError(Problem(f"expected a number of rows ahead, such as 7, got {request.horizon}", "--horizon"))
    candidates = (
        [request.time] if request.time is not None else [name for name in names if name not in (*targets, request.by)]
    )
    reads = request.time is not None
    for name in candidates:
        times = _read_times(raw, name, spec, with_numbers=reads)
        if times is None:
            continue
        facts = _describe(raw.table, name, times, [*targets, name], request)
        if facts is not None and (request.is_stated or facts.is_even):
            return facts
    if not request.is_stated:
        return None
    if request.time is not None:
        message = f'column "{request.time}" has no time in each row, or two rows of one time in each series'
        raise InputError(Problem(f"{message}: --by names the column that distinguishes series", "--time"))
    raise InputError(Problem(f"no column holds times; name it by --time: {', '.join(names[:20])}", "--time"))


def _read_times(raw: RawData, name: str, spec: DataSpec, *, with_numbers: bool) -> Array | None:
    """Return a column as days, or as the numbers it has; None if it holds no time."""
    assert raw.table is not None
    cells = select_column(raw.table, name)
    if not with_numbers and _holds_numbers(cells):  # a table may have thousands of such columns
        return None
    try:
        kind, values = read_values(cells, name, raw, spec)
    except InputError:
        return None
    if kind != "date" and not (kind == "numeric" and with_numbers):
        return None
    return np.asarray(values, dtype=float)


def _describe(
    table: pd.DataFrame, name: str, times: Array, taken: Sequence[str], request: SeriesRequest
) -> SeriesFacts | None:
    """Return the series that a column of times makes; None where a time is missing, or stands twice in a series."""
    if not np.isfinite(times).all():
        return None
    by, groups = _find_groups(table, times, taken, request.by)
    if groups is None:
        return None
    order = np.lexsort((times, groups))
    same = np.diff(groups[order]) == 0
    steps = np.diff(times[order])[same]
    longest = int(np.bincount(groups).max())
    if not len(steps):
        return None
    usual = float(np.median(steps))
    share = float((np.abs(steps - usual) <= 0.15 * usual).mean())  # months differ by a tenth
    step, ahead, length = _find_habit(usual)
    horizon = request.horizon or max(1, min(ahead, longest // _SHARE_AHEAD))
    length = max(2, min(max(length, 2 * horizon), longest // _SHARE_OF_WINDOW))
    is_even = share >= _SHARE_OF_USUAL_STEPS and longest >= _LEAST_ROWS
    guessed = list(_list_guesses(name, by, step, horizon, request))
    return SeriesFacts(name, by, step, length, horizon, is_even, "a guess: " + "; ".join(guessed) if guessed else "")


def _find_groups(
    table: pd.DataFrame, times: Array, taken: Sequence[str], by: str | None
) -> tuple[str | None, Array | None]:
    """Return the column that distinguishes series, and the number of each row's series; None where none does."""
    if by is not None:
        groups = pd.factorize(select_column(table, by).astype(str))[0]
        return by, None if _has_twice(times, groups) else groups
    one = np.zeros(len(times), dtype=int)
    if not _has_twice(times, one):
        return None, one
    # Words before numbers: an amount may be unique a day by chance.
    names = [str(column) for column in table.columns if str(column) not in taken]
    for name in sorted(names, key=lambda each: _holds_numbers(select_column(table, each))):
        groups, values = pd.factorize(select_column(table, name).astype(str))
        if 1 < len(values) <= _MOST_SERIES * len(times) and not _has_twice(times, groups):
            return name, groups
    return None, None


def _holds_numbers(column: pd.Series[Any]) -> bool:
    """Return whether the first cells of a column are plain numbers."""
    cells = column.dropna().astype(str).str.strip()
    cells = cells[cells != ""].iloc[:_SAMPLE]
    return bool(len(cells)) and bool(pd.to_numeric(cells, errors="coerce").notna().all())


def _has_twice(times: Array, groups: Array) -> bool:
    return bool(pd.DataFrame({"time": times, "group": groups}).duplicated().any())


def _find_habit(step: float) -> tuple[str, int, int]:
    return next(((name, ahead, length) for most, name, ahead, length in _HABITS if 0 < step <= most), _OTHER)


def _list_guesses(name: str, by: str | None, step: str, horizon: int, request: SeriesRequest) -> Iterator[str]:
    if request.time is None:
        yield f"{name} holds the times"
    if request.by is None and by is not None:
        yield f"{by} distinguishes series, as each time stands once in each"
    if request.horizon is None:
        yield f"{horizon} rows ahead, by the usual step of a {step}"


def describe_series(facts: SeriesFacts, source: str, target: str) -> str:
    """Return the note on a table that looks like a series: how to have a forecast of it."""
    words = ["kerastudy init", source, "--target", target, "--time", facts.time]
    words += [] if facts.by is None else ["--by", facts.by]
    words += ["--horizon", str(facts.horizon)]
    each = "" if facts.by is None else f' for each "{facts.by}"'
    return (
        f'the rows look like a series: "{facts.time}" has a row each {facts.step}{each}. To forecast {target} from the '
        f"rows before, {words[0]} {shlex.join(words[1:])}"
    )


def list_other_columns(data: Mapping[str, Any], error: InputError) -> list[str]:
    """Return the columns that an error of windows names to be left out; none for any other error."""
    if "series" not in data:
        return []
    mark, advice = ', but column "', "name it in data.drop"
    found = [problem.message for problem in error.problems if problem.path == "data.series"]
    # All or none: what is left would be refused all the same.
    if len(found) < len(error.problems) or not all(mark in each and advice in each for each in found):
        return []
    return [each.partition(mark)[2].partition('" holds ')[0] for each in found]
