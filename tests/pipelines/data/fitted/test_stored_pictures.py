"""Prepared pictures: bytes on the disk where they are bytes, and the preprocessing's numbers where they are read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.data.examples.picture_rows import PictureRows
from pipelines.data.fitted.row_encoder import RowEncoder
from pipelines.data.fitted.stored_pictures import find_pictures
from pipelines.data.fitted.values import FittedArray, RawInput
from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_examples_part, load_part, load_raw
from pipelines.data.streaming.choose_streaming import choose_shuffle, measure_prepared
from pipelines.spec.data_spec import DataSpec

RANDOM = np.random.default_rng(4)
BYTES = RANDOM.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)


def prepare_pictures(folder, values, prefers, **keys):
    """Prepare pictures of two classes, and return the folder."""
    np.savez(folder / "set.npz", x=values, y=np.arange(len(values)) % 2)
    spec = DataSpec.model_validate({"source": "set.npz", "split": {"seed": 1}, **keys})
    prepare(spec, folder, folder / "ready", prefers)
    return folder / "ready"


def list_stored(folder):
    """Return the types of the arrays of the training rows, by file."""
    files = folder.glob("fold-0/train.*.npy")
    return {file.name.removeprefix("train."): str(np.load(file, mmap_mode="r").dtype) for file in files}


@pytest.mark.parametrize(("output", "spread"), [("image", 71.0), ("dense", 71.0), ("image", 0.0), ("pixels", None)])
def test_every_byte_becomes_what_the_preprocessing_makes_of_it(output, spread):
    """To the bit, for each form, and for a channel that is constant in training rows."""
    shape = (16, 16, 2)
    moments = None if spread is None else (np.array([113.7, 0.4]), np.array([spread, 0.1 * spread]))
    pixels = (1.0, -0.0) if spread is None else None
    name = "image" if output == "pixels" else output
    fitted = FittedArray(RawInput("image", shape, "float32"), name, moments=moments, pixels=pixels)
    every = np.stack([np.arange(256, dtype=np.uint8)] * 2, axis=-1).reshape(1, *shape)
    expected = RowEncoder(fitted).encode({"image": every})[name]
    found = np.asarray(find_pictures(fitted).read(every))
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("prefers", "name"), [("image", "image"), ("pixels", "image"), ("mixed", "image"), ("dense", "dense")]
)
def test_bytes_are_stored_as_bytes(tmp_path, prefers, name):
    """A quarter of the size, in every form that a family takes."""
    ready = prepare_pictures(tmp_path, BYTES, prefers)
    assert list_stored(ready) == {f"{name}-bytes.npy": "uint8", "y.npy": "int32"}
    assert load_part(ready, "train").x[name].dtype == np.float32


@pytest.mark.parametrize("values", [BYTES / 255, BYTES.astype(np.uint16) * 255, BYTES[:, :, 0, 0]])
def test_other_numbers_are_stored_as_numbers(tmp_path, values):
    """Shares of 1, 16 bits, and a table of bytes, which is no picture."""
    prefers = "image" if values.ndim == 4 else "dense"
    ready = prepare_pictures(tmp_path, values, prefers)
    assert list_stored(ready) == {f"{prefers}.npy": "float32", "y.npy": "int32"}


def test_a_user_model_has_arrays(tmp_path):
    """Its code may do with them what it likes, so they are mapped from the disk as they are."""
    ready = prepare_pictures(tmp_path, BYTES, "any", preprocess="dense")
    assert list_stored(ready) == {"image.npy": "float32", "y.npy": "int32"}
    assert isinstance(load_examples_part(ready, "train").x, np.ndarray)


def test_resized_pictures_are_bytes(tmp_path):
    """Resizing rounds to whole pixels."""
    for number in range(20):
        file = tmp_path / "set" / str(number % 2) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(BYTES[number]).save(file)
    spec = DataSpec.model_validate({"source": "set", "image_size": [9, 7]})
    prepare(spec, tmp_path, tmp_path / "ready", "image")
    assert list_stored(tmp_path / "ready") == {"image-bytes.npy": "uint8", "y.npy": "int32"}
    assert load_part(tmp_path / "ready", "train").x["image"].shape[1:] == (9, 7, 3)


def test_pictures_beside_columns_are_bytes(tmp_path):
    """The other features of the table are as before."""
    for number in range(20):
        Image.fromarray(BYTES[number]).save(tmp_path / f"{number}.png")
    rows = [{"photo": f"{number}.png", "size": number, "label": number % 2} for number in range(20)]
    pd.DataFrame(rows).to_csv(tmp_path / "wares.csv", index=False)
    spec = DataSpec.model_validate({"source": "wares.csv", "target": "label"})
    prepare(spec, tmp_path, tmp_path / "ready", "mixed")
    assert list_stored(tmp_path / "ready") == {"dense.npy": "float32", "image-bytes.npy": "uint8", "y.npy": "int32"}
    assert (load_part(tmp_path / "ready", "train").x["image"].shape[1:]) == (6, 5, 3)


def test_each_fold_has_its_own_numbers(tmp_path):
    """A fold's pictures are standardised by its training rows."""
    ready = prepare_pictures(tmp_path, BYTES, "image", split={"seed": 1, "folds": 2, "test": 0.2})
    for fold in range(2):
        x = np.asarray(load_part(ready, "train", fold).x["image"])
        assert x.mean(axis=(0, 1, 2)) == pytest.approx([0, 0, 0], abs=1e-5)
        assert x.std(axis=(0, 1, 2)) == pytest.approx([1, 1, 1], abs=1e-5)


def test_a_folder_of_an_earlier_version_is_read_as_it_is(tmp_path):
    """Its numbers are numbers, and it is not prepared again."""
    ready = prepare_pictures(tmp_path, BYTES, "image")
    expected = {part: np.asarray(load_part(ready, part).x["image"]) for part in ("train", "validation", "test")}
    write_as_numbers(ready)
    before = (ready / "summary.json").stat().st_mtime_ns
    prepare_pictures(tmp_path, BYTES, "image")
    assert (ready / "summary.json").stat().st_mtime_ns == before
    for part, values in expected.items():
        found = load_part(ready, part).x["image"]
        assert isinstance(found, np.memmap)
        assert np.array_equal(found, values)


def write_as_numbers(folder):
    """Make a prepared folder one that an earlier version wrote."""
    for part in ("train", "validation", "test"):
        values = np.asarray(load_part(folder, part).x["image"])
        np.save(folder / "fold-0" / f"{part}.image.npy", values)
        (folder / "fold-0" / f"{part}.image-bytes.npy").unlink()


def test_bytes_without_their_preprocessing_are_refused(tmp_path):
    """Bytes are never taken for numbers."""
    ready = prepare_pictures(tmp_path, BYTES, "image")
    (ready / "fold-0" / "preprocessing.json").unlink()
    with pytest.raises(ValueError, match="bytes of pictures"):
        load_part(ready, "train")


def test_pictures_in_memory_count_as_numbers(tmp_path):
    """Whether trainings read from the disk is decided by what they would hold, and how by what is on the disk."""
    ready = prepare_pictures(tmp_path, BYTES, "image")
    stored, widened = measure_prepared(ready)
    pixels = BYTES[:1].nbytes * 40
    assert widened - stored == pytest.approx(3 * pixels, abs=3 * 128 * 3)
    spec = DataSpec.model_validate({"source": "set.npz"})
    assert choose_shuffle(spec, stored, widened, int(2 * widened))[0] == "rows"
    assert choose_shuffle(spec, stored, widened, int(5 * widened))[0] == ""


def test_the_raw_rows_are_the_bytes(tmp_path):
    """The exported model is compared on these."""
    ready = prepare_pictures(tmp_path, BYTES, "pixels")
    part = load_part(ready, "test").x["image"]
    assert isinstance(part, PictureRows)
    assert np.array_equal(part, load_raw(ready, "test")["image"])
