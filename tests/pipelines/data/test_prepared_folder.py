"""Readers of a prepared folder."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines.data.prepared import RawColumn
from pipelines.data.prepared_folder import _iterate_raw_table, load_part


@pytest.fixture
def folder(tmp_path):
    """A folder of two folds with arrays alone."""
    for fold in range(2):
        below = tmp_path / f"fold-{fold}"
        below.mkdir()
        np.save(below / "train.dense.npy", np.full((4, 2), fold, np.float32))
        np.save(below / "train.y.npy", np.arange(4))
        np.save(below / "validation.raw.npy", np.zeros((2, 2)))
        np.save(below / "validation.y.npy", np.arange(2))
    return tmp_path


def test_a_part_has_its_inputs_by_name(folder):
    """Targets and raw rows are no inputs; each fold has a folder."""
    part = load_part(folder, "train", 1)
    assert list(part.x) == ["dense"]
    assert part.x["dense"].max() == 1.0
    assert part.rows == 4
    assert dict(load_part(folder, "validation").x) == {}


def test_arrays_are_mapped_and_read_only(folder):
    """A trial cannot change the rows of the next one."""
    part = load_part(folder, "train")
    assert isinstance(part.x["dense"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        part.x["dense"][0] = 1.0


def test_rows_of_a_table_are_let_go(tmp_path):
    """Reading a table takes no more memory with more rows: what was read is not kept until the end."""
    names = [f"x{index}" for index in range(8)]
    columns = [RawColumn(name, "numeric", (), "float32") for name in names]
    values = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    peaks = []
    for rows in (50_000, 200_000):
        table = pa.table(dict.fromkeys(names, values[:rows]))
        pyarrow.parquet.write_table(table, tmp_path / "test.raw.parquet", row_group_size=10_000)
        before = pa.total_allocated_bytes()
        reading = _iterate_raw_table(tmp_path, "test", columns, 4096)
        peaks.append(max(pa.total_allocated_bytes() - before for _ in reading))
    assert peaks[1] < 1.5 * peaks[0]
