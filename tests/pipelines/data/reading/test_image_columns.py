"""A column of picture files beside others: found, read, prepared, and read again where a picture changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_examples_part, load_part, load_raw
from pipelines.data.reading.sources import load
from pipelines.spec.data_spec import DataSpec

ROWS = 24


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a table in a folder of its own, and its pictures below that."""
    (tmp_path / "shop" / "photos").mkdir(parents=True)
    lines = ["photo,weight,price"]
    for row in range(ROWS):
        pixels = np.full((5, 4, 3), row * 10, dtype=np.uint8)
        pixels[0, 0] = (255, 0, 0)
        Image.fromarray(pixels).save(tmp_path / "shop" / "photos" / f"{row}.png")
        lines.append(f"photos/{row}.png,{row % 7},{row}.5")
    (tmp_path / "shop" / "wares.csv").write_text("\n".join(lines))
    return tmp_path


def make_spec(**keys):
    return DataSpec.model_validate({"source": "shop/wares.csv", "target": "price", **keys})


def prepare_wares(folder, prefers="mixed", **keys):
    """Return the summary and the folder of the prepared table."""
    ready = folder / "prepared"
    return prepare(make_spec(**keys), folder, ready, prefers), ready


def test_pictures_are_features_beside_numbers(folder):
    """Pixels are standardised per channel by the training rows; the raw ones are kept for the exported model."""
    summary, ready = prepare_wares(folder)
    assert (summary.features.image, summary.features.dense) == ((5, 4, 3), 1)
    assert any("data.columns.photo.type: string" in note for note in summary.notes)
    train = load_part(ready, "train").x
    assert np.allclose(np.mean(train["image"], axis=(0, 1, 2)), 0, atol=1e-5)
    assert np.allclose(np.std(train["image"], axis=(0, 1, 2)), 1, atol=1e-5)
    raw = load_raw(ready, "validation")
    assert (raw["photo"].dtype, raw["photo"].shape[1:]) == (np.float32, (5, 4, 3))
    assert raw["photo"][:, 0, 0].tolist() == [[255, 0, 0]] * len(raw["photo"])
    # A picture stays beside its row.
    assert np.array_equal(raw["photo"][:, 4, 3, 0] // 10 % 7, raw["weight"])


def test_a_user_model_gets_pixels_under_the_columns_name(folder):
    """With `preprocess: none` a picture is bytes, as its file is."""
    prepare_wares(folder, "any", preprocess="none", image_size=[3, 2])
    photo = load_examples_part(folder / "prepared", "train").x["photo"]
    assert (photo.dtype, photo.shape[1:]) == (np.uint8, (3, 2, 3))


def test_a_changed_picture_is_prepared_anew(folder):
    """The table is the same, and the digest is not; unchanged pictures are not read again."""
    summary, ready = prepare_wares(folder)
    written = (ready / "summary.json").stat().st_mtime_ns
    assert prepare_wares(folder)[0].digest == summary.digest
    assert (ready / "summary.json").stat().st_mtime_ns == written
    Image.new("RGB", (4, 5), "green").save(folder / "shop" / "photos" / "3.png")
    assert prepare_wares(folder)[0].digest != summary.digest


def test_all_broken_pictures_are_named_with_their_lines(folder, problem):
    (folder / "shop" / "photos" / "2.png").unlink()
    (folder / "shop" / "photos" / "9.png").write_bytes(b"")
    found = problem(prepare_wares, folder).message
    assert "photos/2.png (line 4): there is no such file; photos/9.png (line 11): it is empty" in found
    assert "data.skip_broken: true" in found
    raw = load(make_spec(skip_broken=True), folder, "mixed")
    assert (raw.rows, len(raw.table), len(raw.pictures["photo"])) == (ROWS - 2, ROWS - 2, ROWS - 2)
    assert raw.format_place(2) == "line 5"
    assert any("left out as broken" in note for note in raw.notes)


def test_two_columns_of_pictures_are_refused(folder, problem):
    file = folder / "shop" / "wares.csv"
    first, *lines = file.read_text().splitlines()
    file.write_text("\n".join([f"back,{first}", *(f"{line.split(',')[0]},{line}" for line in lines)]))
    found = problem(prepare_wares, folder)
    assert 'set data.drop: ["photo"]' in found.message
    assert prepare_wares(folder, drop=["photo"])[0].features.image == (5, 4, 3)


def test_names_without_pictures_are_words(folder, problem):
    """Where no picture is there, the names are categories, which a note states; declared, each is an error."""
    for file in (folder / "shop" / "photos").iterdir():
        file.unlink()
    raw = load(make_spec(), folder, "mixed")
    assert not raw.pictures
    assert any("none is beside the table" in note for note in raw.notes)
    columns = {"photo": {"type": "image"}}
    found = problem(lambda: prepare_wares(folder, columns=columns))
    assert ("24 files cannot be read" in found.message, found.path) == (True, "data.columns.photo")
    assert load(make_spec(columns={"photo": {"type": "string"}}), folder, "mixed").notes == ()


def test_a_model_of_numbers_gets_pictures_where_they_are_declared(folder):
    """Undeclared, the names are words, and a note names the models that read the pictures."""
    raw = load(make_spec(), folder, "dense")
    assert not raw.pictures
    assert "model: mixed" in raw.notes[0]
    assert load(make_spec(columns={"photo": {"type": "image"}}), folder, "dense").pictures["photo"].shape[0] == ROWS


@pytest.mark.parametrize("is_record", [False, True])
def test_parquet_holds_the_files_themselves(folder, problem, is_record):
    """As bytes, or as records of bytes and a path; broken ones have their rows."""
    table = pd.read_csv(folder / "shop" / "wares.csv")
    files = [(folder / "shop" / name).read_bytes() for name in table["photo"]]
    table["photo"] = [{"bytes": file, "path": None} for file in files] if is_record else files
    table.to_parquet(folder / "shop" / "wares.parquet")
    raw = load(make_spec(source="shop/wares.parquet"), folder, "mixed")
    assert np.array_equal(raw.pictures["photo"], load(make_spec(), folder, "mixed").pictures["photo"])
    table["photo"] = [files[0][:20], *files[1:]]
    table.to_parquet(folder / "shop" / "wares.parquet")
    found = problem(load, make_spec(source="shop/wares.parquet"), folder, "mixed").message
    assert "20 bytes (row 1): they are no picture" in found


def test_parts_in_several_files(folder, problem):
    """Grey pictures of one file have the channels of the other's."""
    lines = (folder / "shop" / "wares.csv").read_text().splitlines()
    (folder / "shop" / "test.csv").write_text("\n".join([lines[0], *lines[-4:]]))
    for row in range(ROWS - 4, ROWS):
        Image.new("L", (4, 5), row).save(folder / "shop" / "photos" / f"{row}.png")
    (folder / "shop" / "wares.csv").write_text("\n".join(lines[:-4]))
    raw = load(make_spec(test_source="shop/test.csv"), folder, "mixed")
    assert raw.pictures["photo"].shape == (ROWS, 5, 4, 3)
    for row in range(ROWS - 4, ROWS):
        Image.new("L", (2, 2), row).save(folder / "shop" / "photos" / f"{row}.png")
    assert problem(load, make_spec(test_source="shop/test.csv"), folder, "mixed").path == "data.image_size"
