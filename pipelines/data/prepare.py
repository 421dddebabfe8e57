"""Data preparation from end to end: load, check, split, encode, write.

A prepared folder is complete or absent: preparation writes a folder beside it and renames that. It holds

* `summary.json`, `split.csv` (each source row's place, part and fold) and `model_inputs.json` (see `model_inputs`);
* per fold `fold-<k>/<part>.<input>.npy` and `<part>.y.npy` for training, `preprocessing.keras`, and the raw rows of the
  validation and test parts (`<part>.raw.parquet` or `<part>.raw.npy`) for comparing exported models with.

The summary has a fingerprint of the study file's `data` and of the files' contents. If it matches, nothing is prepared
again. What a loader gave is stored too (see `stored_rows`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns import read_columns
from pipelines.data.content import Content, ExampleContent, PreprocessedContent, gather_columns
from pipelines.data.division import Division
from pipelines.data.encoding import mark_missing, note_identifiers, plan_table
from pipelines.data.examples import Examples
from pipelines.data.fingerprint import (
    FORMAT,
    calculate_fingerprint,
    calculate_source_fingerprint,
    read_declared_digest,
    read_fingerprint,
    read_source_fingerprint,
    update_digest,
)
from pipelines.data.model_inputs import write_model_inputs
from pipelines.data.prepared import DataSummary, InputKind, Task
from pipelines.data.prepared_folder import load_summary
from pipelines.data.raw import PARTS, RawData
from pipelines.data.row_weights import RowWeights, read_example_weights, split_weight
from pipelines.data.source_paths import resolve_source_path
from pipelines.data.sources import load, note_stopped_imports
from pipelines.data.split import Split
from pipelines.data.splits import divide_again, split_rows
from pipelines.data.stored_rows import load_rows, save_rows
from pipelines.data.targets import Labels, read_example_labels, read_labels, split_target
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem
from tracking.testing.failpoints import hit


def prepare(
    spec: DataSpec,
    base: Path,
    folder: Path,
    prefers: InputKind,
    expected: str | None = None,
    division: Division | None = None,
    rows_of: Path | None = None,
) -> DataSummary:
    """Return the summary of the data in `folder`; prepare it if needed.

    Args:
        spec: the study file's `data`.
        base: folder that the study file's paths are relative to.
        folder: folder of the prepared data; replaced if it holds other data.
        prefers: form of features that the model family takes.
        expected: digest that the data must have with the split of `spec`, for a study that has trials; None for any.
        division: see `DataJob`.
        rows_of: folder of a study's prepared data whose rows are used again, where `expected` is its digest.

    Raises:
        InputError: for any problem of the data; `Problem.path` names the key. `folder` stays unchanged.
    """
    sources = calculate_source_fingerprint(spec, base, prefers, division)
    if expected is not None and _is_ready(folder, sources, expected):
        return load_summary(folder)
    # Files are compared by content, without parsing them; a named set or a loader has to be loaded for it.
    by_contents = _is_files_only(spec, base)
    raw = None if by_contents else _load_again(spec, base, prefers, rows_of, expected) or load(spec, base, prefers)
    fingerprint = calculate_fingerprint(sources, raw)
    if read_fingerprint(folder) == fingerprint:
        return load_summary(folder)
    raw = raw or load(spec, base, prefers)
    rows = _read_rows(raw, spec)
    declared = split_rows(raw, rows.labels, spec)
    split = declared if division is None else divide_again(declared, raw, rows.labels, spec, division)
    if rows.weighting is not None:
        rows.weighting.check_parts(split, None if division is None else "selection.folds")
    content = _read_content(rows, raw, spec, split, prefers)
    # Beside the folder, since a rename works within one file system only.
    aside = folder.with_name(folder.name + ".partial")
    _write_rows(aside, raw, content, rows, split)
    summary = _make_summary(spec, raw, content, rows, split)
    summary = dataclasses.replace(summary, notes=(*summary.notes, *note_stopped_imports(spec, base)))
    write_model_inputs(
        aside, summary, content.select_original_rows(split.select_rows("validation", 0)[:100]), spec.missing_values
    )
    if not by_contents and division is None:
        save_rows(aside, raw)
    declared_digest = _calculate_digest(content, rows, declared)
    prints = {"format": FORMAT, "fingerprint": fingerprint, "sources": sources, "declared": declared_digest}
    _write_summary(aside, summary, prints)
    if expected is not None and expected != declared_digest:
        shutil.rmtree(aside)
        message = "the data has changed since the study began; give this study another name, or choose another --home"
        raise InputError(Problem(message, "data.source"))
    _replace_folder(folder, aside)
    return summary


def _is_files_only(spec: DataSpec, base: Path) -> bool:
    sources = [source for source in (spec.source, spec.validation_source, spec.test_source) if source is not None]
    return all(resolve_source_path(source, base) is not None for source in sources)


def _is_ready(folder: Path, sources: str, expected: str) -> bool:
    """Return whether a folder holds the data of a study that has trials, by the same settings, files and code."""
    return read_source_fingerprint(folder) == sources and read_declared_digest(folder) == expected


def _load_again(
    spec: DataSpec, base: Path, prefers: InputKind, rows_of: Path | None, expected: str | None
) -> RawData | None:
    """Return the rows that a study's trials were scored on; None where these must be loaded."""
    if rows_of is None or expected is None:
        return None
    return (
        load_rows(rows_of) if _is_ready(rows_of, calculate_source_fingerprint(spec, base, prefers), expected) else None
    )


def _write_summary(folder: Path, summary: DataSummary, prints: Mapping[str, Any]) -> None:
    given = None if summary.given is None else summary.given.to_json()
    described = {**dataclasses.asdict(dataclasses.replace(summary, given=None)), "given": given}
    text = json.dumps({**prints, **described}, indent=2)
    (folder / "summary.json").write_text(text, encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class _Rows:
    """All rows with their targets read: a table's feature columns (None for arrays), labels and weights."""

    table: pd.DataFrame | None
    labels: Labels
    weighting: RowWeights | None

    @property
    def weights(self) -> Array | None:
        """Each row's weight float32 [row]; None where all weigh alike, or examples hold their own."""
        values = None if self.weighting is None else self.weighting.values
        return values if isinstance(values, np.ndarray) else None


def _read_rows(raw: RawData, spec: DataSpec) -> _Rows:
    if raw.examples is not None:
        for key in ("target", "weight"):
            if getattr(spec, key) is not None:
                message = "this source has no columns: a model of yours gets what the loader gives; remove this key"
                raise InputError(Problem(message, f"data.{key}"))
        return _Rows(None, read_example_labels(raw.examples, spec), read_example_weights(raw))
    features, targets = split_target(raw, spec)
    table, weighting = split_weight(features, raw, spec)
    return _Rows(table, read_labels(targets, raw, spec), weighting)


def _read_content(rows: _Rows, raw: RawData, spec: DataSpec, split: Split, prefers: InputKind) -> Content:
    is_unchanged = prefers == "any" and spec.preprocess != "dense"
    if spec.preprocess == "none" and prefers != "any":
        message = "a shipped family needs preprocessed data; remove this key, or write a model of yours"
        raise InputError(Problem(message, "data.preprocess"))
    training = [split.select_rows("train", fold) for fold in range(split.folds)]
    if rows.table is not None:
        return _read_table(rows, raw, spec, training, prefers)
    for key in [*("data.drop" for _ in spec.drop[:1]), *("data.columns" for _ in list(spec.columns)[:1])]:
        raise InputError(Problem("this source has no columns; remove this key", key))
    if raw.examples is not None:
        return ExampleContent(raw.examples, notes=_note_examples(raw.examples, spec))
    if raw.array is None:
        raise InputError(Problem("the source gives no features", "data.source"))
    if is_unchanged:
        examples = Examples(raw.array, rows.labels.y, rows.weights)
        return ExampleContent(examples, notes=_note_examples(examples, spec))
    array = _convert_to_float32(raw.array)
    if prefers == "any":
        # Its axes stay as they are: the last one is the channel of pictures and sequences.
        form: InputKind = "dense" if array.ndim == 2 else "image"
        notes: tuple[str, ...] = (
            f"the model gets x standardised by each entry of its last axis (data.preprocess: {spec.preprocess})",
        )
    else:
        array, form, notes = _convert_to_images(array, raw, prefers), prefers, ()
    marked = mark_missing(array, training).tolist() if array.ndim == 2 else []
    return PreprocessedContent(array=array, output=form, marked=tuple(marked), notes=notes)


def _read_table(
    rows: _Rows, raw: RawData, spec: DataSpec, training: Sequence[Array], prefers: InputKind
) -> ExampleContent | PreprocessedContent:
    table = rows.table
    assert table is not None
    if prefers == "image":
        message = f"the model takes images, but {spec.source} is a table; use model: mlp"
        raise InputError(Problem(message, "data.source"))
    # Neither a part nor a group is known of a new row.
    features = table.drop(columns=[name for name in (spec.split.column, spec.split.group) if name is not None])
    columns, notes = read_columns(features, raw, spec)
    if spec.preprocess == "none":
        examples = Examples(gather_columns(columns), rows.labels.y, rows.weights)
        return ExampleContent(examples, tuple(columns), (*notes, *_note_examples(examples, spec)))
    plan = plan_table(columns, training, spec)
    notes += note_identifiers(plan, columns)
    if prefers == "any":
        advice = "" if spec.preprocess == "dense" else "; none gives it each column as it is"
        notes.append(f"the model gets the columns as standardised numbers (data.preprocess: {spec.preprocess}{advice})")
    return PreprocessedContent(tuple(columns), plan, notes=tuple(notes))


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


def _convert_to_images(array: Array, raw: RawData, prefers: InputKind) -> Array:
    """Return the array with a channel axis, if a row is more than a list of features."""
    name = raw.origins[0].name
    if array.ndim == 2 and prefers == "image":
        message = f"the model takes images, but rows of {name} have shape {array.shape[1:]}; use model: mlp"
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


def _write_rows(folder: Path, raw: RawData, content: Content, rows: _Rows, split: Split) -> None:
    # Files of an interrupted preparation may be there.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for fold in range(split.folds):
        content.write_fold(folder / f"fold-{fold}", rows.labels, rows.weights, split, fold)
    _write_split(folder / "split.csv", raw, split)


def _replace_folder(folder: Path, aside: Path) -> None:
    _flush(aside)
    # A folder can be renamed over an empty one only. A kill in between leaves none, and the data is prepared again.
    shutil.rmtree(folder, ignore_errors=True)
    hit("data-prepared")
    aside.replace(folder)


def _flush(folder: Path) -> None:
    """Flush all files to the disk: after a power loss, the rename must not be there without them."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())


def _write_split(path: Path, raw: RawData, split: Split) -> None:
    table = pd.DataFrame({"row": [raw.format_place(row) for row in range(raw.rows)], "part": split.part})
    if split.folds > 1:
        table["fold"] = split.fold
    table.to_csv(path, index=False)


def _calculate_digest(content: Content, rows: _Rows, split: Split) -> str:
    digest = hashlib.sha256()
    content.update_digest(digest)
    # Fixed types: NumPy's text is as wide as the longest word, and its integers depend on the platform.
    update_digest(digest, rows.labels.y, rows.weights, split.part.astype("<U10"), split.fold.astype(np.int64))
    return digest.hexdigest()


def _make_summary(spec: DataSpec, raw: RawData, content: Content, rows: _Rows, split: Split) -> DataSummary:
    weighting = () if rows.weighting is None else (rows.weighting.describe(raw),)
    return DataSummary(
        source=spec.source,
        task=dataclasses.replace(_describe_task(rows.labels, split, spec), is_weighted=bool(weighting)),
        features=content.features,
        raw=content.raw,
        rows={part: len(split.select_rows(part)) for part in PARTS},
        folds=split.folds,
        digest=_calculate_digest(content, rows, split),
        encodings=content.encodings,
        notes=(*raw.notes, *weighting, *content.notes, *split.notes),
        given=content.form,
    )


def _describe_task(labels: Labels, split: Split, spec: DataSpec) -> Task:
    """Return the task with the statistics of training rows; of all rows but the test part with folds."""
    y = labels.y[split.select_rows("train")] if split.trains_on_all else labels.y[split.part == "train"]
    if labels.classes:
        # `minlength`: a class may have no row among these.
        counts = np.bincount(y, minlength=len(labels.classes))
        return Task(labels.kind, labels.targets, labels.classes, class_counts=tuple(int(count) for count in counts))
    if labels.kind == "custom":
        return Task("custom", labels.targets)
    width = y.shape[1]
    if not spec.scale_target:
        return Task(labels.kind, labels.targets, target_mean=(0.0,) * width, target_scale=(1.0,) * width)
    mean, scale = y.mean(axis=0, dtype=np.float64), y.std(axis=0, dtype=np.float64)
    # A target may be constant in the training rows, and not in all rows.
    scale = np.where(scale > 0, scale, 1.0)
    return Task(labels.kind, labels.targets, target_mean=tuple(mean.tolist()), target_scale=tuple(scale.tolist()))
