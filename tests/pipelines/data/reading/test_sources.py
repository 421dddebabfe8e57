"""Which reader a source gets, and how separate files are joined."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.data.reading.sources import load
from pipelines.spec.data_spec import DataSpec


def spec(source="data.csv", **keys) -> DataSpec:
    return DataSpec.model_validate({"source": source, **keys})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.csv").write_text("a,t\n1,0\n2,1\n")
    (tmp_path / "more.csv").write_text("t,a\n1,3\n")
    (tmp_path / "notes.doc").write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("dat.csv", 'did you mean "data.csv"'),
        ("nowhere/d.csv", "there is no file"),
        ("notes.doc", 'a file ending in ".doc"'),
        ("sklearn:moons", "has no data set"),
        ("loader.py:load", "there is no file loader.py"),
    ],
)
def test_unusable_sources(folder, problem, source, expected):
    """An address, a missing file and an unknown form are refused before anything is read."""
    found = problem(load, spec(source), folder, "dense")
    assert found.path == "data.source"
    assert expected in found.message


def test_separate_files(folder):
    """Rows of validation and test files are marked so, and their columns put in the source's order."""
    raw = load(spec(validation_source="more.csv", test_source="more.csv"), folder, "dense")
    assert raw.given.tolist() == ["", "", "validation", "test"]
    assert raw.table.to_numpy().tolist() == [["1", "0"], ["2", "1"], ["3", "1"], ["3", "1"]]
    assert raw.format_place(3) == "line 2 of more.csv"


def test_columns_that_differ(folder, problem):
    """A separate file with other columns is reported at its key."""
    (folder / "more.csv").write_text("a,target\n1,2\n")
    found = problem(load, spec(test_source="more.csv"), folder, "dense")
    assert found.path == "data.test_source"
    assert 'missing: "t"; unexpected: "target"' in found.message


def test_kinds_that_differ(folder, problem):
    """A table and arrays are not one data set."""
    np.savez(folder / "d.npz", x=np.zeros((2, 1)), y=np.zeros(2))
    assert problem(load, spec(test_source="d.npz"), folder, "dense").path == "data.test_source"


@pytest.mark.parametrize(
    ("split", "extra", "path"),
    [
        ({"column": "a"}, {"test_source": "more.csv"}, "data.split.column"),
        ({"folds": 2}, {"validation_source": "more.csv"}, "data.split.folds"),
    ],
)
def test_two_ways_of_dividing(folder, problem, split, extra, path):
    """Rows given separately and another way of dividing them contradict each other."""
    assert problem(load, spec(split=split, **extra), folder, "dense").path == path


def test_part_given_twice(folder, problem):
    """A test file is refused if the source has test rows."""
    (folder / "loader.py").write_text("def load():\n    p = ([[1.0]], [0])\n    return {'train': p, 'test': p}\n")
    found = problem(load, spec("loader.py:load", test_source="more.csv"), folder, "dense")
    assert found.path == "data.test_source"


def test_image_size_without_images(folder, problem):
    """A picture size for a source without pictures is an error, not ignored."""
    assert problem(load, spec(image_size=[8, 8]), folder, "dense").path == "data.image_size"


def test_image_folder(tmp_path):
    """A folder is read as pictures."""
    for label in ("a", "b"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "pictures" / label / "1.png")
    assert load(spec("pictures"), tmp_path, "image").array.shape == (2, 4, 4, 1)


def test_several_files(folder, problem):
    """A list and a pattern are read in their order, and each row keeps its file; a list holds files alone."""
    assert load(spec(["more.csv", "data.csv"]), folder, "dense").format_place(1) == "line 2 of data.csv"
    raw = load(spec("*.csv"), folder, "dense")
    assert raw.table["a"].tolist() == ["1", "2", "3"]
    assert raw.format_place(2) == "line 2 of more.csv"
    assert (
        "a list of sources holds files, got sklearn:iris"
        in problem(load, spec(["data.csv", "sklearn:iris"]), folder, "dense").message
    )
    assert "no file fits the pattern *.tsv" in problem(load, spec("*.tsv"), folder, "dense").message


def test_notes_of_many_files(tmp_path):
    """The notes of the first three are shown, and the number of the others."""
    for number in range(5):
        (tmp_path / f"{number}.csv").write_bytes("a,t\ncafé,1\n".encode("cp1252"))
    notes = load(spec("*.csv"), tmp_path, "dense").notes
    assert len(notes) == 4
    assert notes[3] == "2 more files have notes on how they were read, the last one 4.csv"


def test_keys_that_no_file_is_read_by(folder, problem):
    """A key of reading that has no meaning for the files is refused instead of ignored."""
    pd.DataFrame({"a": [1], "t": [0]}).to_parquet(folder / "d.parquet")
    found = problem(load, spec("d.parquet", sep=";"), folder, "dense")
    assert found.path == "data.sep"
    assert "this is for text files of rows, and d.parquet is none" in found.message


def test_parquet_and_loader(folder):
    """Parquet files and loader functions are read by their ending."""
    pd.DataFrame({"a": [1], "t": [0]}).to_parquet(folder / "d.parquet")
    (folder / "loader.py").write_text("def load():\n    return [[1.0], [2.0]], [0, 1]\n")
    assert load(spec("d.parquet"), folder, "dense").rows == 1
    assert load(spec("loader.py:load"), folder, "dense").rows == 2
