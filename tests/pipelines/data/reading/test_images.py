"""Folders of pictures as arrays and classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.data.raw import RawData, combine
from pipelines.data.reading.images import match_parts, read_images
from pipelines.data.reading.source_file import SourceFile
from pipelines.spec.data_spec import DataSpec


def picture(path: Path, size=(4, 4), mode="RGB", colour=100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour if mode in ("L", "I;16") else (colour,) * len(mode)).save(path)


def read(folder: Path, part=None, **keys: object) -> RawData:
    spec = DataSpec.model_validate({"source": "pets", **keys})
    return read_images(SourceFile(folder, "pets", "data.source", spec, part))


def test_folders_are_classes(tmp_path):
    """Sub-folders name the classes, in alphabetical order, with the pictures in folders below them."""
    for name in ("dog/b.png", "dog/old/a.JPG", "cat/x.bmp", "cat/y.gif", "cat/z.webp", "cat/zz.tif"):
        picture(tmp_path / name)
    raw = read(tmp_path)
    assert raw.class_names == ("cat", "dog")
    assert raw.labels["class"].tolist() == [0, 0, 0, 0, 1, 1]
    assert raw.array.shape == (6, 4, 4, 3)
    assert raw.array.dtype == np.uint8
    assert raw.format_place(5) == "file dog/old/a.JPG"
    assert raw.notes == ()


def test_files_left_out_are_counted(tmp_path):
    """Files that are no pictures are counted by their endings, hidden ones apart; so are pictures without a class."""
    for name in ("cat/1.png", "dog/1.png", "lost.png"):
        picture(tmp_path / name)
    for name in ("cat/notes.txt", "cat/more.TXT", "dog/Thumbs.db", "dog/.DS_Store"):
        (tmp_path / name).write_text("no picture")
    assert read(tmp_path).notes == (
        "1 picture beside the folders of the classes in pets left out, such as lost.png",
        "3 files are no pictures and left out in pets: .txt 2, .db 1",
    )


def test_grey_if_all_are(tmp_path):
    """One channel where every picture is grey, three where one is not."""
    picture(tmp_path / "a/1.png", mode="L")
    picture(tmp_path / "b/1.png", mode="L")
    assert read(tmp_path).array.shape == (2, 4, 4, 1)
    picture(tmp_path / "b/2.png", mode="RGB")
    assert read(tmp_path).array.shape == (3, 4, 4, 3)


@pytest.mark.parametrize("folders", [[], ["a", "b"]])
def test_no_pictures(tmp_path, problem, folders):
    """A folder without pictures is refused with the expected form."""
    for name in folders:
        (tmp_path / name).mkdir()
    assert "one sub-folder a class" in problem(read, tmp_path).message


@pytest.mark.parametrize(("file", "pattern"), [("a.csv", "pets/*.csv"), ("year=2020/a.parquet", "pets/**/*.parquet")])
def test_a_folder_of_tables(tmp_path, problem, file, pattern):
    """It is no folder of pictures, and the pattern of its tables is shown."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    assert problem(read, tmp_path).message.endswith(f"; its tables are read as {pattern}")


def test_class_without_pictures(tmp_path, problem):
    """A sub-folder without pictures is named: its class could never be learnt."""
    picture(tmp_path / "a/1.png")
    (tmp_path / "b").mkdir()
    assert 'class "b"' in problem(read, tmp_path).message


@pytest.mark.parametrize("names", [("train", "validation", "test"), ("Training", "val"), ("train", "testing")])
def test_folders_of_parts_are_no_classes(tmp_path, names):
    """Folders called train and test that hold the classes are parts; a class may be lacking in one, and colour too."""
    for index, name in enumerate(names):
        picture(tmp_path / name / "dog/1.png", mode="L" if index else "RGB")
    picture(tmp_path / names[0] / "cat/1.png")
    raw = read(tmp_path)
    assert raw.class_names == ("cat", "dog")
    assert raw.labels["class"].tolist() == [0, 1, *[1 for _ in names[1:]]]
    assert raw.array.shape[-1] == 3
    assert raw.given.tolist()[:2] == ["", ""]
    assert {name[:3] for name in raw.given.tolist()[2:]} == {name.lower()[:3] for name in names[1:]}
    assert raw.notes[0].startswith("the folders of pets are parts of the data, not classes: ")


def test_parts_that_cannot_be_used(tmp_path, problem):
    """Two folders for one part, and a class that training lacks, are refused."""
    for name in ("train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/cow/1.png"):
        picture(tmp_path / name)
    assert 'pets/val has a class "cow" that the training folder lacks' in problem(read, tmp_path).message
    picture(tmp_path / "valid/cat/1.png")
    assert "val and valid, which mean the same" in problem(read, tmp_path).message


def test_classes_that_are_called_train_and_test(tmp_path):
    """With pictures in them and no folders, such folders are classes as any."""
    for name in ("train/1.png", "test/1.png"):
        picture(tmp_path / name)
    assert read(tmp_path).class_names == ("test", "train")


def test_separate_folders_are_matched(tmp_path):
    """A separate folder of grey pictures of fewer classes has the numbers and channels of the others."""
    for name in ("one/cat/1.png", "one/dog/1.png"):
        picture(tmp_path / name)
    picture(tmp_path / "two/dog/1.png", mode="L")
    both = combine(match_parts([read(tmp_path / "one"), read(tmp_path / "two", "test")]))
    assert both.labels["class"].tolist() == [0, 1, 1]
    assert both.array.shape == (3, 4, 4, 3)
