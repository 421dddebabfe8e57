"""Picture files as pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.data.reading.pictures import read_picture_files
from pipelines.data.reading.source_paths import CONFINED


def save(folder: Path, name: str, picture: Image.Image, **keys: object) -> str:
    picture.save(folder / name, **keys)
    return name


@pytest.mark.parametrize(
    ("name", "mode", "colour", "expected"),
    [
        ("a.png", "I;16", 32768, [128]),
        ("a.tif", "I;16", 65535, [255]),
        ("a.tif", "CMYK", (0, 0, 0, 255), [0, 0, 0]),
        ("a.png", "RGBA", (0, 0, 0, 0), [255, 255, 255]),
        ("a.png", "RGBA", (9, 9, 9, 255), [9, 9, 9]),
        ("a.png", "LA", (0, 0), [255]),
        ("a.png", "1", 1, [255]),
        ("a.png", "P", 0, [0, 0, 0]),
        ("a.webp", "RGB", (255, 255, 255), [255, 255, 255]),
    ],
)
def test_modes(tmp_path, name, mode, colour, expected):
    """Every mode becomes 8 bits, grey or red, green and blue; 16 bits are scaled, transparent parts are white."""
    read = read_picture_files([save(tmp_path, name, Image.new(mode, (2, 3), colour))], tmp_path, None)
    assert read.array.shape == (1, 3, 2, len(expected))
    assert read.array[0, 0, 0].tolist() == expected


def test_what_was_decided_is_said(tmp_path):
    """A note counts pictures with transparent parts and with several frames."""
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    names = [
        save(tmp_path, "moving.gif", frames[0], save_all=True, append_images=frames[1:]),
        save(tmp_path, "clear.png", Image.new("RGBA", (2, 2), (9, 9, 9, 100))),
        save(tmp_path, "opaque.png", Image.new("RGBA", (2, 2), (9, 9, 9, 255))),
    ]
    read = read_picture_files(names, tmp_path, None)
    assert read.array[0, 0, 0].tolist() == [255, 0, 0]
    assert read.notes == (
        "pictures with transparent parts are laid over white (1 of 3)",
        "of pictures with several frames the first is read (1 of 3)",
    )


def test_pictures_are_turned_upright(tmp_path):
    """A camera's rotation is undone."""
    turned = Image.Exif()
    turned[0x0112] = 6
    name = save(tmp_path, "phone.jpg", Image.new("L", (6, 4)), exif=turned)
    assert read_picture_files([name], tmp_path, None).array.shape == (1, 6, 4, 1)


def test_sizes_that_differ(tmp_path, problem):
    """Pictures of different sizes are shown with theirs unless a size is set; height comes first."""
    names = [
        save(tmp_path, f"{index}.png", Image.new("RGB", size)) for index, size in enumerate([(4, 6), (4, 6), (5, 5)])
    ]
    found = problem(read_picture_files, names, tmp_path, None)
    assert found.path == "data.image_size"
    assert "2 sizes: 0.png is 6 x 4, 2.png is 5 x 5" in found.message
    assert "such as [6, 4]" in found.message
    assert read_picture_files(names, tmp_path, (8, 3)).array.shape == (3, 8, 3, 3)


def test_broken_pictures(tmp_path, problem):
    """All files that cannot be read are named at once, up to ten; or they are left out with a note."""
    good = save(tmp_path, "good.png", Image.new("L", (2, 2)))
    save(tmp_path, "whole.jpg", Image.effect_noise((40, 40), 50))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:300])
    (tmp_path / "empty.png").touch()
    (tmp_path / "page.png").write_text("<html>")
    names = [good, "cut.jpg", "empty.png", "page.png", *[f"gone{index}.png" for index in range(9)]]
    found = problem(read_picture_files, names, tmp_path, None, "data.source", [f"line {row}" for row in range(13)])
    assert found.message.startswith("12 files cannot be read as pictures: cut.jpg (line 1): ")
    assert "empty.png (line 2): it is empty" in found.message
    assert "page.png (line 3): it is no picture" in found.message
    assert "gone0.png (line 4): there is no such file" in found.message
    assert "gone7" not in found.message
    assert "and 2 more; replace or remove them, or set data.skip_broken: true" in found.message
    read = read_picture_files(names, tmp_path, None, skip_broken=True)
    assert (read.read, read.array.shape) == ((0,), (1, 2, 2, 1))
    assert read.notes[0].startswith("left out as broken (data.skip_broken): 12 pictures: cut.jpg")


def test_a_service_reads_below_the_tables_folder(tmp_path, problem, monkeypatch):
    """There a table may name no other file, and the answer does not show whether it is there."""
    (tmp_path / "below").mkdir()
    save(tmp_path, "out.png", Image.new("L", (2, 2)))
    save(tmp_path, "below/in.png", Image.new("L", (2, 2)))
    names = ["in.png", "../out.png", str(tmp_path / "out.png"), "/etc/passwd", "/nowhere.png"]
    assert read_picture_files(names[:3], tmp_path / "below", None).read == (0, 1, 2)
    monkeypatch.setenv(CONFINED, "1")
    message = problem(read_picture_files, names, tmp_path / "below", None).message
    assert message.count("a service reads pictures below the table's folder only") == 4
    assert read_picture_files(names, tmp_path / "below", None, skip_broken=True).read == (0,)


def test_pixels_that_cannot_be_eight_bits(tmp_path, problem):
    """Floating-point and 32-bit pixels have no known scale, so that they are refused by name."""
    names = [
        save(tmp_path, "float.tif", Image.fromarray(np.full((2, 2), 0.5, np.float32))),
        save(tmp_path, "deep.tif", Image.fromarray(np.full((2, 2), 1 << 20, np.int32))),
    ]
    message = problem(read_picture_files, names, tmp_path, None).message
    assert "float.tif: its pixels are floating-point numbers" in message
    assert "deep.tif: its pixels have 32 bits" in message
