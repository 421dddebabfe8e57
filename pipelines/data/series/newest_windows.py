"""The newest window of each series of a table, which a forecast starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.cell_text import clean_text
from pipelines.data.raw import RawData, select_column
from pipelines.data.series.windows import SeriesRows, find_usual_step, gather_windows, name_channels, read_series_rows
from pipelines.spec.data_spec import DataSpec, SeriesSpec
from search_spaces.errors import InputError, Problem


@dataclass(frozen=True)
class NewestWindows:
    """One window for each series that has enough rows.

    Attributes:
        array: float32 [series, time, channel].
        channels: names of the channels.
        names: name of each series; empty where the table is one series.
        times: per series the times of its predicted rows, as text.
        notes: series that are left out.
    """

    array: Array
    channels: tuple[str, ...]
    names: tuple[str, ...]
    times: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def cut_newest_windows(raw: RawData, spec: DataSpec) -> NewestWindows:
    """Return the window that ends at the last row of each series whose target is known.

    Rows after it hold columns that are known ahead, and none of the target.

    Raises:
        InputError: if a column is missing or is no number, or no series has enough rows.
    """
    series = spec.series
    if series is None or raw.table is None:
        raise InputError(Problem("forecasts need a table of series", "data.series"))
    targets = [spec.target] if isinstance(spec.target, str) else list(spec.target or [])
    # What happens at a window's last row need not be known in order to predict it.
    absent = [] if series.horizon else [name for name in targets if name not in raw.table.columns]
    rows = read_series_rows(raw, raw.table.assign(**dict.fromkeys(absent, "")), spec, series)
    ends, notes = _find_ends(rows, raw, series)
    by = None if series.by is None else clean_text(select_column(raw.table, series.by), spec).to_numpy()[rows.row]
    return NewestWindows(
        array=gather_windows(rows, ends, series),
        channels=name_channels(rows, series),
        names=() if by is None else tuple(by[ends].tolist()),
        times=tuple(_list_times(rows, end, raw, spec, series) for end in ends.tolist()),
        notes=notes,
    )


def _find_ends(rows: SeriesRows, raw: RawData, series: SeriesSpec) -> tuple[Array, tuple[str, ...]]:
    known = np.ones(len(rows.row), dtype=bool)
    if series.horizon:
        known = (rows.targets.notna() & (rows.targets != "")).all(axis=1).to_numpy()
    ahead = series.horizon if series.known else 0
    ends, short = [], []
    for number in range(int(rows.series.max()) + 1):
        places = np.flatnonzero(rows.series == number)
        with_target = places[known[places]]
        if (
            len(with_target)
            and with_target[-1] - places[0] + 1 >= series.length
            and places[-1] - with_target[-1] >= ahead
        ):
            ends.append(int(with_target[-1]))
        else:
            short.append(raw.format_place(int(rows.row[places[-1]])))
    need = f"{series.length} rows up to the last one with the target"
    need += f", and {ahead} rows after it with {', '.join(series.known)}" if ahead else ""
    if not ends:
        raise InputError(Problem(f"no series can be forecast: each needs {need}", "data.series"))
    listed = f"series that end at {', '.join(short[:5])}{' and others' if len(short) > 5 else ''}"
    return np.array(ends), (f"{len(short)} {listed} are left out: each needs {need}",) if short else ()


def _list_times(rows: SeriesRows, end: int, raw: RawData, spec: DataSpec, series: SeriesSpec) -> tuple[str, ...]:
    """Return the times of the predicted rows: those of the table where it has these rows, else in the usual steps."""
    assert raw.table is not None
    cells = select_column(raw.table, series.time)
    own = np.flatnonzero(rows.series == rows.series[end])
    steps = range(1, series.horizon + 1) if series.horizon else range(1)
    found = [str(cells.iloc[int(rows.row[end + step])]) for step in steps if end + step <= own[-1]]
    if len(found) == len(steps):
        return tuple(found)
    is_date = pd.api.types.is_datetime64_any_dtype(cells) or not _are_numbers(cells)
    last, missing = float(rows.times[end]), len(steps)
    usual = find_usual_step(rows.times[own], np.zeros(len(own)))
    if not is_date:
        return tuple(f"{last + usual * step:g}" for step in range(1, missing + 1))
    # Days as floating-point numbers are exact to less than a microsecond.
    dates = pd.DatetimeIndex(pd.to_datetime(rows.times[own[own <= end]], unit="D")).round("s")
    # Months and business days have no length in days; pandas finds them by their dates.
    frequency = pd.DatetimeIndex(dates, freq="infer").freq if len(dates) >= 3 else None
    start = dates[-1]
    future = (
        pd.date_range(start, periods=missing + 1, freq=frequency)[1:]
        if frequency is not None
        else [(start + pd.Timedelta(days=usual * step)).round("s") for step in range(1, missing + 1)]
    )
    return tuple(at.date().isoformat() if at == at.normalize() else at.isoformat(timespec="seconds") for at in future)


def _are_numbers(cells: pd.Series) -> bool:
    return bool(pd.to_numeric(cells, errors="coerce").notna().all())
