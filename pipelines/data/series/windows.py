"""Windows of a table of time series: the last rows of a series as one example, and the rows after them as its target.

A window has `length` rows of one series, in the order of time, and is dated by its last row. Its channels are the
numeric columns, with the target's past among them where there is a horizon. A column that is `known` ahead has a second
channel, `horizon` rows ahead of the first: its last rows are the column's values in the forecast.

Windows are split in time. Those for training end so early that no target of theirs is one of a validation window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import clean_text, read_values
from pipelines.data.raw import Origin, RawData, Windows, select_column
from pipelines.spec.data_spec import DataSpec, SeriesSpec
from search_spaces.errors import InputError, Problem, suggest_choice


@dataclass(frozen=True)
class SeriesRows:
    """All rows of a table, in the order of series and time.

    Attributes:
        row: number of the row in the table.
        times: its time, as a number.
        series: number of its series; a series does not go on in another file.
        channels: names of the channels.
        values: float64 [row, channel].
        targets: per name the target's value.
    """

    row: Array
    times: Array
    series: Array
    channels: tuple[str, ...]
    values: Array
    targets: pd.DataFrame


def cut_windows(raw: RawData, spec: DataSpec) -> tuple[RawData, DataSpec]:
    """Return the windows of a table, and the settings of `data` that are left for them; both unchanged without series.

    Raises:
        InputError: if a column is missing or is no number, two rows of a series have one time, or no window is whole.
    """
    if (series := spec.series) is None:
        return raw, spec
    if raw.table is None or raw.labels is not None:
        raise InputError(Problem("windows are made of a table, and this source has no columns", "data.series"))
    rows = read_series_rows(raw, raw.table, spec, series)
    index = _list_windows(rows, series)
    index, notes = _drop_unlabelled(index, rows, series)
    if not len(index):
        longest = int(np.bincount(rows.series).max())
        need = f"a window needs {series.length + series.horizon} rows with the target"
        raise InputError(Problem(f"no window is whole: {need}, the longest series has {longest} rows", "data.series"))
    return _gather(raw, rows, index, series, notes), _leave_for_windows(rows, spec, series)


def read_series_rows(raw: RawData, table: pd.DataFrame, spec: DataSpec, series: SeriesSpec) -> SeriesRows:
    """Return the rows of a table as numbers, in the order of series and time.

    Raises:
        InputError: as `cut_windows` does, but for windows that are not whole.
    """
    targets = [spec.target] if isinstance(spec.target, str) else list(spec.target or [])
    _check_names(table, targets, spec, series)
    times = _read_times(table, raw, spec, series)
    part = np.unique(raw.given, return_inverse=True)[1]
    by = "" if series.by is None else clean_text(select_column(table, series.by), spec)
    group = pd.factorize(pd.Series(by, index=range(raw.rows)).astype(str) + "\0" + pd.Series(part).astype(str))[0]
    order = np.lexsort((times, group))
    _check_times(times, group, order, raw, series)
    columns = [name for name in map(str, table.columns) if name not in {series.time, series.by, *spec.drop}]
    read = {name: read_values(select_column(table, name), name, raw, spec) for name in columns}
    kinds = {name: kind for name, (kind, _) in read.items()}
    # Without a horizon a window's target is at its last row, where nobody knows it yet.
    features = [name for name in columns if name not in targets or (series.horizon and kinds[name] == "numeric")]
    for name in features:
        if kinds[name] not in ("numeric", "boolean"):
            message = (
                f'the channels of a series are numbers, but column "{name}" is {kinds[name]}; name it in data.drop'
            )
            raise InputError(Problem(message, "data.series"))
    if not features:
        raise InputError(Problem("there is no column of numbers to make windows of", "data.series"))
    values = np.stack([read[name][1] for name in features], axis=1)
    labels = {name: read[name][1] if kinds[name] == "numeric" else select_column(table, name) for name in targets}
    return SeriesRows(
        row=order,
        times=times[order],
        series=group[order],
        channels=tuple(features),
        values=values[order],
        targets=pd.DataFrame(labels).iloc[order].reset_index(drop=True),
    )


def _check_names(table: pd.DataFrame, targets: list[str], spec: DataSpec, series: SeriesSpec) -> None:
    columns = [str(name) for name in table.columns]
    named = [("data.series.time", series.time), ("data.series.by", series.by)]
    named += [("data.series.known", name) for name in series.known] + [("data.target", name) for name in targets]
    for key, name in named:
        if name is not None and name not in columns:
            raise InputError(Problem(f'there is no column "{name}"; {suggest_choice(name, columns)}', key))
        if name in spec.drop:
            raise InputError(Problem(f'column "{name}" is {key} too; remove it here', "data.drop"))
        if key != "data.target" and name in targets:
            raise InputError(Problem(f'column "{name}" is the target; remove it here', key))
    if not targets:
        raise InputError(Problem(f"name the column to predict; the columns are {', '.join(columns)}", "data.target"))


def _read_times(table: pd.DataFrame, raw: RawData, spec: DataSpec, series: SeriesSpec) -> Array:
    cells = select_column(table, series.time)
    kind, values = read_values(cells, series.time, raw, spec)
    if kind not in ("numeric", "date"):
        example = next((str(value) for value in cells if str(value).strip()), "")
        message = f'expected dates or numbers, but column "{series.time}" is {kind}, such as {example!r}'
        raise InputError(Problem(message, "data.series.time"))
    missing = np.flatnonzero(~np.isfinite(values))
    if len(missing):
        message = f'column "{series.time}" has no value at {raw.format_places(missing)}; correct or remove these rows'
        raise InputError(Problem(message, "data.series.time"))
    return values


def _check_times(times: Array, group: Array, order: Array, raw: RawData, series: SeriesSpec) -> None:
    twice = (np.diff(times[order]) == 0) & (np.diff(group[order]) == 0)
    if twice.any():
        first = int(twice.argmax())
        places = f"{raw.format_place(int(order[first]))} and {raw.format_place(int(order[first + 1]))}"
        advice = "name the column that distinguishes series" if series.by is None else "remove one"
        message = f'two rows of a series have the same "{series.time}", at {places}; {advice}'
        raise InputError(Problem(message, "data.series.by" if series.by is None else "data.series.time"))


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
    steps = range(1, series.horizon + 1) if series.horizon else [0]
    known = np.ones(len(index), dtype=bool)
    for name in rows.targets.columns:
        is_known = rows.targets[name].notna().to_numpy() & (rows.targets[name] != "").to_numpy()
        for step in steps:
            known &= is_known[index + step]
    lost = len(index) - int(known.sum())
    notes = (f"{lost} windows are left out: a target of theirs is missing (data.series)",) if lost else ()
    return index[known], notes


def gather_windows(rows: SeriesRows, index: Array, series: SeriesSpec) -> Array:
    """Return the windows that end at some of the ordered rows, float32 [window, time, channel]."""
    before = np.arange(series.length) - series.length + 1
    # float32 at once: windows repeat every row `length` times.
    values = np.where(np.abs(rows.values) <= np.finfo(np.float32).max, rows.values, np.nan).astype(np.float32)
    parts = [values[index[:, None] + before]]
    if series.known and series.horizon:
        ahead = [rows.channels.index(name) for name in series.known]
        parts.append(values[:, ahead][index[:, None] + before + series.horizon])
    return np.concatenate(parts, axis=-1)


def _gather(raw: RawData, rows: SeriesRows, index: Array, series: SeriesSpec, notes: tuple[str, ...]) -> RawData:
    steps = list(range(1, series.horizon + 1)) if series.horizon else [0]
    labels = pd.DataFrame(
        {
            name if len(steps) == 1 else f"{name}+{step}": rows.targets[name].to_numpy()[index + step]
            for name in rows.targets.columns
            for step in steps
        }
    )
    return RawData(
        origins=tuple(_locate_windows(raw, rows.row[index])),
        array=gather_windows(rows, index, series),
        labels=labels,
        windows=_describe_windows(rows, index, series),
        notes=(*raw.notes, *_describe(rows, index, series), *notes),
    )


def _locate_windows(raw: RawData, last: Array) -> Iterator[Origin]:
    """Yield the sources of windows by their last rows, each with the files' names and places."""
    given = raw.given[last]
    # Windows of a part lie together, as the rows of a part are series of their own.
    for part in dict.fromkeys(given.tolist()):
        places = [raw.format_place(int(row)) for row in last[given == part]]
        origin = next(origin for origin in raw.origins if (origin.part or "") == part)
        yield Origin(origin.name, origin.key, "window that ends at", places, origin.part)


def _describe_windows(rows: SeriesRows, index: Array, series: SeriesSpec) -> Windows:
    past = tuple(rows.channels.index(name) if name in rows.channels else None for name in rows.targets.columns)
    periods = np.unique(rows.times, return_inverse=True)[1][index]
    return Windows(periods, name_channels(rows, series), past, find_usual_step(rows.times, rows.series))


def name_channels(rows: SeriesRows, series: SeriesSpec) -> tuple[str, ...]:
    """Return the names of a window's channels, in the order of `gather_windows`."""
    ahead = tuple(f"{name}+{series.horizon}" for name in series.known) if series.horizon else ()
    return (*rows.channels, *ahead)


def find_usual_step(times: Array, series: Array) -> float:
    """Return the median distance in time of two rows of a series; 0 if there are no two."""
    steps = np.diff(times)[np.diff(series) == 0]
    return float(np.median(steps)) if len(steps) else 0.0


def _describe(rows: SeriesRows, index: Array, series: SeriesSpec) -> Iterator[str]:
    ahead = f", and {', '.join(series.known)} ahead" if series.known and series.horizon else ""
    target = (
        f"the next {series.horizon}" if series.horizon > 1 else "the next row" if series.horizon else "the last row"
    )
    count = int(rows.series.max()) + 1
    yield (
        f"{len(index)} windows of {series.length} rows are made of {count} series: channels {', '.join(rows.channels)}"
        f"{ahead}; the target is {target} (data.series)"
    )
    steps = np.diff(rows.times)[np.diff(rows.series) == 0]
    usual = find_usual_step(rows.times, rows.series)
    uneven = int((np.abs(steps - usual) > 1e-6 * max(usual, 1e-12)).sum())
    if uneven * 20 > len(steps):
        yield f'the steps of "{series.time}" differ: {uneven} of {len(steps)} are not the usual one, and count as a row'


def _leave_for_windows(rows: SeriesRows, spec: DataSpec, series: SeriesSpec) -> DataSpec:
    """Return the settings that hold for windows: what named columns is done, and parts are in time."""
    task = spec.task
    if task == "auto" and series.horizon and all(name in rows.channels for name in rows.targets.columns):
        # Few whole numbers, such as sales of a day, are no classes in a forecast.
        task = "regression" if series.horizon * rows.targets.shape[1] == 1 else "multi_output_regression"
    gap = max(spec.split.gap, series.horizon - 1)
    left: dict[str, object] = {"series": None, "target": None, "drop": [], "columns": {}, "task": task}
    return spec.model_copy(update={**left, "split": spec.split.model_copy(update={"gap": gap})})
