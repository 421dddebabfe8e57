"""Targets, weights and features of a study's rows, read from the source's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import leave_out_idle, read_columns
from pipelines.data.columns.encoding import mark_missing, plan_table
from pipelines.data.content import Content, ExampleContent, PreprocessedContent, gather_columns
from pipelines.data.data_notes import note_columns
from pipelines.data.examples.examples import Examples
from pipelines.data.prepared import PICTURES, InputKind
from pipelines.data.raw import RawData, Windows
from pipelines.data.row_weights import RowWeights, read_example_weights, split_weight
from pipelines.data.splits.split import Split
from pipelines.data.splits.split_notes import note_random_split
from pipelines.data.targets.heads import read_targets
from pipelines.data.targets.labels import Labels, read_example_labels, split_target
from pipelines.data.window_content import check_window_model, has_more_than_numbers, make_window_content
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem


@dataclass(frozen=True)
class LabelledRows:
    """All rows with their targets read: a table's feature columns (None for arrays), labels and weights."""

    table: pd.DataFrame | None
    labels: Labels
    weighting: RowWeights | None

    @property
    def weights(self) -> Array | None:
        """Each row's weight float32 [row]; None where all weigh alike, or examples hold their own."""
        values = None if self.weighting is None else self.weighting.values
        return values if isinstance(values, np.ndarray) else None


def read_rows(raw: RawData, spec: DataSpec) -> LabelledRows:
    """Return all rows with their targets read.

    Raises:
        InputError: for a target or weights that cannot be used.
    """
    if raw.examples is not None:
        for key in ("target", "weight"):
            if getattr(spec, key) is not None:
                message = "this source has no columns: a model of yours gets what the loader gives; remove this key"
                raise InputError(Problem(message, f"data.{key}"))
        return LabelledRows(None, read_example_labels(raw.examples, spec), read_example_weights(raw))
    features, targets = split_target(raw, spec)
    table, weighting = split_weight(features, raw, spec)
    try:
        labels = read_targets(targets, raw, spec)
    except InputError as error:
        raise InputError([*error.problems, *_find_column_problems(table, raw, spec)]) from None
    return LabelledRows(table, labels, weighting)


def drop_split_columns(table: pd.DataFrame, spec: DataSpec) -> pd.DataFrame:
    """Return a table's features without the columns that its split goes by."""
    # Neither a part nor a group is known of a new row.
    names = [name for name in (spec.split.column, spec.split.group) if name is not None]
    return table.drop(columns=names, errors="ignore")


def _find_column_problems(table: pd.DataFrame | None, raw: RawData, spec: DataSpec) -> tuple[Problem, ...]:
    """Return the problems of the features too, where the target has one: all are reported at once."""
    if table is None:
        return ()
    try:
        read_columns(drop_split_columns(table, spec), raw, spec)
    except InputError as error:
        return error.problems
    return ()


def read_content(rows: LabelledRows, raw: RawData, spec: DataSpec, split: Split, prefers: InputKind) -> Content:
    """Return the features of all rows.

    Args:
        rows: the rows, with their targets.
        raw: the same rows, as the source gave them.
        spec: the study file's `data`.
        split: their division.
        prefers: form of features that the model takes.

    Raises:
        InputError: for features that cannot be used, or not by this kind of model.
    """
    is_unchanged = prefers == "any" and spec.preprocess != "dense"
    if raw.windows is not None:
        check_window_model(raw.windows, prefers, is_unchanged=is_unchanged)
    if spec.preprocess == "none" and prefers != "any":
        message = "a shipped family needs preprocessed data; remove this key, or write a model of yours"
        raise InputError(Problem(message, "data.preprocess"))
    training = [split.select_rows("train", fold) for fold in range(split.folds)]
    if rows.table is not None:
        return _read_table(rows, raw, spec, split, prefers)
    _check_settings(raw, spec)
    if raw.examples is not None:
        return ExampleContent(raw.examples, notes=_note_examples(raw.examples, spec))
    if raw.array is None:
        raise InputError(Problem("the source gives no features", "data.source"))
    if is_unchanged:
        examples = Examples(raw.array, rows.labels.give(), rows.weights)
        return ExampleContent(examples, notes=_note_examples(examples, spec))
    if raw.windows is not None:
        return _read_windows(raw.array, raw.windows, split, prefers)
    array, keeps_bytes = _convert_to_float32(raw.array), prefers != "any"
    if prefers == "mixed":
        prefers = "image" if array.ndim > 2 else "dense"
    if prefers == "any":
        # Its axes stay as they are: the last one is the channel of pictures and sequences.
        form: InputKind = "dense" if array.ndim == 2 else "image"
        notes: tuple[str, ...] = (
            f"the model gets x standardised by each entry of its last axis (data.preprocess: {spec.preprocess})",
        )
    elif prefers == "series":
        array, form, notes = _convert_to_series(array, raw), prefers, ()
    else:
        array, form = _convert_to_images(array, raw, prefers), prefers
        notes = _note_pixels(array) if prefers == "pixels" else ()
    marked = mark_missing(array, training).tolist() if array.ndim == 2 else []
    return PreprocessedContent(
        array=array,
        output=form,
        is_series=form == "series",
        marked=tuple(marked),
        notes=notes,
        keeps_bytes=keeps_bytes,
    )


def _read_windows(numbers: Array, windows: Windows, split: Split, prefers: InputKind) -> Content:
    """Return the windows of a table as a model takes them."""
    has_identity = prefers != "any" and windows.facts.is_by_input
    output: Literal["series", "dense"] = "dense" if prefers == "dense" else "series"
    if has_identity or has_more_than_numbers(windows):
        return make_window_content(numbers, windows, split, output, has_identity=has_identity)
    form: InputKind = "image" if prefers == "any" else output
    notes = (
        () if prefers != "any" else ("the model gets windows standardised by each channel (data.preprocess: dense)",)
    )
    past = windows.facts.forecast_past if form == "series" else ()
    return PreprocessedContent(array=numbers, output=form, is_series=True, past=past, notes=notes)


def _check_settings(raw: RawData, spec: DataSpec) -> None:
    # A table that named pictures had columns; its reader has compared their names.
    for key in ("drop", "columns"):
        if getattr(spec, key) and not raw.picture_files:
            raise InputError(Problem("this source has no columns; remove this key", f"data.{key}"))


def _read_table(
    rows: LabelledRows, raw: RawData, spec: DataSpec, split: Split, prefers: InputKind
) -> ExampleContent | PreprocessedContent:
    table = rows.table
    assert table is not None
    training = [split.select_rows("train", fold) for fold in range(split.folds)]
    if prefers in PICTURES:
        message = f"the model takes images, but {spec.describe_source()} is a table; use model: mlp, tabular or mixed"
        raise InputError(Problem(message, "data.source"))
    if prefers == "series":
        message = (
            f"the model takes a series, but {spec.describe_source()} is a table; name its time here, or use model: "
            "mlp, tabular or mixed"
        )
        raise InputError(Problem(message, "data.series"))
    columns, notes = read_columns(drop_split_columns(table, spec), raw, spec)
    notes += note_random_split(columns, raw, spec)
    learnt = np.unique(np.concatenate(training))
    columns, left_out = leave_out_idle(columns, learnt, spec, is_unchanged=spec.preprocess == "none")
    notes += [*left_out, *note_columns(columns, rows.labels, learnt)]
    if spec.preprocess == "none":
        examples = Examples(gather_columns(columns), rows.labels.give(), rows.weights)
        return ExampleContent(examples, tuple(columns), (*notes, *_note_examples(examples, spec)))
    plan = plan_table(columns, training, spec)
    notes += plan.list_notes(columns)
    if prefers == "any":
        advice = "" if spec.preprocess == "dense" else "; none gives it each column as it is"
        notes.append(f"the model gets the columns as standardised numbers (data.preprocess: {spec.preprocess}{advice})")
    return PreprocessedContent(tuple(columns), plan, notes=tuple(notes), keeps_bytes=prefers != "any")


def _note_examples(examples: Examples, spec: DataSpec) -> tuple[str, ...]:
    form = examples.describe()
    goes = f"x goes to the model unchanged: {form.describe_inputs()} (data.preprocess: {spec.preprocess})"
    if not form.is_dataset:
        return (goes,)
    return (goes, "the dataset was read once: what it draws at random is the same in every epoch and trial")


def _convert_to_float32(array: Array) -> Array:
    """Return floats as float32, NaN for what it cannot hold; whole numbers keep their small type."""
    if array.dtype.kind != "f":
        return array.astype(np.uint8) if array.dtype.kind == "b" else array
    # A plain conversion would turn larger values into infinity.
    limit = np.finfo(np.float32).max
    return np.where(np.abs(array) <= limit, array, np.nan).astype(np.float32)


def _convert_to_series(array: Array, raw: RawData) -> Array:
    """Return the array as [row, time, channel]."""
    if array.ndim not in (2, 3):
        got = f"{raw.origins[0].name} has rows of shape {array.shape[1:]}"
        message = f"the model takes a series, [row, time] or [row, time, channel]; {got}"
        raise InputError(Problem(message, "data.source"))
    return array[..., None] if array.ndim == 2 else array


def _note_pixels(array: Array) -> tuple[str, ...]:
    if array.dtype == np.uint8:
        return ()
    return ("pixels are no whole numbers of 8 bits: the smallest of the training rows becomes 0, the largest 255",)


def _convert_to_images(array: Array, raw: RawData, prefers: InputKind) -> Array:
    """Return the array with a channel axis, if a row is more than a list of features."""
    name = raw.origins[0].name
    if array.ndim == 2 and prefers in PICTURES:
        message = (
            f"the model takes images, but rows of {name} have shape {array.shape[1:]}; use model: mlp, tabular or mixed"
        )
        raise InputError(Problem(message, "data.source"))
    if array.ndim > 4:
        message = f"expected rows of at most 3 axes (height, width, channel), got shape {array.shape[1:]}"
        raise InputError(Problem(message, "data.source"))
    if array.ndim > 2 and array.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        if len(bad):
            message = f"images hold values that are not finite, at {raw.format_places(bad)}"
            raise InputError(Problem(message, "data.source"))
    return array[..., None] if array.ndim == 3 else array
