"""Newest window of each series of a table, which a forecast starts from, and the times of the rows that it predicts.

A deployed model has a copy of this file beside its loader, so nothing of kerastudy is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .time_values import write_time

_LONG = 1.5  # of the usual step, from which rows are missing
_SHORT = 0.6
_MOST_NAMED = 5

Read = Callable[[Any, Mapping[str, Any]], Any]
"""Converts a column's cells to float64 or strings, given the column's description."""


@dataclass(frozen=True)
class NewestWindows:
    """One window for each series that has enough rows.

    Attributes:
        inputs: the model's inputs by name, [series, ...] each.
        rows: table with the series and the time of each predicted row, series by series.
        steps: predicted rows of each series.
        notes: series that are left out.
    """

    inputs: Mapping[str, Any]
    rows: Any
    steps: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Rows:
    """Rows in the order of series and time; `row` is the number in the table, `known` whether the target is there."""

    row: Any
    times: Any
    series: Any
    names: Any
    known: Any


def list_columns(facts: Mapping[str, Any]) -> list[str]:
    """Return the columns that a table must have."""
    named = [facts["by"]["column"]] if facts["by"] else []
    # What happens at a window's last row need not be known in order to predict it.
    targets = facts["targets"] if facts["horizon"] else []
    return list(
        dict.fromkeys([*named, facts["time"]["column"], *(each["column"] for each in facts["channels"]), *targets])
    )


def cut_newest_windows(table: Any, facts: Mapping[str, Any], read: Read) -> NewestWindows:
    """Return the window that ends at the last row of each series whose target is known.

    Rows after it hold columns that are known ahead, and none of the target. The order of the rows does not matter.

    Args:
        table: the rows, a DataFrame.
        facts: facts of the windows that the model was trained on, as plain values.
        read: reader of a column's cells.

    Raises:
        ValueError: if a column is missing, a time is missing or there twice, a row is missing in a window, or no series
            has enough rows.
    """
    if lacking := [name for name in list_columns(facts) if name not in table]:
        raise ValueError(f"these columns are missing: {', '.join(lacking)}")
    table = table.reset_index(drop=True)
    rows = _order_rows(table, facts, read)
    ends, notes = _find_ends(rows, facts)
    for end in ends:
        _check_steps(rows, end, facts)
    times = [_list_times(rows, end, facts) for end in ends]
    described = _describe_rows(table, rows, ends, times, facts)
    inputs = _gather(table, rows, ends, times, facts, read)
    return NewestWindows(inputs, described, len(times[0]), notes)


def _order_rows(table: Any, facts: Mapping[str, Any], read: Read) -> _Rows:
    time = facts["time"]
    times = read(table[time["column"]], time)
    if len(missing := np.flatnonzero(~np.isfinite(times))):
        raise ValueError(f'column "{time["column"]}" has no time in row {missing[0]}')
    names = np.array([""] * len(table), dtype=object)
    if facts["by"]:
        names = np.asarray(read(table[facts["by"]["column"]], facts["by"]), dtype=object)
    series = np.unique(names.astype(str), return_inverse=True)[1].reshape(-1)
    order = np.lexsort((times, series))
    twice = np.flatnonzero((np.diff(times[order]) == 0) & (np.diff(series[order]) == 0))
    if len(twice):
        first, second = sorted((order[twice[0]], order[twice[0] + 1]))
        where = f' of series "{names[first]}"' if facts["by"] else ""
        raise ValueError(
            f'column "{time["column"]}" has one time twice{where}, in rows {first} and {second}; remove one'
        )
    known = np.ones(len(table), dtype=bool)
    for name in facts["targets"] if facts["horizon"] else ():
        cells = table[name]
        known &= cells.notna().to_numpy() & (cells.astype(str).str.strip() != "").to_numpy()
    return _Rows(order, times[order], series[order], names[order], known[order])


def _find_ends(rows: _Rows, facts: Mapping[str, Any]) -> tuple[list[int], tuple[str, ...]]:
    """Return the last row of each newest window, as a position among the ordered rows, and notes."""
    length, ahead = facts["length"], facts["horizon"] if _needs_rows_ahead(facts) else 0
    ends, short = [], []
    for number in range(int(rows.series.max()) + 1 if len(rows.series) else 0):
        places = np.flatnonzero(rows.series == number)
        with_target = places[rows.known[places]]
        is_long = len(with_target) > 0 and with_target[-1] - places[0] + 1 >= length
        if is_long and places[-1] - with_target[-1] >= ahead:
            ends.append(int(with_target[-1]))
        else:
            has = int(with_target[-1] - places[0] + 1) if len(with_target) else 0
            after = f" and {places[-1] - with_target[-1]} after it" if ahead and len(with_target) else ""
            short.append(f'"{rows.names[places[0]]}" has {has}{after}' if facts["by"] else f"there are {has}{after}")
    need = f"{length} rows up to the last one" + (" with the target" if facts["horizon"] else "")
    if ahead:
        time = facts["time"]["column"]
        named = dict.fromkeys(each["column"] for each in facts["channels"] if each["ahead"] and each["column"] != time)
        need += f", and {ahead} rows after it with {', '.join(named)}"
    listed = f"{'; '.join(short[:_MOST_NAMED])}{'; and others' if len(short) > _MOST_NAMED else ''}"
    if not ends:
        raise ValueError(f"no series can be forecast: each needs {need}, {listed or 'there are none'}")
    return ends, (f"{len(short)} series are left out, as each needs {need}: {listed}",) if short else ()


def _needs_rows_ahead(facts: Mapping[str, Any]) -> bool:
    """Return whether a column is known ahead whose values nobody can compute; the time goes on in its usual steps."""
    return any(each["ahead"] and each["column"] != facts["time"]["column"] for each in facts["channels"])


def _check_steps(rows: _Rows, end: int, facts: Mapping[str, Any]) -> None:
    """Refuse a window whose rows are further apart in time, or nearer, than those of training nearly always were."""
    if not facts["is_even"] or not facts["step"]:
        return
    last = end + (facts["horizon"] if _needs_rows_ahead(facts) else 0)
    times = rows.times[end - facts["length"] + 1 : last + 1]
    steps = np.diff(times)
    odd = np.flatnonzero((steps > _LONG * facts["step"]) | (steps < _SHORT * facts["step"]))
    if not len(odd):
        return
    at = odd[0]
    pair = " and ".join(_format_time(each, facts) for each in times[at : at + 2])
    where = f'series "{rows.names[end]}": ' if facts["by"] else ""
    if steps[at] > _LONG * facts["step"]:
        clock = " (or write the times in UTC, where a clock was changed)" if facts["step"] < 1 else ""
        advice = f"rows are missing between {pair}; add them, with empty cells for what is not known{clock}"
    else:
        advice = f"rows are nearer in time than in training, as {pair}; give the steps of training"
    raise ValueError(where + advice)


def _list_times(rows: _Rows, end: int, facts: Mapping[str, Any]) -> list[float]:
    """Return the times of the predicted rows: those of the table where it has these rows, else in the usual steps."""
    if not facts["horizon"]:
        return [float(rows.times[end])]
    own = np.flatnonzero(rows.series == rows.series[end])
    known = [float(rows.times[end + step]) for step in range(1, facts["horizon"] + 1) if end + step <= own[-1]]
    missing = facts["horizon"] - len(known)
    return [*known, *_continue_times(rows.times[own], missing, facts)]


def _continue_times(times: Any, missing: int, facts: Mapping[str, Any]) -> list[float]:
    import pandas as pd

    usual = float(np.median(np.diff(times))) if len(times) > 1 else facts["step"]
    if facts["time"]["kind"] == "date" and missing and len(times) >= 3:
        dates = _make_dates(times)
        # Months and business days have no length in days; pandas finds them by their dates.
        if (frequency := pd.DatetimeIndex(dates, freq="infer").freq) is not None:
            found = pd.date_range(dates[-1], periods=missing + 1, freq=frequency)[1:]
            return [each.timestamp() / 86400 for each in found]
    return [float(times[-1] + usual * step) for step in range(1, missing + 1)]


def _make_dates(days: Any) -> Any:
    """Return days since 1970-01-01 as dates, to the second."""
    import pandas as pd

    # Days as floating-point numbers are exact to less than a microsecond. Nanoseconds end in 1677 and 2262.
    return pd.DatetimeIndex(np.round(np.asarray(days, np.float64) * 86400).astype("datetime64[s]"))


def _describe_rows(table: Any, rows: _Rows, ends: Sequence[int], times: Sequence[Sequence[float]], facts: Any) -> Any:
    import pandas as pd

    column = facts["time"]["column"]
    given = table[column]
    flat = [at for each in times for at in each]
    if facts["time"]["kind"] != "date":
        cells: Any = flat
    elif pd.api.types.is_datetime64_any_dtype(given.dtype):
        cells = _make_dates(flat).as_unit(given.dt.unit).tz_localize("UTC")
        cells = cells.tz_localize(None) if given.dt.tz is None else cells.tz_convert(given.dt.tz)
    else:
        cells = _write_times(table, rows, ends, times, facts)
    names = (
        {facts["by"]["column"]: [rows.names[end] for end, each in zip(ends, times, strict=True) for _ in each]}
        if (facts["by"])
        else {}
    )
    return pd.DataFrame({**names, column: cells})


def _write_times(
    table: Any, rows: _Rows, ends: Sequence[int], times: Sequence[Sequence[float]], facts: Any
) -> list[str]:
    """Return times as text: as the table has them, else in its form."""
    cells, written = table[facts["time"]["column"]], list[str]()
    first = 1 if facts["horizon"] else 0
    for end, each in zip(ends, times, strict=True):
        for step, at in enumerate(each, start=first):
            place = end + step
            is_there = place < len(rows.times) and rows.series[place] == rows.series[end] and rows.times[place] == at
            written.append(str(cells.iloc[int(rows.row[place])]) if is_there else _format_time(at, facts))
    return written


def _format_time(value: float, facts: Mapping[str, Any]) -> str:
    if facts["time"]["kind"] != "date":
        return f"{value:g}"
    at = _make_dates([value])[0]
    form = facts["time"].get("form") or {}
    date_format, unit = form.get("date_format", ""), form.get("unit", "")
    if date_format or unit:
        return str(write_time(at.timestamp() / 86400, date_format, unit))
    return str(at.date().isoformat() if at == at.normalize() else at.isoformat(timespec="seconds"))


def _gather(
    table: Any, rows: _Rows, ends: Sequence[int], times: Sequence[Sequence[float]], facts: Mapping[str, Any], read: Read
) -> dict[str, Any]:
    """Return the model's inputs: the numbers [series, time, channel], categories [series, time], names [series]."""
    numbers: dict[str, list[Any]] = {}
    inputs: dict[str, Any] = {}
    for channel, values in _read_channels(table, rows, facts, read):
        if channel["column"] == facts["time"]["column"] and channel["ahead"]:
            window = _shift_times(rows, ends, times, facts)
        else:
            window = np.stack([values[_list_places(end, channel, facts)] for end in ends])
        if channel["kind"] == "string":
            inputs[channel["input"]] = window.astype(object)
        else:
            window = np.where(np.abs(window) <= np.finfo(np.float32).max, window, np.nan)
            numbers.setdefault(channel["input"], []).append(window.astype(np.float32))
    inputs |= {name: np.stack(channels, axis=-1) for name, channels in numbers.items()}
    if facts["is_by_input"]:
        inputs[facts["by"]["input"]] = np.array([rows.names[end] for end in ends], dtype=object)
    return inputs


def _read_channels(
    table: Any, rows: _Rows, facts: Mapping[str, Any], read: Read
) -> Iterator[tuple[Mapping[str, Any], Any]]:
    found: dict[str, Any] = {facts["time"]["column"]: rows.times}
    for channel in facts["channels"]:
        name = channel["column"]
        if name not in found:
            found[name] = np.asarray(read(table[name], channel))[rows.row]
        yield channel, found[name]


def _list_places(end: int, channel: Mapping[str, Any], facts: Mapping[str, Any]) -> Any:
    return np.arange(end - facts["length"] + 1, end + 1) + channel["ahead"]


def _shift_times(rows: _Rows, ends: Sequence[int], times: Sequence[Sequence[float]], facts: Mapping[str, Any]) -> Any:
    """Return the times of each window's rows, `horizon` rows ahead [series, time]."""
    length = facts["length"]
    past = (rows.times[end - length + 1 : end + 1] for end in ends)
    return np.stack([np.concatenate([each, ahead])[-length:] for each, ahead in zip(past, times, strict=True)])
