"""A `.keras` file as an MLflow model, loaded by MLflow in a separate process."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from ruamel.yaml import YAML

from tracking.mlflow.model_folder import (
    Columns,
    InputColumn,
    ModelDescription,
    TensorDescription,
    describe_inputs,
    list_installed_requirements,
    write_model_folder,
)
from tracking.mlflow.model_loader import KerasOnRawColumns

LOAD = """
import json, sys
import mlflow, numpy as np, pandas as pd, tensorflow as tf

folder = sys.argv[1]
keras_model = mlflow.tensorflow.load_model(folder)
age, colour = [1.0, 2.0, 3.0], ["red", "blue", "never seen"]
expected = keras_model({"age": tf.constant(age), "colour": tf.constant(colour)}).numpy()
loaded = mlflow.pyfunc.load_model(folder)
tables = {
    "table": pd.DataFrame({"age": np.array(age, "float32"), "colour": colour}),
    "dict": {"age": np.array(age, "float32"), "colour": np.array(colour)},
    "other order": pd.DataFrame({"colour": colour, "age": np.array(age, "float32")}),
}
answers = {name: bool(np.array_equal(loaded.predict(rows), expected)) for name, rows in tables.items()}
answers["example"] = bool(np.array_equal(loaded.predict(loaded.input_example), expected[:2]))
print(json.dumps(answers))
"""


def load(folder, code=LOAD):
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_mlflow_loads_and_answers_raw_columns(tmp_path, keras_file):
    """mlflow.tensorflow and mlflow.pyfunc load the folder; raw columns, strings too, are answered."""
    described = replace(describe_inputs(keras_file), example={"age": [1.0, 2.0], "colour": ["red", "blue"]})
    write_model_folder(keras_file, tmp_path / "model", described)
    assert load(tmp_path / "model") == {"table": True, "dict": True, "other order": True, "example": True}


COLUMNS = """
import datetime, json, sys
import mlflow, numpy as np, pandas as pd, tensorflow as tf

folder = sys.argv[1]
keras_model = mlflow.tensorflow.load_model(folder)
loaded = mlflow.pyfunc.load_model(folder)
nan = float("nan")

def expected(age, colour):
    return keras_model({"age": tf.constant(age, tf.float32), "colour": tf.constant(colour)}).numpy()

def fits(rows, age, colour):
    return bool(np.array_equal(loaded.predict(rows), expected(age, colour), equal_nan=True))

def frame(age, colour):
    return pd.DataFrame({"the age": age, "colour": colour})

def refusal(rows):
    try:
        return str(loaded.predict(rows))
    except Exception as error:
        return str(error)

three = ["red", "blue", "never seen"]
print(json.dumps({
    "fits": {
        "int64": fits(frame([1, 2, 300], three), [1, 2, 300], three),
        "float64": fits(frame([1.5, nan, 1e300], three), [1.5, nan, nan], three),
        "bool": fits(frame([True, False, True], three), [1, 0, 1], three),
        "Int64": fits(frame(pd.array([1, None, 3], "Int64"), three), [1, nan, 3], three),
        "numbers as text": fits(frame(["1", " NA ", "?"], three), [1, nan, nan], three),
        "object": fits(frame(np.array([1, None, 2.5], object), np.array(["red", None, nan], object)),
                       [1, nan, 2.5], ["red", "", ""]),
        "no text at all": fits(frame([1, 2], [nan, nan]), [1, 2], ["", ""]),
        "None alone": fits(frame([None], [None]), [nan], [""]),
        "the word None": fits(frame([1], ["None"]), [1], ["None"]),
        "category": fits(frame([1, 2], pd.Categorical(["red", None])), [1, 2], ["red", ""]),
        "a missing word": fits(frame([1, 2], ["?", " red "]), [1, 2], ["", "red"]),
        "numbers for text": fits(frame([1, 2], [7, 8]), [1, 2], ["7", "8"]),
        "whole floats for text": fits(frame([1, 2], [7.0, nan]), [1, 2], ["7", ""]),
        "own index, other order": fits(frame([1, 2], ["red", "blue"])[["colour", "the age"]].set_axis([7, 5]),
                                       [1, 2], ["red", "blue"]),
        "records": fits([{"the age": 1, "colour": "red"}, {"the age": None, "colour": None}], [1, nan], ["red", ""]),
        "more than at once": fits(frame(np.arange(2500), ["red"] * 2500), range(2500), ["red"] * 2500),
        "no rows": loaded.predict(frame([], [])).shape[0] == 0,
        "example": fits(loaded.input_example, [3.0, nan], ["red", ""]),
    },
    "no number": refusal(frame([1, "seven"], ["red", "red"])),
    "no column": refusal(pd.DataFrame({"colour": ["red"]})),
}))
"""


def test_a_table_is_answered_whatever_its_types(tmp_path, keras_file):
    """Ordinary dtypes are taken under the source's names; what is missing, in any form, is missing to the model."""
    columns = Columns((InputColumn("the age", "age", "numeric"), InputColumn("colour", "colour", "string")), ("?",))
    described = ModelDescription(columns=columns, example={"the age": [3.0, None], "colour": ["red", None]})
    write_model_folder(keras_file, tmp_path / "model", described)
    said = load(tmp_path / "model", COLUMNS)
    assert {name for name, fits in said["fits"].items() if not fits} == set()
    assert """column "the age": expected a number, got 'seven' in row 1""" in said["no number"]
    assert "the age" in said["no column"] and "missing" in said["no column"]


def test_booleans_and_dates_are_read_as_for_training(tmp_path):
    """Words for true and false become 1 and 0; a date becomes days since 1970 in UTC, whatever form it has."""
    loader = KerasOnRawColumns(None, [], [])
    ten = datetime(2024, 5, 1, 12, tzinfo=UTC)
    dates = ["2024-05-01T12:00:00", "2024/05/01 14:00:00+02:00", ten, np.datetime64("2024-05-01T12:00"), 19844.5]
    assert [loader._parse_number(value, "date", "d", 0) for value in dates] == [19844.5] * 5
    words = ["True", "no", "1", True, 0, np.bool_(True)]
    assert [loader._parse_number(value, "boolean", "b", 0) for value in words] == [1, 0, 1, 1, 0, 1]
    assert all(np.isnan(loader._parse_number(value, "date", "d", 0)) for value in (None, "", "null"))
    for value, kind in (("maybe", "boolean"), ("soon", "date"), (ten, "numeric"), ([1], "numeric")):
        with pytest.raises(ValueError, match='column "c": expected '):
            loader._parse_number(value, kind, "c", 0)


def test_the_signature_is_read_from_the_file(keras_file):
    """The raw inputs are known from the file alone."""
    found = describe_inputs(keras_file)
    assert sorted(found.inputs, key=lambda tensor: tensor.name) == [
        TensorDescription("age", "float32", ()),
        TensorDescription("colour", "string", ()),
    ]


UNKNOWN_WIDTH = {"class_name": "InputLayer", "config": {"name": "x", "dtype": "float32", "batch_shape": [None, None]}}


@pytest.mark.parametrize("layers", [[], [UNKNOWN_WIDTH]])
def test_what_a_file_does_not_declare_is_left_open(tmp_path, layers):
    """A model of unknown inputs has no signature instead of a wrong one."""
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": layers}}))
    assert describe_inputs(tmp_path / "m.keras") is None
    write_model_folder(tmp_path / "m.keras", tmp_path / "model")
    assert "signature" not in description_of(tmp_path / "model")


def test_a_given_signature_and_requirements_are_written(tmp_path, keras_file):
    """What the caller knows, the output among it, is written as MLflow writes it."""
    described = ModelDescription(
        (TensorDescription("image", "float32", (8, 8, 1)),), TensorDescription("y", "float32", (10,))
    )
    write_model_folder(keras_file, tmp_path / "model", described, requirements=["keras==3.15.1", "numpy"])
    description = description_of(tmp_path / "model")
    assert json.loads(description["signature"]["inputs"]) == [
        {"name": "image", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 8, 8, 1]}}
    ]
    assert json.loads(description["signature"]["outputs"])[0]["tensor-spec"]["shape"] == [-1, 10]
    assert description["flavors"]["tensorflow"]["keras_version"] == "3.15.1"
    assert (tmp_path / "model" / "requirements.txt").read_text().split() == ["mlflow", "keras==3.15.1", "numpy"]


def test_writing_again_replaces(tmp_path, keras_file):
    """A folder written before is replaced whole; no part of it stays."""
    write_model_folder(keras_file, tmp_path / "model")
    (tmp_path / "model" / "left-over").write_text("")
    write_model_folder(keras_file, tmp_path / "model")
    assert not (tmp_path / "model" / "left-over").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_requirements_are_pinned_without_an_import():
    """The versions come from the environment's metadata."""
    assert [line.split("==")[0] for line in list_installed_requirements()] == ["keras", "tensorflow"]


def description_of(folder):
    return YAML(typ="safe").load(folder / "MLmodel")
