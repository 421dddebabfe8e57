"""Parquet, Feather and NumPy files as tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.data.reading.npy_files import read_npy
from pipelines.data.reading.source_file import SourceFile
from pipelines.data.reading.tabular_files import read_feather, read_parquet
from pipelines.spec.data_spec import DataSpec


@pytest.fixture
def file(tmp_path):
    """Return a function that makes the source of a file in the temporary folder."""

    def make(name: str, **keys: object) -> SourceFile:
        return SourceFile(tmp_path / name, name, "data.source", DataSpec.model_validate({"source": name, **keys}))

    return make


@pytest.mark.parametrize("name", ["data.parquet", "data.feather"])
def test_types_are_kept(file, name):
    """Columns keep their types, and rows are counted from 1."""
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", None], "c": [True, False]})
    source = file(name)
    (frame.to_parquet if name.endswith("parquet") else frame.to_feather)(source.path)
    raw = (read_parquet if name.endswith("parquet") else read_feather)(source)
    assert not raw.text
    assert raw.table.dtypes["a"] == np.float64
    assert raw.format_place(1) == "row 2"
    assert raw.notes == ()


def test_a_stored_index_is_left_out_with_a_note(file):
    """An index is stored beside the columns; it is no feature, and that is said."""
    source = file("data.parquet")
    pd.DataFrame({"a": [1, 2]}, index=pd.Index([7, 9], name="order")).to_parquet(source.path)
    raw = read_parquet(source)
    assert list(raw.table.columns) == ["a"]
    assert 'the index "order" of data.parquet is left out' in raw.notes[0]


@pytest.mark.parametrize(
    ("read", "kind"), [(read_parquet, "Parquet"), (read_feather, "Feather"), (read_npy, "an array")]
)
def test_broken_files(file, problem, read, kind):
    """A file that is not what its name states is refused in one line."""
    source = file("data.any")
    source.path.write_text("nothing of the kind")
    found = problem(read, source)
    assert f"cannot be read as {kind}" in found.message
    assert "\n" not in found.message


def test_arrays_in_npy(file, problem):
    """Two axes and a target are a table with numbered columns; without a target the array is x as it is."""
    np.save(file("a.npy").path, np.arange(6.0).reshape(3, 2))
    raw = read_npy(file("a.npy", target="column_2"))
    assert raw.table["column_2"].tolist() == [1.0, 3.0, 5.0]
    assert "data.names" in raw.notes[0]
    assert list(read_npy(file("a.npy", target="y", names=["x", "y"])).table.columns) == ["x", "y"]
    assert "expected 2 names, got 1" in problem(read_npy, file("a.npy", target="y", names=["y"])).message
    assert read_npy(file("a.npy")).examples.x.shape == (3, 2)
    np.save(file("b.npy").path, np.array([(1, 2.5)], dtype=[("a", "i4"), ("y", "f4")]))
    assert list(read_npy(file("b.npy", target="y")).table.columns) == ["a", "y"]
