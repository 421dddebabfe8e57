"""Targets of a study: kind of task, classes, and labels as numbers.

The rule for `data.task: auto`:

* several named columns of 0 and 1 alone: multi-label; several other columns of numbers: multi-output regression, where
  each is a regression alone, and else a task each (see `heads`); but an array of zeros with a single one in each row is
  one-hot classes;
* words or booleans: classification, binary with two classes and multiclass with more;
* two distinct whole numbers: binary;
* whole numbers that count up from 0 or 1 without a gap, at most 100 of them, each found 5 times on average: they are
  class numbers, so multiclass (digits 0-9); so are at most 20 with gaps (1, 2, 3, 5, 6, 7), each found 5 times;
* any other numbers, such as wine scores from 3 to 8: regression.

Classes are ordered: numbers by value, words by the alphabet; the model returns the probability of a binary
task's second class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.examples.examples import Examples
from pipelines.data.examples.structures import Structure, flatten, name_leaves
from pipelines.data.prepared import HEAD_PREFIX, TaskKind
from pipelines.data.raw import RawData
from pipelines.data.targets.multi_label import is_multi_label, read_multi_label
from pipelines.data.targets.target_cells import TargetCells, read_target_cells
from pipelines.data.targets.target_notes import note_target
from pipelines.spec.data_spec import OF_TARGETS, DataSpec
from search_spaces.errors import InputError, Problem, suggest_choice

MOST_CLASS_NUMBERS = 100
ROWS_A_CLASS_NUMBER = 5
MOST_GAPPED_CLASSES = 20  # chosen
_HEADING_ROWS = 5  # among which a header may stand that was not found
MOST_CLASSES = 10_000  # chosen; the output layer has a unit for each


@dataclass(frozen=True)
class Labels:
    """The target of every row.

    Attributes:
        y: class indexes int32 [row], or float32 [row, output]; of labels 0 and 1.
        classes: class names in index order; empty for regression.
        notes: choices made for the user, with the key that changes each.
        heads: of several targets with a task each, the labels of each; `y` has a column for each then, float64.
        output: name of the model's output, of labels among `heads`.
    """

    kind: TaskKind
    targets: tuple[str, ...]
    classes: tuple[str, ...]
    y: Array
    notes: tuple[str, ...] = ()
    heads: tuple[Labels, ...] = ()
    output: str = ""

    @property
    def parts(self) -> tuple[Labels, ...]:
        """The labels of each target that has a task for itself, or these."""
        return self.heads or (self,)

    @property
    def strata(self) -> Labels:
        """The labels whose classes are spread evenly over the parts: these, or the first with classes of several."""
        return next((each for each in self.parts if each.classes), self.parts[0])

    def list_arrays(self) -> dict[str, Array]:
        """Return the targets that a model is trained on, by the names of their files."""
        return {f"{HEAD_PREFIX}{each.output}" if each.output else "y": each.y for each in self.parts}

    def give(self) -> Structure:
        """Return the targets as a user model gets them: an array, or a dict of arrays by output."""
        return {each.output: each.y for each in self.heads} if self.heads else self.y


def read_example_labels(examples: Examples, spec: DataSpec) -> Labels:
    """Return the labels that examples are split by; the model gets its targets unchanged.

    One target of few distinct whole numbers, Booleans or words has classes, and so have one-hot rows.
    """
    leaves = flatten(examples.y) if examples.y is not None else []
    names = tuple(name_leaves(examples.y, "y")) if leaves else ()
    single = leaves[0] if len(leaves) == 1 and isinstance(leaves[0], np.ndarray) else None
    if single is not None and (found := _find_classes(single)) is not None:
        return Labels("custom", names, *found)
    if spec.task not in ("auto", "regression", "multi_output_regression"):
        message = f"{spec.task} needs a target of few distinct values, got {examples.describe().describe()}"
        raise InputError(Problem(message, "data.task"))
    return Labels("custom", names, (), np.zeros((examples.rows, 1), dtype=np.float32))


def _find_classes(values: Array) -> tuple[tuple[str, ...], Array] | None:
    """Return the distinct values of a target as text, and each row's index among them; None where it has no classes."""
    if values.ndim == 2 and values.shape[1] > 1:
        rows = values.astype(np.float64) if values.dtype.kind in "biuf" else None
        if rows is None or not np.isin(rows, (0, 1)).all() or not (rows.sum(axis=1) == 1).all():
            return None
        return tuple(str(index) for index in range(values.shape[1])), rows.argmax(axis=1).astype(np.int32)
    if values.ndim > 2:
        return None
    flat = values.reshape(-1)
    if flat.dtype.kind == "f" and not np.equal(np.mod(flat, 1), 0).all():
        return None
    distinct, index = np.unique(flat.astype(str) if flat.dtype.kind == "O" else flat, return_inverse=True)
    if len(distinct) > MOST_CLASS_NUMBERS or len(distinct) * ROWS_A_CLASS_NUMBER > len(flat) or len(distinct) < 2:
        return None
    words = (str(int(value)) if flat.dtype.kind in "biuf" else str(value) for value in distinct)
    return tuple(words), index.astype(np.int32)


def split_target(raw: RawData, spec: DataSpec) -> tuple[pd.DataFrame | None, pd.DataFrame]:
    """Return the feature columns (None for an array source) and the target columns.

    Raises:
        InputError: if the target is not named, is not there, or is left out by `data.drop`.
    """
    wanted = [spec.target] if isinstance(spec.target, str) else list(spec.target or [])
    if raw.labels is not None:
        return raw.table, raw.labels if not wanted else _rename_targets(raw.labels, wanted)
    if raw.table is None:
        raise InputError(Problem("the source gives no labels", "data.source"))
    columns = [str(name) for name in raw.table.columns]
    if not wanted:
        raise InputError(Problem(f"name the column to predict; the columns are {', '.join(columns)}", "data.target"))
    for name in wanted:
        if name not in columns:
            message = f'there is no column "{name}"; {suggest_choice(name, columns)}{_find_below(name, raw)}'
            raise InputError(Problem(message, "data.target"))
        of_split = {spec.split.column: "column", spec.split.order: "order", spec.split.group: "group"}
        key = "drop" if name in spec.drop else f"split.{of_split[name]}" if name in of_split else ""
        if key:
            raise InputError(Problem(f'column "{name}" is the target; remove it here', f"data.{key}"))
        for setting in spec.columns[name].model_fields_set - set(OF_TARGETS) if name in spec.columns else ():
            message = f'column "{name}" is the target, which has only {", ".join(OF_TARGETS)} here; remove this key'
            raise InputError(Problem(message, f"data.columns.{name}.{setting}"))
    if len(set(wanted)) < len(wanted):
        raise InputError(Problem("a target column is named twice", "data.target"))
    return raw.table.drop(columns=wanted), raw.table[wanted]


def _find_below(name: str, raw: RawData) -> str:
    """Return where a name that no column has stands in the first rows, or what else was decided while reading."""
    assert raw.table is not None
    first = raw.table.head(_HEADING_ROWS)
    rows = [row for row in range(len(first)) if name in {str(cell).strip() for cell in first.iloc[row]}]
    if rows and raw.origins[0].word in ("line", "row"):
        number = int(raw.origins[0].numbers[rows[0]])
        return f"; it stands in {raw.format_place(rows[0])}: if the names do, set data.skiprows: {number - 1}"
    return "".join(f"; {note}" for note in raw.notes if "(data.sheet)" in note)


def read_labels(labels: pd.DataFrame, raw: RawData, spec: DataSpec) -> Labels:
    """Return the task and each row's label, of targets with one task.

    Raises:
        InputError: if labels are missing (with their rows), constant, or do not fit `data.task`.
    """
    if (one_hot := _decode_one_hot(labels, raw, spec)) is not None:
        return one_hot
    if is_multi_label(labels, spec):
        names, y = read_multi_label(labels, raw, spec)
        return Labels("multi_label", names, (), y)
    cells = {str(name): read_target_cells(labels[name], raw, spec) for name in labels.columns}
    notes = tuple(column.note for column in cells.values() if column.note)
    for name, column in cells.items():
        column.check_known(name, raw)
        if spec.task == "auto":
            column.check_unmixed(name, raw, spec)
    if len(cells) > 1 and spec.task in ("binary", "multiclass"):
        advice = f"set data.tasks: {{{next(iter(cells))}: {spec.task}}}, and likewise each other one, in place of this"
        message = f"a {spec.task} task has one target column, or one-hot rows; got {len(cells)} columns; {advice}"
        raise InputError(Problem(message, "data.task"))
    if len(cells) > 1:
        return replace(_read_outputs(cells, "multi_output_regression", raw, spec), notes=notes)
    name, column = next(iter(cells.items()))
    kind = infer_kind(column) if spec.task == "auto" else spec.task
    if kind in ("regression", "multi_output_regression"):
        found = _read_outputs(cells, kind, raw, spec)
    else:
        found = _read_classes(name, column, kind, raw, spec)
    return replace(found, notes=(*notes, *note_target(name, column, found.kind, found.classes, spec)))


def _rename_targets(labels: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    names = [str(name) for name in labels.columns]
    if len(wanted) != len(names):
        message = f"expected {len(names)} names for the target's columns, got {len(wanted)}"
        raise InputError(Problem(message, "data.target"))
    return labels.set_axis(wanted, axis=1)


def _decode_one_hot(labels: pd.DataFrame, raw: RawData, spec: DataSpec) -> Labels | None:
    """Return the classes of one-hot rows; None for anything else, such as several columns of a table."""
    width = labels.shape[1]
    numeric = all(pd.api.types.is_numeric_dtype(labels[name].dtype) for name in labels.columns)
    if width < 2 or isinstance(spec.target, list) or "regression" in spec.task or not numeric:
        return None
    values = labels.to_numpy(dtype=np.float64)
    if not np.isin(values, (0, 1)).all() or not (values.sum(axis=1) == 1).all():
        return None
    kind: TaskKind = "binary" if width == 2 and spec.task != "multiclass" else "multiclass"
    classes = raw.class_names if len(raw.class_names) == width else tuple(str(index) for index in range(width))
    return Labels(kind, ("target",), classes, values.argmax(axis=1).astype(np.int32))


def infer_kind(column: TargetCells) -> TaskKind:
    """Return the task of a target whose cells are known, where `data.task` is left at `auto`."""
    if column.numbers is None:
        return "binary" if len(set(column.text)) <= 2 else "multiclass"
    values = np.unique(column.numbers)
    if not np.equal(np.mod(values, 1), 0).all():
        return "regression"
    if len(values) == 2:
        return "binary"
    if values[0] not in (0, 1):
        return "regression"
    gaps = int(values[-1] - values[0]) - (len(values) - 1)
    if gaps == 0:
        few = len(values) <= MOST_CLASS_NUMBERS and len(values) * ROWS_A_CLASS_NUMBER <= len(column.numbers)
        return "multiclass" if few else "regression"
    # Counts get rare towards their end, where their gaps are; codes do not.
    rarest = min(np.unique(column.numbers, return_counts=True)[1])
    few = len(values) <= MOST_GAPPED_CLASSES and gaps <= len(values) / 2 and rarest >= ROWS_A_CLASS_NUMBER
    return "multiclass" if few and len(column.numbers) >= MOST_GAPPED_CLASSES else "regression"


def _read_outputs(cells: dict[str, TargetCells], kind: TaskKind, raw: RawData, spec: DataSpec) -> Labels:
    if kind == "regression" and len(cells) > 1:
        kind = "multi_output_regression"
    if spec.task == "regression" and len(cells) > 1:
        message = f"a regression has one target, got {len(cells)}; set multi_output_regression or leave it out"
        raise InputError(Problem(message, "data.task"))
    columns = []
    for name, column in cells.items():
        values = column.numbers if column.numbers is not None else _parse_numbers(name, column, raw)
        if np.ptp(values) == 0:
            message = f'the target "{name}" is the same in every row ({values[0]:g}); there is nothing to learn'
            raise InputError(Problem(message, "data.target"))
        # The labels are float32, where such a value is infinity and the loss NaN.
        if np.abs(values).max() > np.finfo(np.float32).max:
            raise InputError(Problem(f'the target "{name}" holds values beyond 3e38; rescale it', "data.target"))
        columns.append(values)
    return Labels(kind, tuple(cells), (), np.stack(columns, axis=1).astype(np.float32))


def _parse_numbers(name: str, column: TargetCells, raw: RawData) -> Array:
    # A declared regression accepts Booleans, which are words elsewhere.
    words = [{"true": "1", "false": "0"}.get(str(word).lower(), str(word)) for word in column.text]
    values = pd.to_numeric(pd.Series(words), errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        word, place = column.text[bad[0]], raw.format_place(int(bad[0]))
        message = f'a regression needs numbers, but the target "{name}" is {word!r} at {place}'
        raise InputError(Problem(message, "data.target"))
    return values


def _read_classes(name: str, column: TargetCells, kind: TaskKind, raw: RawData, spec: DataSpec) -> Labels:
    if column.numbers is not None:
        # By value and not as text, where 10 comes before 9.
        values, index = np.unique(column.numbers, return_inverse=True)
        classes = tuple(str(int(value)) if value.is_integer() else str(value) for value in values.tolist())
    else:
        words, index = np.unique(column.text.astype(str), return_inverse=True)
        classes = tuple(str(word) for word in words)
    if len(classes) == 1:
        message = f'the target "{name}" is {classes[0]!r} in every row; two classes are needed'
        raise InputError(Problem(message, "data.target"))
    if kind == "binary" and len(classes) != 2:
        listed = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
        raise InputError(Problem(f"binary means two classes, got {len(classes)}: {listed}", "data.task"))
    if len(classes) > MOST_CLASSES or (len(classes) > MOST_CLASS_NUMBERS and len(classes) * 2 > raw.rows):
        message = f'the target "{name}" has {len(classes)} classes in {raw.rows} rows; is it the right column?'
        raise InputError(Problem(message, "data.target"))
    if raw.class_names and classes == tuple(str(number) for number in range(len(raw.class_names))):
        classes = raw.class_names
    return Labels(kind, (name,), classes, index.astype(np.int32))
