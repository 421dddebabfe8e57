"""Data preparation from end to end: load, check, split, encode, write.

A prepared folder is complete or absent: preparation writes a folder beside it and renames that. It holds

* `summary.json`, `split.csv` (each source row's place, part and fold) and `model_inputs.json` (see `model_inputs`);
* per fold `fold-<k>/<part>.<input>.npy` and `<part>.y.npy` for training, `preprocessing.keras`, and the raw rows of the
  validation and test parts (`<part>.raw.parquet` or `<part>.raw.npy`) for comparing exported models with.

The summary has a fingerprint of the study file's `data` and of the files' contents. If it matches, nothing is prepared
again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns import Column, read_columns
from pipelines.data.encoding import Plan, describe_encodings, mark_missing, note_identifiers, plan_table
from pipelines.data.fingerprint import FORMAT, calculate_fingerprint, read_fingerprint, update_digest
from pipelines.data.model_inputs import write_model_inputs
from pipelines.data.prepared import DataSummary, Features, InputKind, RawColumn, Task
from pipelines.data.prepared_folder import load_summary
from pipelines.data.raw import PARTS, RawData
from pipelines.data.source_paths import resolve_source_path
from pipelines.data.sources import load
from pipelines.data.splits import Split, divide_again, split_rows
from pipelines.data.targets import Labels, read_labels, split_target
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem
from tracking.testing.failpoints import hit

if TYPE_CHECKING:
    import keras


def prepare(
    spec: DataSpec,
    base: Path,
    folder: Path,
    prefers: InputKind,
    expected: str | None = None,
    folds_again: int | None = None,
) -> DataSummary:
    """Return the summary of the data in `folder`; prepare it if needed.

    Args:
        spec: the study file's `data`.
        base: folder that the study file's paths are relative to.
        folder: folder of the prepared data; replaced if it holds other data.
        prefers: form of features that the model family takes.
        expected: digest that the data must have with the split of `spec`, for a study that has trials; None for any.
        folds_again: see `DataJob`.

    Raises:
        InputError: for any problem of the data; `Problem.path` names the key. `folder` stays unchanged.
    """
    sources = [source for source in (spec.source, spec.validation_source, spec.test_source) if source is not None]
    by_contents = all(resolve_source_path(source, base) is not None for source in sources)
    # Files are compared by content, without parsing them; a named set or a loader has to be loaded for it.
    raw = None if by_contents else load(spec, base, prefers)
    fingerprint = calculate_fingerprint(spec, base, prefers, raw, folds_again)
    if read_fingerprint(folder) == fingerprint:
        return load_summary(folder)
    raw = raw or load(spec, base, prefers)
    table, targets = split_target(raw, spec)
    labels = read_labels(targets, raw, spec)
    declared = split_rows(raw, labels, spec)
    split = declared if folds_again is None else divide_again(declared, labels, spec, folds_again)
    content = _read_content(table, raw, spec, split, prefers)
    # Beside the folder, since a rename works within one file system only.
    aside = folder.with_name(folder.name + ".partial")
    _write_rows(aside, raw, content, labels, split)
    summary = _make_summary(spec, content, labels, split)
    write_model_inputs(
        aside, summary, content.select_original_rows(split.select_rows("validation", 0)[:100]), spec.missing_values
    )
    text = json.dumps({"format": FORMAT, "fingerprint": fingerprint, **dataclasses.asdict(summary)}, indent=2)
    (aside / "summary.json").write_text(text, encoding="utf-8")
    if expected is not None and expected != _calculate_digest(content, labels, declared):
        shutil.rmtree(aside)
        message = "the data has changed since the study began; give this study another name, or choose another --home"
        raise InputError(Problem(message, "data.source"))
    _replace_folder(folder, aside)
    return summary


@dataclasses.dataclass(frozen=True)
class _Content:
    """The features of all rows: columns with their plan, or one array with its output."""

    columns: tuple[Column, ...] = ()
    plan: Plan | None = None
    array: Array | None = None
    output: InputKind = "dense"
    marked: tuple[bool, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def raw(self) -> tuple[RawColumn, ...]:
        if self.array is None:
            return tuple(column.raw for column in self.columns)
        flat = self.array.ndim == 2
        return (
            RawColumn("features" if flat else "image", "array" if flat else "image", self.array.shape[1:], "float32"),
        )

    def select_original_rows(self, numbers: Array) -> dict[str, Array]:
        """Return the raw inputs of some rows before they are rounded to the model's float32."""
        if self.array is not None:
            return {self.raw[0].name: self.array[numbers]}
        return {column.input: column.values[numbers] for column in self.columns}

    def select_rows(self, numbers: Array) -> dict[str, Array]:
        """Return the raw inputs of some rows."""
        if self.array is not None:
            return {self.raw[0].name: self.array[numbers]}
        kinds = {column.input: object if column.kind == "string" else np.float32 for column in self.columns}
        return {column.input: column.values[numbers].astype(kinds[column.input]) for column in self.columns}


def _read_content(
    table: pd.DataFrame | None, raw: RawData, spec: DataSpec, split: Split, prefers: InputKind
) -> _Content:
    training = [split.select_rows("train", fold) for fold in range(split.folds)]
    if table is not None:
        if prefers == "image":
            message = f"the model takes images, but {spec.source} is a table; use model: mlp"
            raise InputError(Problem(message, "data.source"))
        features = table.drop(columns=[spec.split.column]) if spec.split.column is not None else table
        columns, notes = read_columns(features, raw, spec)
        plan = plan_table(columns, training, spec)
        return _Content(tuple(columns), plan, notes=(*notes, *note_identifiers(plan, columns)))
    if raw.array is None:
        raise InputError(Problem("the source gives no features", "data.source"))
    for key in [*("data.drop" for _ in spec.drop[:1]), *("data.columns" for _ in list(spec.columns)[:1])]:
        raise InputError(Problem("this source has no columns; remove this key", key))
    array = _convert_to_images(_convert_to_float32(raw.array), raw, prefers)
    marked = mark_missing(array, training).tolist() if array.ndim == 2 else []
    form = prefers if prefers != "any" else "dense" if array.ndim == 2 else "image"
    return _Content(array=array, output=form, marked=tuple(marked))


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


def _write_rows(folder: Path, raw: RawData, content: _Content, labels: Labels, split: Split) -> None:
    # Files of an interrupted preparation may be there.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for fold in range(split.folds):
        _write_fold(folder / f"fold-{fold}", content, labels, split, fold)
    _write_split(folder / "split.csv", raw, split)


def _write_fold(folder: Path, content: _Content, labels: Labels, split: Split, fold: int) -> None:
    from pipelines.data import preprocessing  # loads TensorFlow, which a finished folder is read without

    folder.mkdir()
    training = split.select_rows("train", fold)
    if content.array is not None:
        model = preprocessing.build_array(content.raw[0].name, content.array, training, content.output, content.marked)
    elif content.plan is not None:
        model = preprocessing.build_table(content.plan, content.columns, training)
    model.save(folder / "preprocessing.keras")
    for part in PARTS:
        rows = split.select_rows(part, fold)
        np.save(folder / f"{part}.y.npy", labels.y[rows])
        raw = content.select_rows(rows)
        _write_features(folder, part, model, raw, len(rows))
        if part != "train":
            _write_raw(folder, part, raw, content)


def _write_features(folder: Path, part: str, model: keras.Model, raw: Mapping[str, Array], rows: int) -> None:
    from pipelines.data import preprocessing

    arrays = {
        name: np.lib.format.open_memmap(
            folder / f"{part}.{name}.npy", mode="w+", dtype=output.dtype, shape=(rows, *output.shape[1:])
        )
        for name, output in model.output.items()
    }

    def write(start: int, name: str, values: Array) -> None:
        # Chunk by chunk into the file: an encoded table may be larger than memory.
        arrays[name][start : start + len(values)] = values

    preprocessing.apply(model, raw, write)
    for array in arrays.values():
        array.flush()


def _write_raw(folder: Path, part: str, raw: Mapping[str, Array], content: _Content) -> None:
    if content.array is not None:
        np.save(folder / f"{part}.raw.npy", next(iter(raw.values())))
    else:
        pd.DataFrame(dict(raw)).to_parquet(folder / f"{part}.raw.parquet", index=False)


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


def _calculate_digest(content: _Content, labels: Labels, split: Split) -> str:
    digest = hashlib.sha256()
    # Fixed types: NumPy's text is as wide as the longest word, and its integers depend on the platform.
    update_digest(digest, content.array, labels.y, split.part.astype("<U10"), split.fold.astype(np.int64))
    update_digest(digest, pd.DataFrame({column.input: column.values for column in content.columns}))
    return digest.hexdigest()


def _make_summary(spec: DataSpec, content: _Content, labels: Labels, split: Split) -> DataSummary:
    return DataSummary(
        source=spec.source,
        task=_describe_task(labels, split, spec),
        features=_describe_features(content),
        raw=content.raw,
        rows={part: len(split.select_rows(part)) for part in PARTS},
        folds=split.folds,
        digest=_calculate_digest(content, labels, split),
        encodings=describe_encodings(content.plan, content.columns)
        if content.plan
        else {content.raw[0].name: "standardised"},
        notes=(*content.notes, *split.notes),
    )


def _describe_task(labels: Labels, split: Split, spec: DataSpec) -> Task:
    """Return the task with the statistics of training rows; of all rows but the test part with folds."""
    y = labels.y[split.part != "test"] if split.trains_on_all else labels.y[split.part == "train"]
    if labels.classes:
        # `minlength`: a class may have no row among these.
        counts = np.bincount(y, minlength=len(labels.classes))
        return Task(labels.kind, labels.targets, labels.classes, class_counts=tuple(int(count) for count in counts))
    width = y.shape[1]
    if not spec.scale_target:
        return Task(labels.kind, labels.targets, target_mean=(0.0,) * width, target_scale=(1.0,) * width)
    mean, scale = y.mean(axis=0, dtype=np.float64), y.std(axis=0, dtype=np.float64)
    # A target may be constant in the training rows, and not in all rows.
    scale = np.where(scale > 0, scale, 1.0)
    return Task(labels.kind, labels.targets, target_mean=tuple(mean.tolist()), target_scale=tuple(scale.tolist()))


def _describe_features(content: _Content) -> Features:
    if content.plan is not None:
        codes = tuple((content.columns[string.column].input, string.codes) for string in content.plan.coded)
        return Features(dense=content.plan.dense, codes=codes)
    if content.array is None:
        return Features()
    shape = content.array.shape[1:]
    if content.output == "image":
        return Features(image=(shape[0], shape[1], shape[2]))
    return Features(dense=int(np.prod(shape)) + sum(content.marked))
