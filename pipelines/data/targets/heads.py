"""Several targets of different tasks, each with a head of the model.

Each target has the task that it would have alone. Where all are numbers, or all labels of 0 and 1, they have one task
together, unless `data.tasks` is set.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from pipelines.data.prepared import TaskKind
from pipelines.data.raw import RawData
from pipelines.data.targets.labels import Labels, infer_kind, read_labels
from pipelines.data.targets.multi_label import MARKS, is_flags, is_multi_label
from pipelines.data.targets.output_names import name_outputs
from pipelines.data.targets.target_cells import read_target_cells
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem


def read_targets(labels: pd.DataFrame, raw: RawData, spec: DataSpec) -> Labels:
    """Return the task and each row's label; of several targets with a task each, the labels of each.

    Raises:
        InputError: as `read_labels` does; for lists among several targets too.
    """
    names = [str(name) for name in labels.columns]
    # An array of several columns has no names, unless the file gives it some, and windows of a series have one task.
    if raw.windows is not None and len(raw.windows.facts.targets) > 1 and spec.task == "auto":
        _check_windows(labels, raw, spec)
    if len(names) < 2 or not isinstance(spec.target, list) or spec.task != "auto" or raw.windows is not None:
        return read_labels(labels, raw, spec)
    if not spec.tasks and is_multi_label(labels, spec):
        return read_labels(labels, raw, spec)
    _check_single_values(labels, raw, spec)
    heads = [_read_head(labels[[name]], name, raw, spec) for name in names]
    if not spec.tasks and all(head.kind == "regression" for head in heads):
        return read_labels(labels, raw, spec)
    outputs = name_outputs(names)
    heads = [replace(head, output=outputs[name]) for name, head in zip(names, heads, strict=True)]
    tasks = ", ".join(f'"{name}" {head.kind}' for name, head in zip(names, heads, strict=True))
    note = f"each target has a task and a head of the model: {tasks} (data.tasks changes a task)"
    y = np.stack([head.y.reshape(-1) for head in heads], axis=1).astype(np.float64)
    notes = (note, *(each for head in heads for each in head.notes))
    return Labels("multi_task", tuple(names), (), y, notes, tuple(heads))


def _check_windows(labels: pd.DataFrame, raw: RawData, spec: DataSpec) -> None:
    words = [str(name) for name in labels.columns if read_target_cells(labels[name], raw, spec).numbers is None]
    if words:
        message = (
            f'the windows of data.series predict numbers where they have several targets, and "{words[0]}" holds '
            "words; make a study for each target"
        )
        raise InputError(Problem(message, "data.target"))


def infer_tasks(first: pd.DataFrame, raw: RawData, spec: DataSpec) -> dict[str, TaskKind]:
    """Return the task of each of several targets by some rows; empty where they have one task together.

    A column of one value in these rows is taken for numbers, where it holds numbers.
    """
    names = [str(name) for name in first.columns]
    if len(names) < 2 or spec.task != "auto":
        return {}
    kinds: dict[str, TaskKind] = {}
    are_flags = not spec.tasks
    for name in names:
        own = spec.select_target(name)
        cells = read_target_cells(first[name], raw, own)
        known = cells.select(~cells.missing)
        is_open = known.numbers is not None and len(np.unique(known.numbers)) < 2
        kinds[name] = own.task if own.task != "auto" else "regression" if is_open else infer_kind(known)
        are_flags = are_flags and is_flags(first[name][~cells.missing])
    is_one = are_flags or (not spec.tasks and set(kinds.values()) == {"regression"})
    return {} if is_one else kinds


def _read_head(labels: pd.DataFrame, name: str, raw: RawData, spec: DataSpec) -> Labels:
    try:
        # The classes that a source names are those of its only target.
        return read_labels(labels, replace(raw, class_names=()), spec.select_target(name))
    except InputError as error:
        key = f"data.tasks.{name}" if name in spec.tasks else "data.target"
        problems = [replace(each, path=key) if each.path == "data.task" else each for each in error.problems]
        raise InputError(problems) from None


def _check_single_values(labels: pd.DataFrame, raw: RawData, spec: DataSpec) -> None:
    for name in map(str, labels.columns):
        if (row := _find_list(labels[name], is_declared=name in spec.tasks)) is None:
            continue
        got = labels[name].iloc[row]
        message = (
            f'the target "{name}" holds several labels in a cell, got {got!r} at {raw.format_place(row)}, and each of '
            f"several targets has one value: make a study of it alone with data.task: multi_label, or give a column of "
            f"0 and 1 for each label; if the text is one class, set {spec.name_task(name, 'multiclass')}"
        )
        raise InputError(Problem(message, "data.target"))


def _find_list(cells: pd.Series, *, is_declared: bool) -> int | None:
    """Return the first row whose cell holds several labels; None where there is none."""
    found = cells.map(lambda cell: isinstance(cell, list | tuple | np.ndarray)).to_numpy(dtype=bool)
    if not found.any() and not is_declared:
        found = cells.map(lambda cell: isinstance(cell, str) and MARKS[0] in cell).to_numpy(dtype=bool)
    return int(np.flatnonzero(found)[0]) if found.any() else None
