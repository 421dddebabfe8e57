"""A table of pictures, text, lists and numbers: one family, its files and the deployed model agree on raw cells."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pandas as pd
import pytest
from exported_trials import train_one
from fake_channel import FakeChannel
from inline_engine import InlineEngine
from PIL import Image

from pipelines.data.model_inputs import read_model_description
from pipelines.data.prepared_folder import load_raw, load_summary
from pipelines.export.export import ExportSource, export_trial
from pipelines.export.jobs import PredictionJob
from pipelines.export.predict import predict_rows
from pipelines.models.raw_predict import predict_raw
from pipelines.spec.data_spec import DataSpec
from pipelines.training.messages import PastTrial
from pipelines.workspace.home import Home
from tracking.mlflow.model_folder import write_model_folder

ROWS = 40
WORDS = ("red", "old", "New York", "wide")


@pytest.fixture(scope="module")
def wares(tmp_path_factory):
    """Return a folder with forty small pictures and a table of them, and the rows of that table."""
    folder = tmp_path_factory.mktemp("wares")
    random = np.random.default_rng(4)
    rows = []
    for row in range(ROWS):
        pixels = random.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{row}.png")
        rows.append(
            {
                "photo": f"{row}.png",
                "about": " ".join(random.choice(["good", "bad", "cheap", "blue", "sofa", "lamp", str(row)], 6)),
                "size": [round(each, 2) for each in random.normal(size=3).tolist()],
                "tags": random.choice(WORDS, random.integers(0, 3), replace=False).tolist(),
                "weight": round(float(random.normal()), 2),
                "sold": int(pixels.mean() > 127),
            }
        )
    (folder / "wares.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder, rows


@pytest.fixture(scope="module")
def home(wares, prepare_data):
    """Return a home with one trial of the family `mixed` on the table."""
    folder, _ = wares
    ready = prepare_data(
        "mixed", source=str(folder / "wares.jsonl"), target="sold", split={"validation": 0.3, "test": 0.2}
    )
    where = Home(folder / "home", "")
    values = {"epochs": 1, "batch_size": 16, "units": 4, "columns_units": 4, "image_blocks": 1, "image_filters": 2}
    train_one(where, "wares", ready, "mixed", values)
    return where


@pytest.mark.long
def test_every_file_agrees_on_all_kinds_of_columns(home, tmp_path):
    """Formats without text take the network alone, behind the preprocessing."""
    formats = ["keras", "saved_model", "onnx"]
    parities = export_trial(ExportSource.from_home(home, "wares", 0), formats, tmp_path / "out", InlineEngine())
    assert [parity.format for parity in parities] == formats
    assert all(parity.largest_difference < 1e-4 for parity in parities)
    assert [bool(parity.preprocessing_file) for parity in parities] == [False, False, True]
    inputs = json.loads((tmp_path / "out" / "signature.json").read_text())["inputs"]
    found = {each["name"]: (each["kind"], each["shape"], each["dtype"]) for each in inputs}
    assert found["photo"] == ("image", [6, 6, 3], "float32")
    assert found["size"] == ("number_list", [3], "float32")
    assert found["tags"] == ("word_list", [], "string")


def test_pyfunc_takes_cells_as_the_table_has_them(wares, home, tmp_path, monkeypatch):
    """A path, bytes, pixels and a data URI are one picture; lists are lists, or text."""
    folder, rows = wares
    data = home.locate_data("wares")
    described = read_model_description(data)
    file = home.locate_trial("wares", 0) / "model.keras"
    write_model_folder(file, tmp_path / "model", described)
    # As MLflow loads it: by the copy of the loader in the folder.
    monkeypatch.syspath_prepend(str(tmp_path / "model" / "code"))
    model = importlib.import_module("kerastudy_pyfunc")._load_pyfunc(str(tmp_path / "model" / "data"))
    table = pd.DataFrame(rows).drop(columns="sold")
    table["photo"] = [str(folder / name) for name in table["photo"]]
    found = model.predict(table)
    raw = load_raw(data, "test")
    import keras

    expected = predict_raw(keras.models.load_model(file), raw)
    lines = pd.read_csv(data / "split.csv")
    np.testing.assert_allclose(found[(lines["part"] == "test").to_numpy()], expected, atol=1e-6)
    other = table.copy()
    other["photo"] = [(folder / f"{row}.png").read_bytes() for row in range(ROWS)]
    other["tags"] = [", ".join(words) for words in table["tags"]]
    other["size"] = [str(numbers) for numbers in table["size"]]
    np.testing.assert_array_equal(model.predict(other), found)
    other["photo"] = [np.asarray(Image.open(folder / f"{row}.png")) for row in range(ROWS)]
    np.testing.assert_array_equal(model.predict(other), found)
    example = json.loads((tmp_path / "model" / "input_example.json").read_text())
    assert model.predict(pd.DataFrame(example["data"], columns=example["columns"])).shape == (3, 1)
    with pytest.raises(Exception, match=r'column "size": expected 3 numbers, got 2 in row 0'):
        model.predict(table.assign(size=[[1.0, 2.0]] * ROWS))
    with pytest.raises(Exception, match=r'column "photo": expected a picture'):
        model.predict(table.assign(photo="no.png"))


def test_new_rows_name_pictures_from_their_own_folder(wares, home, tmp_path):
    """Whatever folder the process is in."""
    folder, _ = wares
    trial = PastTrial(str(home.locate_trial("wares", 0)), str(home.locate_data("wares")))
    spec = DataSpec.model_validate({"source": "wares.jsonl", "target": "sold"})
    done = predict_rows(PredictionJob(trial, spec, str(folder), str(tmp_path / "out.csv")), FakeChannel())
    assert done.rows == ROWS


def test_what_the_summary_says(home):
    encodings = load_summary(home.locate_data("wares")).encodings
    assert encodings["photo"] == "image: 6 x 6 x 3, standardised per channel"
    assert encodings["size"] == "list: 3 numbers, each standardised"
    assert encodings["tags"] == "list: which of 4 words it has"
