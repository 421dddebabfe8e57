"""Tables of picture files and labels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.data.prepare import prepare
from pipelines.data.reading.sources import load
from pipelines.spec.data_spec import DataSpec


@pytest.fixture
def folder(tmp_path):
    """Return a folder with three pictures and a table of them."""
    (tmp_path / "data").mkdir()
    for name in ("a", "b", "c"):
        Image.new("L", (3, 2), ord(name)).save(tmp_path / "data" / f"{name}.png")
    (tmp_path / "data" / "list.csv").write_text("file,label,author\nb.png,cat,X\na.png,dog,Y\nc.png,cat,X\n")
    return tmp_path


def read(folder, prefers="image", **keys):
    spec = {"source": "data/list.csv", "target": "label", "drop": ["author"], **keys}
    return load(DataSpec.model_validate(spec), folder, prefers)


def test_pictures_are_read_in_the_tables_order(folder):
    """Paths start from the table's folder; labels are the target column; rows keep their lines."""
    raw = read(folder)
    assert raw.array[:, 0, 0, 0].tolist() == [ord("b"), ord("a"), ord("c")]
    assert raw.labels["label"].tolist() == ["cat", "dog", "cat"]
    assert raw.format_place(1) == "line 3"
    assert 'pictures of data/list.csv are the files of its column "file"' in raw.notes
    assert read(folder, "dense").table is not None
    assert read(folder, "any", image_size=[4, 4]).array.shape == (3, 4, 4, 1)


def test_a_column_can_be_left_out(folder):
    """What is left after it are the pictures alone."""
    spec = {"source": "data/list.csv", "target": "label", "drop": ["author"], "split": {"validation": 0.4, "test": 0}}
    (folder / "data" / "list.csv").write_text("file,label,author\n" + "b.png,cat,X\na.png,dog,Y\n" * 5)
    summary = prepare(DataSpec.model_validate(spec), folder, folder / "ready", "image")
    assert summary.features.image == (2, 3, 1)


def test_what_a_picture_table_cannot_have(folder, problem):
    """Other feature columns and pictures that are not there are named."""
    found = problem(lambda: read(folder, drop=[]))
    assert (found.path, '"author"' in found.message) == ("data.drop", True)
    assert "model: mixed" in found.message
    assert problem(lambda: read(folder, drop=["authors"])).path == "data.drop"
    (folder / "data" / "a.png").unlink()
    assert "1 file cannot be read as a picture: a.png (line 3): there is no such file" in problem(read, folder).message
    raw = read(folder, skip_broken=True)
    assert np.array_equal(raw.labels["label"], ["cat", "cat"])
    assert raw.format_place(1) == "line 4"


def test_tables_of_parts_have_the_same_channels(folder):
    """Grey pictures beside coloured ones have three channels, whichever table names them."""
    Image.new("RGB", (3, 2), "red").save(folder / "data" / "d.png")
    (folder / "data" / "more.csv").write_text("file,label,author\nd.png,cat,X\n")
    raw = read(folder, test_source="data/more.csv")
    assert raw.array.shape == (4, 2, 3, 3)
    assert raw.given.tolist() == ["", "", "", "test"]
