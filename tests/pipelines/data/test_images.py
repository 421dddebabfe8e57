"""A folder of pictures as arrays and classes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.data.images import read_images


def picture(path: Path, size=(4, 4), mode="RGB", colour=100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour if mode in ("L", "I;16") else (colour,) * len(mode)).save(path)


def test_folders_are_classes(tmp_path):
    """Sub-folders name the classes, in alphabetical order; other files are passed over."""
    for name in ("dog/b.png", "dog/a.jpg", "cat/x.bmp", "cat/y.gif"):
        picture(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    raw = read_images(tmp_path, "pets", None, "data.source")
    assert raw.class_names == ("cat", "dog")
    assert raw.labels["class"].tolist() == [0, 0, 1, 1]
    assert raw.array.shape == (4, 4, 4, 3)
    assert raw.array.dtype == np.uint8
    assert raw.format_place(2) == "file dog/a.jpg"


def test_grey_if_all_are(tmp_path):
    """One channel where every picture is grey, three where one is not."""
    picture(tmp_path / "a/1.png", mode="L")
    picture(tmp_path / "b/1.png", mode="L")
    assert read_images(tmp_path, "p", None, "data.source").array.shape == (2, 4, 4, 1)
    picture(tmp_path / "b/2.png", mode="RGBA")
    assert read_images(tmp_path, "p", None, "data.source").array.shape == (3, 4, 4, 3)


def test_sixteen_bit_pictures_are_scaled(tmp_path):
    """A 16-bit picture keeps its brightness instead of being cut off at 255."""
    picture(tmp_path / "a/1.png", mode="I;16", colour=32768)
    assert read_images(tmp_path, "p", None, "data.source").array.max() == 128


def test_sizes_that_differ(tmp_path, problem):
    """Pictures of different sizes name the first two unless a size is set; height comes first."""
    picture(tmp_path / "a/1.png", size=(4, 6))
    picture(tmp_path / "b/1.png", size=(5, 5))
    found = problem(read_images, tmp_path, "p", None, "data.source")
    assert found.path == "data.image_size"
    assert "a/1.png is 6 x 4, b/1.png is 5 x 5" in found.message
    assert read_images(tmp_path, "p", (8, 3), "data.source").array.shape == (2, 8, 3, 3)


def test_broken_picture(tmp_path, problem):
    """A file that is no picture is named."""
    picture(tmp_path / "a/1.png")
    (tmp_path / "a" / "2.png").write_bytes(b"no picture")
    assert "a/2.png cannot be read" in problem(read_images, tmp_path, "p", None, "data.source").message


@pytest.mark.parametrize("folders", [[], ["a", "b"]])
def test_no_pictures(tmp_path, problem, folders):
    """A folder without pictures is refused with the expected form."""
    for name in folders:
        (tmp_path / name).mkdir()
    assert "one sub-folder a class" in problem(read_images, tmp_path, "p", None, "data.source").message


def test_class_without_pictures(tmp_path, problem):
    """A sub-folder without pictures is named: its class could never be learnt."""
    picture(tmp_path / "a/1.png")
    (tmp_path / "b").mkdir()
    assert 'class "b"' in problem(read_images, tmp_path, "p", None, "data.source").message
