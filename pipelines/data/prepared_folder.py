"""Readers of a folder that data preparation wrote."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.examples.example_form import ExampleForm
from pipelines.data.examples.examples import Examples, load_examples
from pipelines.data.examples.leaves import convert_for_model, take_rows
from pipelines.data.examples.picture_rows import BYTES_SUFFIX, PictureRows, widen
from pipelines.data.examples.structures import flatten, map_leaves
from pipelines.data.prepared import HEAD_PREFIX, DataSummary, Features, RawColumn, Task
from pipelines.data.report import DataReport
from pipelines.data.window_facts import WindowFacts
from pipelines.engines.local_copies import locate
from tracking.mlflow.cell_values import CellForm

if TYPE_CHECKING:
    from pipelines.data.raw import PartName

# A hyphen, which no input's name has.
WINDOW_TIMES: Final = "raw.window-times"
WINDOW_NAMES: Final = "raw.window-names"
_RAW_ROWS = 4_096  # in memory at a time; chosen, like the bytes of pictures
_RAW_BYTES = 2**26


def load_summary(folder: Path) -> DataSummary:
    """Return the summary of a prepared folder."""
    read = json.loads((locate(folder) / "summary.json").read_text(encoding="utf-8"))
    image, series = read["features"]["image"], read["features"]["series"]
    return DataSummary(
        source=read["source"],
        task=Task.from_json(read["task"]),
        features=Features(
            dense=read["features"]["dense"],
            codes=tuple((name, count) for name, count in read["features"]["codes"]),
            image=None if image is None else (image[0], image[1], image[2]),
            series=None if series is None else (series[0], series[1]),
            text=tuple((name, length, words) for name, length, words in read["features"]["text"]),
            past=tuple(read["features"].get("past", ())),
        ),
        raw=tuple(_read_column(column) for column in read["raw"]),
        rows=read["rows"],
        folds=read["folds"],
        digest=read["digest"],
        encodings=read["encodings"],
        notes=tuple(read["notes"]),
        given=None if read["given"] is None else ExampleForm.from_json(read["given"]),
        report=None if read["report"] is None else DataReport.from_json(read["report"]),
        windows=WindowFacts.from_json(read["windows"]) if read.get("windows") else None,
        streaming=read.get("streaming", ""),
        unreached=tuple(read.get("unreached", ())),
    )


def load_part(folder: Path, part: PartName, fold: int = 0) -> Examples:
    """Return one part of preprocessed data: x by input name, y in the form of `Task.kind`; mapped into memory.

    Pictures may be `PictureRows`, which are widened where rows are taken.
    """
    below = locate(folder) / f"fold-{fold}"
    names = [file.name.removeprefix(f"{part}.").removesuffix(".npy") for file in sorted(below.glob(f"{part}.*.npy"))]
    # Mapped into memory: all workers share the pages of one file.
    inputs = [name for name in names if name.partition(".")[0] != "raw"]
    arrays = {name.removesuffix(BYTES_SUFFIX): load_array(below / f"{part}.{name}.npy") for name in inputs}
    weights = arrays.pop("sample_weight", None)
    heads = {name: arrays.pop(name) for name in list(arrays) if name.startswith(HEAD_PREFIX)}
    y = {name.removeprefix(HEAD_PREFIX): each for name, each in heads.items()} if heads else arrays.pop("y")
    return Examples(x=arrays, y=y, sample_weight=weights)


def load_array(file: Path) -> Array | PictureRows:
    """Return the array of a file in a fold's folder, mapped into memory."""
    stored: Array = np.load(file, mmap_mode="r")
    if not file.stem.endswith(BYTES_SUFFIX):
        return stored
    from pipelines.data.fitted.files import read_fitted  # few folders hold pictures
    from pipelines.data.fitted.stored_pictures import find_pictures

    fitted = read_fitted(file.parent)
    pictures = None if fitted is None else find_pictures(fitted)
    if pictures is None:
        raise ValueError(f"{file} holds bytes of pictures, but the preprocessing beside it takes none")
    return pictures.read(stored)


def load_examples_part(folder: Path, part: PartName, fold: int = 0) -> Examples:
    """Return the examples of one part, as a user model takes them.

    x and y are as they were given; of preprocessed data x is one array, or a dict of several.
    """
    form = load_summary(folder).given
    if form is not None:
        return load_examples(locate(folder) / f"fold-{fold}" / part, form).map(convert_for_model)
    prepared = load_part(folder, part, fold)
    x = next(iter(prepared.x.values())) if len(prepared.x) == 1 else dict(prepared.x)
    return Examples(map_leaves(widen, x), prepared.y, prepared.sample_weight)


def load_raw(folder: Path, part: Literal["validation", "test"], fold: int = 0) -> dict[str, Array]:
    """Return the raw inputs of one part for the exported model, in the row order of `load_part`.

    Numbers are float32; strings are Python strings in an object array, to be passed through `tf.constant`.
    Examples that were given keep their types.
    """
    parts = list(iterate_raw(folder, part, fold))
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}


def load_first_raw(folder: Path, part: Literal["validation", "test"], fold: int, most: int) -> dict[str, Array]:
    """Return no more than so many rows of what `load_raw` returns."""
    parts: list[dict[str, Array]] = []
    found = 0
    for raw in iterate_raw(folder, part, fold, most):
        parts.append({name: take_rows(values, slice(most - found)) for name, values in raw.items()})
        found += int(next(iter(raw.values())).shape[0])
        if found >= most:
            break
    if len(parts) == 1:  # examples that were given may be ragged
        return parts[0]
    return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}


def iterate_raw(
    folder: Path, part: Literal["validation", "test"], fold: int = 0, rows: int = _RAW_ROWS
) -> Iterator[dict[str, Array]]:
    """Yield what `load_raw` returns, so many rows at a time; examples that were given at once."""
    below, summary = folder / f"fold-{fold}", load_summary(folder)
    # Of pictures and long windows fewer, by their size as float32.
    rows = min(rows, max(1, _RAW_BYTES // max(1, sum(4 * math.prod(each.shape) for each in summary.raw))))
    if summary.given is not None:
        leaves = flatten(load_examples_part(folder, part, fold).x)
        yield {column.name: leaf for column, leaf in zip(summary.raw, leaves, strict=True)}
    elif (below / f"{part}.raw.npy").exists():
        values = np.load(below / f"{part}.raw.npy", mmap_mode="r")
        for start in range(0, max(1, len(values)), rows):
            yield {summary.raw[0].name: values[start : start + rows].astype(np.float32)}
    elif (below / f"{part}.raw.parquet").exists():
        yield from _iterate_raw_table(below, part, summary.raw, rows)
    else:
        yield from _iterate_raw_windows(below, part, summary.raw, rows)


def _iterate_raw_windows(below: Path, part: str, inputs: Sequence[RawColumn], rows: int) -> Iterator[dict[str, Array]]:
    opened = {each.name: np.load(below / f"{part}.raw.{each.name}.npy", mmap_mode="r") for each in inputs}
    types = {each.name: np.float32 if each.dtype == "float32" else object for each in inputs}
    for start in range(0, max(1, len(opened[inputs[0].name])), rows):
        yield {name: values[start : start + rows].astype(types[name]) for name, values in opened.items()}


@dataclass(frozen=True)
class WindowRows:
    """Windows of one part, as the source has them.

    Attributes:
        facts: facts of all windows.
        numbers: float32 [row, time, channel].
        times: float64 [row, step] times of the predicted rows.
        names: names of their series [row]; empty where there is one series.
    """

    facts: WindowFacts
    numbers: Array
    times: Array
    names: tuple[str, ...] = ()


def load_window_rows(folder: Path, part: Literal["validation", "test"], fold: int = 0) -> WindowRows | None:
    """Return the windows of a part; None where rows are none, or an earlier version wrote the folder."""
    facts, below = load_summary(folder).windows, locate(folder) / f"fold-{fold}"
    times = below / f"{part}.{WINDOW_TIMES}.npy"
    if facts is None or not times.exists():
        return None
    numbers = load_raw(folder, part, fold).get(next((each.input for each in facts.channels if not each.is_words), ""))
    names = below / f"{part}.{WINDOW_NAMES}.npy"
    return None if numbers is None else WindowRows(
        facts, numbers, np.load(times), tuple(np.load(names).tolist()) if names.exists() else ()
    )  # fmt: skip


def _iterate_raw_table(below: Path, part: str, columns: Sequence[RawColumn], rows: int) -> Iterator[dict[str, Array]]:
    import pyarrow.parquet  # takes a while, and only exports and comparisons read tables

    wide = {each.name: np.load(below / f"{part}.raw.{each.name}.npy", mmap_mode="r") for each in columns if each.shape}
    types = {column.name: np.float32 if column.dtype == "float32" else object for column in columns}
    # Buffered ahead, what was read would be kept until the file is closed.
    with pyarrow.parquet.ParquetFile(below / f"{part}.raw.parquet", pre_buffer=False, buffer_size=1 << 20) as opened:
        count = next((len(values) for values in wide.values()), opened.metadata.num_rows)
        batches = opened.iter_batches(rows, use_threads=False) if len(wide) < len(columns) else itertools.repeat(None)
        for start in range(0, max(1, count), rows):
            batch = next(batches, None)
            yield {
                column.name: wide[column.name][start : start + rows].astype(np.float32)
                if column.shape
                else _convert_cells(batch, column.name, types[column.name])
                for column in columns
            }


def _convert_cells(batch: Any, name: str, dtype: type) -> Array:
    if batch is None:  # a part without rows
        return np.zeros(0, dtype)
    cells: Array = batch.column(name).to_numpy(zero_copy_only=False).astype(dtype)
    return cells


def _read_column(read: Mapping[str, Any]) -> RawColumn:
    return RawColumn(**{**read, "shape": tuple(read["shape"]), "form": CellForm.from_json(read["form"])})
