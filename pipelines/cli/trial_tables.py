"""Tables of trials: their order, their columns, and which of these fit a terminal."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isnan
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from pipelines.cli.output import make_table, print_notes
from pipelines.cli.safe_console import make_console
from pipelines.supervisor.event_text import (
    format_bytes,
    format_cell,
    format_count,
    format_duration,
    format_trial_name,
)
from search_spaces.errors import InputError, suggest_choice
from search_spaces.safe_text import escape_controls

if TYPE_CHECKING:
    from pipelines.queries.views import TrialRow

SCORE = "value"
_GAP = 2  # blanks between two columns
_LEAST_REASON = 20  # characters of a reason that are worth a column
_SPARE = ("memory", "cpu", "epochs", "epoch", "time")  # the first to leave a table that is too wide
_IF_ANY = ("cpu", "memory", "reason")  # columns that are left out where no trial has a value
_STYLES = {"failed": "red", "pruned": "dim", "paused": "dim", "running": "cyan"}


@dataclass(frozen=True)
class Column:
    """A column: its name in a table and in CSV, its value of a trial, and how a table shows that."""

    name: str
    read: Callable[[TrialRow], Any]
    show: Callable[[Any], str] = format_cell
    csv_name: str = ""
    is_param: bool = False

    def format(self, trial: TrialRow) -> str:
        """Return a trial's cell in a table."""
        value = self.read(trial)
        return "" if value is None else self.show(value)

    def measure(self, trials: Sequence[TrialRow]) -> int:
        """Return the characters that its widest cell takes."""
        return max(len(self.name), *(len(self.format(trial)) for trial in trials))


def list_columns(trials: Sequence[TrialRow]) -> list[Column]:
    """Return the columns of a table of trials: a column for each objective and each hyperparameter."""
    most = max((len(trial.values) for trial in trials), default=1)
    # Optuna's names.
    scores = [SCORE] if most <= 1 else [f"{SCORE}s_{index}" for index in range(most)]
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    return [
        Column("trial", lambda trial: trial.number, format_trial_name, "number"),
        Column("state", lambda trial: trial.state),
        *(Column(name, partial(_read_value, index)) for index, name in enumerate(scores)),
        Column("epoch", lambda trial: trial.best_epoch, csv_name="best_epoch"),
        Column("epochs", lambda trial: trial.epochs),
        Column("time", lambda trial: trial.seconds, format_duration, "seconds"),
        Column("cpu", lambda trial: trial.resources.cpu_s, format_duration, "cpu_s"),
        Column("memory", lambda trial: trial.resources.peak_memory_bytes, format_bytes, "peak_memory_bytes"),
        *(Column(name, partial(_read_param, name), csv_name=f"params_{name}", is_param=True) for name in names),
        Column("reason", lambda trial: trial.reason),
    ]


def _read_value(index: int, trial: TrialRow) -> float | None:
    return trial.values[index] if index < len(trial.values) else None


def _read_param(name: str, trial: TrialRow) -> Any:
    return trial.params.get(name)


def _read_metric(name: str, trial: TrialRow) -> float | None:
    return trial.metrics.get(name)


def find_columns(trials: Sequence[TrialRow], names: Sequence[str], option: str) -> list[Column]:
    """Return the columns of these names; metrics of the best epoch are among them.

    Raises:
        InputError: if there is no such column.
    """
    metrics = dict.fromkeys(name for trial in trials for name in trial.metrics)
    known = {name: Column(name, partial(_read_metric, name)) for name in metrics}
    known |= {column.name: column for column in list_columns(trials)}
    for name in names:
        if name not in known:
            raise InputError(f'{option}: there is no column "{name}"; {suggest_choice(name, list(known))}')
    return [known[name] for name in names]


def order_trials(trials: Sequence[TrialRow], key: str, top: int | None, direction: str) -> list[TrialRow]:
    """Return trials in the order of a column, those without a value last, and of these the first `top`.

    Args:
        trials: the trials.
        key: name of a column: the best come first by `value`, the smallest by any other; `-` before it reverses that.
        top: None for all.
        direction: of the objective.

    Raises:
        InputError: if there is no such column.
    """
    name = key.removeprefix("-")
    score = f"{SCORE}s_0" if name == SCORE and any(len(trial.values) > 1 for trial in trials) else name
    (column,) = find_columns(trials, [score], "--sort")
    known = [trial for trial in trials if not _is_missing(column.read(trial))]
    is_best_last = name == SCORE and direction == "maximize"
    known.sort(key=lambda trial: _rank(column.read(trial)), reverse=key.startswith("-") != is_best_last)
    if name == SCORE:  # that of a pruned trial is of a shorter training
        known.sort(key=lambda trial: trial.state != "complete")
    return [*known, *(trial for trial in trials if _is_missing(column.read(trial)))][:top]


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and isnan(value))


def _rank(value: Any) -> tuple[bool, float, str]:
    """Return the place of a value: numbers before texts, where a parameter has both."""
    return (False, float(value), "") if isinstance(value, int | float) else (True, 0.0, str(value))


def print_trials(trials: Sequence[TrialRow], columns: Sequence[Column] = ()) -> None:
    """Print a table of trials; a note names what it leaves out.

    Args:
        trials: in the order to print.
        columns: exactly these. By default hyperparameters that have one value in all trials are left out, and on a
            terminal the columns that do not fit.
    """
    console = make_console(highlight=False)
    # In a file and in a pipe a table is as wide as it needs to be: fitted, its cells would lose their ends.
    width = console.width if console.is_terminal else None
    shown, notes = (list(columns), []) if columns else _choose_columns(trials, width)
    if width is None:
        _print_lines(trials, shown)
    else:
        table = make_table(*(column.name for column in shown))
        for each in table.columns:
            each.no_wrap, each.overflow = True, "ellipsis"
        for trial in trials:
            table.add_row(*(column.format(trial) for column in shown), style=_STYLES.get(trial.state, ""))
        console.print(table)
    sys.stdout.flush()  # the notes go to standard error, and come after it
    print_notes(notes)


def _print_lines(trials: Sequence[TrialRow], columns: Sequence[Column]) -> None:
    """Print a table without colours; rich would take a millisecond for each trial."""
    rows = [[column.name for column in columns], *([column.format(trial) for column in columns] for trial in trials)]
    cells = [[" ".join(escape_controls(cell).splitlines()) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write((" " * _GAP).join(padded).rstrip() + "\n")


def _choose_columns(trials: Sequence[TrialRow], width: int | None) -> tuple[list[Column], list[str]]:
    columns = [column for column in list_columns(trials) if column.name not in _IF_ANY or _has_any(column, trials)]
    constant = [column for column in columns if column.is_param and _is_constant(column, trials)]
    columns = [column for column in columns if column not in constant]
    notes = []
    if constant:
        values = ", ".join(f"{column.name} {column.format(trials[0])}" for column in constant)
        notes.append(f"the same in all {format_count(len(trials), 'trial')}: {values}")
    if width is not None and (left_out := _leave_out(columns, trials, width)):
        names = ", ".join(column.name for column in left_out)
        notes.append(f"no room in {width} characters for {names}; --columns trial,state,... chooses, --csv has all")
        columns = [column for column in columns if column not in left_out]
    return columns, notes


def _has_any(column: Column, trials: Sequence[TrialRow]) -> bool:
    return any(not _is_missing(column.read(trial)) for trial in trials)


def _is_constant(column: Column, trials: Sequence[TrialRow]) -> bool:
    # Of a single trial every parameter would be one.
    return len(trials) > 1 and len({repr(column.read(trial)) for trial in trials}) == 1


def _leave_out(columns: Sequence[Column], trials: Sequence[TrialRow], width: int) -> list[Column]:
    """Return the columns without which the others fit: spare ones first, then hyperparameters from the last."""
    widths = {column.name: column.measure(trials) for column in columns}
    if "reason" in widths:  # it is cut where it is longer
        widths["reason"] = min(widths["reason"], _LEAST_REASON)
    # Why trials failed is worth more than a hyperparameter, and why others ended early is worth less.
    has_failures = any(trial.state == "failed" for trial in trials)
    spare = [
        each for name in (*_SPARE, *(() if has_failures else ("reason",))) for each in columns if each.name == name
    ]
    left_out: list[Column] = []
    for column in (*spare, *(each for each in reversed(columns) if each.is_param)):
        if sum(widths.values()) + _GAP * (len(widths) - 1) <= width:
            break
        del widths[column.name]
        left_out.append(column)
    return sorted(left_out, key=list(columns).index)


def print_csv(trials: Sequence[TrialRow], columns: Sequence[Column] = ()) -> None:
    """Print trials as CSV, a column for each hyperparameter; inactive ones are empty."""
    shown = columns or list_columns(trials)
    # The csv module's default is CR LF, which shell tools keep in the last column.
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([column.csv_name or column.name for column in shown])
    for trial in trials:
        # Unlike a table's cells, numbers are not rounded.
        writer.writerow([_format_csv_cell(column.read(trial)) for column in shown])


def _format_csv_cell(value: object) -> object:
    return format_cell(value) if value is None or isinstance(value, bool) else value
