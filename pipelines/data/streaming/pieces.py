"""Rows of tables in files, some at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.data.raw import GivenPart, RawData, check_alike
from pipelines.data.reading.column_names import clean_column_names
from pipelines.data.reading.csv_files import iterate_csv
from pipelines.data.reading.file_formats import check_reading_keys
from pipelines.data.reading.source_file import SourceFile
from pipelines.data.reading.source_paths import COMPRESSIONS, TEXT_SUFFIXES, find_sources, find_suffix, name_file
from pipelines.data.reading.tabular_files import convert_table, describe_first_line
from pipelines.spec.data_spec import DataSpec, SourceKey
from search_spaces.errors import InputError, Problem

PIECE_CELLS = 400_000
"""Cells that are read together; as Python's strings they take about 40 MB."""
_PIECE_BYTES = 32 * 2**20
_TYPED = (".parquet", ".pq", ".feather", ".arrow")
_PARTS: dict[SourceKey, GivenPart | None] = {"source": None, "validation_source": "validation", "test_source": "test"}


def find_unstreamed(spec: DataSpec, base: Path) -> str:
    """Return the first source that cannot be read in pieces; "" if all can."""
    for key, written in spec.list_sources():
        paths = find_sources(written, base, f"data.{key}")
        if not paths:
            return written
        for path in paths:
            if path.is_dir() or not _is_streamed(path):
                return name_file(path, base)
    return ""


def iterate_pieces(spec: DataSpec, base: Path, cells: int = PIECE_CELLS) -> Iterator[RawData]:
    """Yield the rows of all files of a study, about so many cells at a time, in the order of `sources.load`.

    Raises:
        InputError: if a file cannot be read, or has other columns than the first one.
    """
    check_reading_keys(spec, base)
    first: RawData | None = None
    for key, written in spec.list_sources():
        for path in find_sources(written, base, f"data.{key}"):
            columns = () if first is None or first.table is None else tuple(map(str, first.table.columns))
            file = SourceFile(path, name_file(path, base), f"data.{key}", spec, _PARTS[key], columns)
            for piece in _iterate_file(file, cells):
                clean = clean_column_names(piece, "data.source")
                if first is None:
                    first = replace(clean, table=None if clean.table is None else clean.table.iloc[:0])
                yield _match(clean, first)


def _is_streamed(path: Path) -> bool:
    suffix = find_suffix(path.name)
    for packed in COMPRESSIONS:
        suffix = suffix.removesuffix(packed)
    return suffix in TEXT_SUFFIXES or suffix in _TYPED


def _iterate_file(file: SourceFile, cells: int) -> Iterator[RawData]:
    suffix = file.path.suffix.lower()
    if suffix in _TYPED:
        yield from _iterate_typed(file, cells)
    else:
        yield from iterate_csv(file, cells)


def _match(piece: RawData, first: RawData) -> RawData:
    """Return a piece with its columns in the order of the first one's.

    Raises:
        InputError: if they differ.
    """
    check_alike(first, piece)
    assert piece.table is not None and first.table is not None
    return replace(piece, table=piece.table[list(first.table.columns)])


def _iterate_typed(file: SourceFile, cells: int) -> Iterator[RawData]:
    """Yield the rows of a file of typed columns.

    Raises:
        InputError: if it cannot be read, is empty, or has a doubled column.
    """
    import pyarrow as pa

    start = 0
    try:
        for table in _iterate_tables(file, cells):
            if table.num_rows:
                raw = convert_table(table.to_pandas(), file)
                origin = replace(raw.origins[0], numbers=range(start + 1, start + 1 + table.num_rows))
                yield replace(raw, origins=(origin,))
            start += table.num_rows
    except MemoryError:  # Arrow's is one of its own errors too; the file may be well
        raise
    except (pa.ArrowException, OSError, NotImplementedError) as error:
        kind = "Parquet" if file.path.suffix.lower() in (".parquet", ".pq") else "Feather"
        raise file.refuse(f"{file.name} cannot be read as {kind}: {describe_first_line(error)}") from None
    if not start:
        raise InputError(Problem(f"{file.name} has no rows", file.key))


def _iterate_tables(file: SourceFile, cells: int) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    if file.path.suffix.lower() in (".parquet", ".pq"):
        # Without buffers of whole row groups, which may be the whole file.
        with pyarrow.parquet.ParquetFile(file.path, pre_buffer=False, buffer_size=1 << 20) as opened:
            metadata = opened.metadata
            groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
            size = sum(group.total_byte_size for group in groups)
            rows = _limit_rows(metadata.num_columns, metadata.num_rows, size, cells)
            for batch in opened.iter_batches(batch_size=rows, use_threads=False):
                yield pa.Table.from_batches([batch])
        return
    # Mapped, and so read as far as its rows are used; a compressed file is unpacked batch by batch.
    with pa.memory_map(str(file.path)) as mapped, pa.ipc.open_file(mapped) as opened:
        for index in range(opened.num_record_batches):
            table = pa.Table.from_batches([opened.get_batch(index)])
            rows = _limit_rows(table.num_columns, table.num_rows, table.nbytes, cells)
            for start in itertools.count(0, rows):
                if start >= table.num_rows:
                    break
                yield table.slice(start, rows)


def _limit_rows(columns: int, rows: int, size: int, cells: int) -> int:
    return max(1, min(cells // max(1, columns), _PIECE_BYTES // max(1, size // max(1, rows))))
