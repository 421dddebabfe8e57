"""Windows of a table of time series: the last rows of a series as one example, and the rows after them as its target.

A window has `length` rows of one series, in the order of time, and is dated by its last row. Its channels are the
columns of numbers, Booleans, dates and categories, with the target's past among them where there is a horizon. A column
that is `known` ahead has a second channel, `horizon` rows ahead of the first: its last rows are the column's values in
the forecast. A window also knows the name of its series.

Windows are split in time. Those for training end so early that no target of theirs is one of a validation window.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.raw import Origin, RawData, Windows
from pipelines.data.series.series_rows import SeriesColumn, SeriesRows, read_series_rows
from pipelines.data.window_facts import WindowChannel, WindowFacts
from pipelines.spec.data_spec import DataSpec, SeriesSpec
from search_spaces.errors import InputError, Problem

_UNEVEN_FROM = 1 / 20  # share of steps; chosen


def cut_windows(raw: RawData, spec: DataSpec) -> tuple[RawData, DataSpec]:
    """Return the windows of a table, and the settings of `data` that are left for them; both unchanged without series.

    Raises:
        InputError: if the rows cannot be read as series, or no window is whole.
    """
    if (series := spec.series) is None:
        return raw, spec
    if raw.table is None or raw.labels is not None:
        raise InputError(Problem("windows are made of a table, and this source has no columns", "data.series"))
    rows = read_series_rows(raw, spec, series)
    index = _list_windows(rows, series)
    index, notes = _drop_unlabelled(index, rows, series)
    if not len(index):
        longest = int(np.bincount(rows.series).max())
        need = f"a window needs {series.length + series.horizon} rows with the target"
        message = f"no window is whole: {need}, the longest series has {longest} rows; set a smaller length or horizon"
        raise InputError(Problem(message, "data.series"))
    return _gather(raw, rows, index, series, notes), _leave_for_windows(rows, spec, series)


def _list_windows(rows: SeriesRows, series: SeriesSpec) -> Array:
    """Return the last row of each window, as a position among the ordered rows."""
    positions = np.arange(len(rows.row))
    first = np.r_[True, np.diff(rows.series) != 0]
    begins = np.maximum.accumulate(np.where(first, positions, 0))
    last = np.r_[first[1:], True]
    ends = np.minimum.accumulate(np.where(last, positions, len(positions))[::-1])[::-1]
    whole = (positions - begins >= series.length - 1) & (ends - positions >= series.horizon)
    # Counted from the end: the newest window of each series is always there.
    chosen: Array = positions[whole & ((ends - series.horizon - positions) % series.stride == 0)]
    return chosen


def _drop_unlabelled(index: Array, rows: SeriesRows, series: SeriesSpec) -> tuple[Array, tuple[str, ...]]:
    known = np.ones(len(index), dtype=bool)
    for name in rows.targets.columns:
        is_known = rows.targets[name].notna().to_numpy() & (rows.targets[name] != "").to_numpy()
        for step in _list_steps(series):
            known &= is_known[index + step]
    lost = len(index) - int(known.sum())
    notes = (f"{lost} windows are left out: a target of theirs is missing (data.series)",) if lost else ()
    return index[known], notes


def _list_steps(series: SeriesSpec) -> list[int]:
    """Return the rows after a window's last that are its target."""
    return list(range(1, series.horizon + 1)) if series.horizon else [0]


def _gather(raw: RawData, rows: SeriesRows, index: Array, series: SeriesSpec, notes: tuple[str, ...]) -> RawData:
    steps = _list_steps(series)
    labels = pd.DataFrame(
        {
            name if len(steps) == 1 else f"{name}+{step}": rows.targets[name].to_numpy()[index + step]
            for name in rows.targets.columns
            for step in steps
        }
    )
    return RawData(
        origins=tuple(_locate_windows(raw, rows.row[index])),
        array=_gather_numbers(rows, index, series),
        labels=labels,
        windows=_describe_windows(rows, index, series),
        notes=(*raw.notes, *rows.notes, *_describe(rows, index, series), *notes),
    )


def _gather_numbers(rows: SeriesRows, index: Array, series: SeriesSpec) -> Array:
    """Return the windows that end at some of the ordered rows, float32 [window, time, channel]."""
    # float32 at once: windows repeat every row `length` times.
    parts = [_round(column.values)[_list_places(index, series, ahead)] for column, ahead in _list_channels(rows, series)
             if not column.is_words]  # fmt: skip
    return np.stack(parts, axis=-1) if parts else np.zeros((len(index), series.length, 0), np.float32)


def _round(values: Array) -> Array:
    return np.where(np.abs(values) <= np.finfo(np.float32).max, values, np.nan).astype(np.float32)


def _list_places(index: Array, series: SeriesSpec, ahead: int) -> Array:
    """Return the positions of the rows of each window [window, time]."""
    places: Array = index[:, None] + np.arange(series.length) - series.length + 1 + ahead
    return places


def _list_channels(rows: SeriesRows, series: SeriesSpec) -> Iterator[tuple[SeriesColumn, int]]:
    """Yield each column of a window, and how many rows ahead of the window it is."""
    yield from ((column, 0) for column in rows.columns)
    if series.horizon:
        by_name = {column.name: column for column in rows.columns}
        yield from ((by_name[name], series.horizon) for name in series.known)


def _locate_windows(raw: RawData, last: Array) -> Iterator[Origin]:
    """Yield the sources of windows by their last rows, each with the files' names and places."""
    given = raw.given[last]
    # Windows of a part lie together, as the rows of a part are series of their own.
    for part in dict.fromkeys(given.tolist()):
        places = [raw.format_place(int(row)) for row in last[given == part]]
        origin = next(origin for origin in raw.origins if (origin.part or "") == part)
        yield Origin(origin.name, origin.key, "window that ends at", places, origin.part)


def _describe_windows(rows: SeriesRows, index: Array, series: SeriesSpec) -> Windows:
    numbers = [column.name for column in rows.numbers]
    channels = list(_list_channels(rows, series))
    periods, steps = np.unique(rows.times, return_inverse=True)[1], np.array(_list_steps(series))
    facts = WindowFacts(
        channels=tuple(_describe_channel(column, ahead) for column, ahead in channels),
        time=_describe_channel(rows.time),
        by=None if rows.by is None else _describe_channel(rows.by),
        length=series.length,
        horizon=series.horizon,
        targets=tuple(map(str, rows.targets.columns)),
        past=tuple(numbers.index(name) if name in numbers else None for name in rows.targets.columns),
        step=find_usual_step(rows.times, rows.series),
        is_even=_count_uneven(rows) <= _UNEVEN_FROM * max(1, len(rows.row)),
        is_by_input=rows.by is not None and series.by_input,
    )
    return Windows(
        facts=facts,
        periods=periods[index],
        reaches=periods[index + steps[-1]],
        times=rows.times[index[:, None] + steps],
        words={
            _name_channel(column.name, ahead): column.values[_list_places(index, series, ahead)]
            for column, ahead in channels
            if column.is_words
        },
        names=None if rows.by is None else rows.by.values[index],
    )


def _describe_channel(column: SeriesColumn, ahead: int = 0) -> WindowChannel:
    return WindowChannel(_name_channel(column.name, ahead), column.name, column.kind, column.form, ahead)


def _name_channel(name: str, ahead: int) -> str:
    return f"{name}+{ahead}" if ahead else name


def find_usual_step(times: Array, series: Array) -> float:
    """Return the median distance in time of two rows of a series; 0 if there are no two."""
    steps = np.diff(times)[np.diff(series) == 0]
    return float(np.median(steps)) if len(steps) else 0.0


def _count_uneven(rows: SeriesRows) -> int:
    """Return the steps that are not the usual one; months differ by a tenth of theirs, and clocks change."""
    steps, usual = np.diff(rows.times)[np.diff(rows.series) == 0], find_usual_step(rows.times, rows.series)
    slack = 0.12 * usual if usual > 20 else 1e-6 * max(usual, 1e-12)
    return int((np.abs(steps - usual) > slack).sum())


def _describe(rows: SeriesRows, index: Array, series: SeriesSpec) -> Iterator[str]:
    ahead = f", and {', '.join(series.known)} ahead" if series.known and series.horizon else ""
    target = (
        f"the next {series.horizon}" if series.horizon > 1 else "the next row" if series.horizon else "the last row"
    )
    names = [column.name for column in rows.columns if column.name != series.time]
    yield (
        f"{len(index)} windows of {series.length} rows are made of {int(rows.series.max()) + 1} series: channels "
        f"{', '.join(names)}{ahead}; the target is {target} (data.series)"
    )
    yield from _describe_short(rows, index, series)
    yield from _describe_steps(rows, series)


def _describe_short(rows: SeriesRows, index: Array, series: SeriesSpec) -> Iterator[str]:
    sizes = np.bincount(rows.series)
    used = np.zeros(len(sizes), dtype=bool)
    used[rows.series[index]] = True
    short = np.flatnonzero(~used)
    if not len(short):
        return
    need = series.length + series.horizon
    named = ""
    if rows.by is not None:
        first = {int(number): str(rows.by.values[row]) for row, number in reversed(list(enumerate(rows.series)))}
        shown = ", ".join(f'"{first[int(number)]}" ({sizes[number]} rows)' for number in short[:5])
        named = f": {shown}{' and others' if len(short) > 5 else ''}"
    yield f"{len(short)} series give no window, which needs {need} rows with the target (data.series.length){named}"


def _describe_steps(rows: SeriesRows, series: SeriesSpec) -> Iterator[str]:
    steps = np.diff(rows.times)[np.diff(rows.series) == 0]
    usual, uneven = find_usual_step(rows.times, rows.series), _count_uneven(rows)
    if not uneven:
        return
    if uneven > _UNEVEN_FROM * len(steps):
        yield f'the steps of "{series.time}" differ: {uneven} of {len(steps)} are not the usual one, and count as a row'
        return
    at = int(np.flatnonzero((np.diff(rows.series) == 0) & (np.diff(rows.times) > 1.5 * usual))[:1].sum())
    gaps = int((steps > 1.5 * usual).sum())
    if gaps:
        where = f"{_format_time(rows.times[at], rows)} and {_format_time(rows.times[at + 1], rows)}"
        yield (
            f'{gaps} of {len(steps)} steps of "{series.time}" are longer than usual, the first between {where}: '
            "windows count rows and not time; add the missing rows, with empty cells, where that matters"
        )


def _format_time(value: float, rows: SeriesRows) -> str:
    return format_time(value, is_date=rows.time.kind == "date")


def format_time(value: float, *, is_date: bool) -> str:
    """Return a time as text.

    >>> format_time(19723.5, is_date=True), format_time(7.0, is_date=False)
    ('2024-01-01T12:00:00', '7')
    """
    if not is_date:
        return f"{value:g}"
    at = pd.Timestamp(round(value * 86400), unit="s")
    return at.date().isoformat() if at == at.normalize() else at.isoformat(timespec="seconds")


def _leave_for_windows(rows: SeriesRows, spec: DataSpec, series: SeriesSpec) -> DataSpec:
    """Return the settings that hold for windows: what named columns is done, and parts are in time."""
    task, kinds = spec.task, {column.name: column.kind for column in rows.columns}
    if task == "auto" and series.horizon and all(kinds.get(name) == "numeric" for name in rows.targets.columns):
        # Few whole numbers, such as sales of a day, are no classes in a forecast.
        task = "regression" if series.horizon * rows.targets.shape[1] == 1 else "multi_output_regression"
    gap = max(spec.split.gap, series.horizon - 1)
    left: dict[str, object] = {"series": None, "target": None, "drop": [], "columns": {}, "task": task}
    return spec.model_copy(update={**left, "split": spec.split.model_copy(update={"gap": gap})})
