"""The choice between rows in memory and rows that are read in pieces: by `data.streaming`, or by the data's size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from pipelines.data.examples.picture_rows import BYTES_SUFFIX
from pipelines.data.prepared import DIGEST_PREFIX, PICTURES, InputKind, Shuffle
from pipelines.data.reading.pictures import SUFFIXES
from pipelines.data.reading.source_paths import COMPRESSIONS, find_sources
from pipelines.data.streaming.pieces import find_unstreamed
from pipelines.spec.data_spec import DataSpec
from pipelines.spec.units import format_bytes
from search_spaces.errors import InputError, Problem

_TEXT_TIMES = 10
"""Bytes in memory for each byte of text: a cell of eight letters is a string of 57 bytes. Measured."""
_PACKED_TIMES = 5  # bytes of text for each packed byte; chosen
_TYPED_TIMES = 4  # of a typed file's values: the table, the columns, and copies of some
_CELL_BYTES = 24
_PICTURE_TIMES = 4  # a list of pictures, their array, and the rows of a part
_SHARE = 0.25
"""Share of the limit of memory that prepared rows may take in a training's memory; beyond it they stay on disk."""
_SHARE_OF_MACHINE = 0.5  # of its memory, where the system keeps what was read from the disk


@dataclass(frozen=True)
class StreamingChoice:
    """Whether rows are read in pieces, and the line that states it."""

    streams: bool
    note: str = ""


def choose_streaming(
    spec: DataSpec, base: Path, prefers: InputKind, memory_bytes: int | None, expected: str | None
) -> StreamingChoice:
    """Return whether the rows of a study are read in pieces.

    Args:
        spec: the study file's `data`.
        base: folder that paths are relative to.
        prefers: form of features that the model takes.
        memory_bytes: limit of memory; None for none.
        expected: digest of a study that has trials, which goes on as it began.

    Raises:
        InputError: if `data.streaming` is true for a source that cannot be read in pieces.
    """
    if spec.streaming is False:
        return StreamingChoice(False)
    if prefers in PICTURES:
        return _choose_for_pictures(spec, base, memory_bytes)
    if expected is not None:
        return StreamingChoice(expected.startswith(DIGEST_PREFIX))
    unstreamed = find_unstreamed(spec, base)
    if spec.streaming is True:
        if unstreamed:
            message = f"{unstreamed} cannot be read in pieces; give CSV or other text, Parquet or Feather files"
            raise InputError(Problem(message, "data.streaming"))
        return StreamingChoice(True, "rows are read in pieces, and never all in memory (data.streaming)")
    if unstreamed or memory_bytes is None or prefers in (*PICTURES, "any", "series") or spec.series is not None:
        return StreamingChoice(False)
    size = estimate_memory(spec, base)
    if size <= memory_bytes:
        return StreamingChoice(False)
    shown = f"rows would take about {format_bytes(size)} of the memory's {format_bytes(memory_bytes)} (limits.memory)"
    return StreamingChoice(True, f"{shown}, so they are read in pieces (data.streaming: false reads all at once)")


def _choose_for_pictures(spec: DataSpec, base: Path, memory_bytes: int | None) -> StreamingChoice:
    """Return the choice for pictures, whose digest is the same either way."""
    if spec.streaming is True:
        return StreamingChoice(True, "pictures are read in pieces, and never all in memory (data.streaming)")
    size = _estimate_pictures(spec, base)
    if memory_bytes is None or size <= memory_bytes:
        return StreamingChoice(False)
    shown = f"pictures would take about {format_bytes(size)} of the memory's {format_bytes(memory_bytes)}"
    return StreamingChoice(True, f"{shown} (limits.memory), so they are read in pieces (data.streaming)")


def _estimate_pictures(spec: DataSpec, base: Path) -> int:
    """Return about how many bytes the preparation of image folders takes in memory; 0 for other sources."""
    paths = [path for key, each in spec.list_sources() for path in find_sources(each, base, f"data.{key}")]
    files = [file for path in paths if path.is_dir() for file in path.rglob("*") if file.suffix.lower() in SUFFIXES]
    if not files:
        return 0
    size = spec.image_size
    if size is None:
        from PIL import Image

        try:
            with Image.open(files[0]) as opened:
                size = opened.height, opened.width
        except OSError:
            return 0
    return _PICTURE_TIMES * 3 * size[0] * size[1] * len(files)


def estimate_memory(spec: DataSpec, base: Path) -> int:
    """Return about how many bytes a table's preparation takes with all rows in memory."""
    paths = [path for key, each in spec.list_sources() for path in find_sources(each, base, f"data.{key}")]
    return sum(map(_estimate_file, paths))


def measure_prepared(folder: Path) -> tuple[int, int]:
    """Return the bytes of a folder's prepared rows on the disk, and as numbers in memory."""
    sizes = {file: file.stat().st_size for file in folder.rglob("*.npy")}
    widened = sum(size * (4 if file.stem.endswith(BYTES_SUFFIX) else 1) for file, size in sizes.items())
    return sum(sizes.values()), widened


def choose_shuffle(
    spec: DataSpec, prepared_bytes: int, widened_bytes: int, memory_bytes: int | None
) -> tuple[Shuffle | Literal[""], str]:
    """Return how trainings mix streamed rows that they read from disk, with a line; "" where they may be in memory.

    Args:
        spec: the study file's `data`.
        prepared_bytes: size of the prepared rows on the disk.
        widened_bytes: size of the same rows as numbers.
        memory_bytes: limit of memory; None for none.
    """
    is_large = memory_bytes is not None and widened_bytes > _SHARE * memory_bytes
    if not is_large and spec.streaming is not True:
        return "", ""
    shown = f"trainings read each batch of the {format_bytes(prepared_bytes)} of prepared rows from disk"
    if prepared_bytes > _SHARE_OF_MACHINE * psutil.virtual_memory().total:
        why = "since single rows would be read at random from all over the disk"
        return "blocks", f"{shown}, mixed in blocks of 1 MB, 64 at a time, {why} (data.streaming)"
    return "rows", f"{shown}, mixed over all rows (data.streaming)"


def _estimate_file(path: Path) -> int:
    size, suffix = path.stat().st_size, path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        import pyarrow.parquet

        metadata = pyarrow.parquet.read_metadata(path)
        groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
        values = sum(group.total_byte_size for group in groups)
        return int(max(_TYPED_TIMES * values, _CELL_BYTES * metadata.num_rows * metadata.num_columns))
    if suffix in (".feather", ".arrow"):
        return size * _TYPED_TIMES * 2
    return size * _TEXT_TIMES * (_PACKED_TIMES if suffix in COMPRESSIONS else 1)
