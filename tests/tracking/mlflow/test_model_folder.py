"""A `.keras` file as an MLflow model, loaded by MLflow in a separate process."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

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


def load(folder):
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder)], capture_output=True, text=True, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
def test_mlflow_loads_and_answers_raw_columns(tmp_path, keras_file):
    """mlflow.tensorflow and mlflow.pyfunc load the folder; raw columns, strings too, are answered."""
    described = replace(describe_inputs(keras_file), example={"age": [1.0, 2.0], "colour": ["red", "blue"]})
    write_model_folder(keras_file, tmp_path / "model", described)
    assert load(tmp_path / "model") == {"table": True, "dict": True, "other order": True, "example": True}


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
        (TensorDescription("image", "float32", (8, 8, 1)),), (TensorDescription("", "float32", (10,)),)
    )
    write_model_folder(keras_file, tmp_path / "model", described, requirements=["keras==3.15.1", "numpy"])
    description = description_of(tmp_path / "model")
    assert json.loads(description["signature"]["inputs"]) == [
        {"name": "image", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 8, 8, 1]}}
    ]
    assert json.loads(description["signature"]["outputs"])[0]["tensor-spec"]["shape"] == [-1, 10]
    assert description["flavors"]["tensorflow"]["keras_version"] == "3.15.1"
    assert (tmp_path / "model" / "requirements.txt").read_text().split() == ["mlflow", "keras==3.15.1", "numpy"]


def test_outputs_structures_and_open_axes_are_described(tmp_path, keras_file):
    """Several outputs have names; an axis of any length is -1; the loader reads what the model takes."""
    described = ModelDescription(
        (TensorDescription("tokens", "int64", (None,)), TensorDescription("words", "string", ())),
        (TensorDescription("zeta", "float32", (1,)), TensorDescription("alpha", "float32", (None, 3))),
        takes=["tokens", "words"],
    )
    write_model_folder(keras_file, tmp_path / "model", described)
    signature = description_of(tmp_path / "model")["signature"]
    shapes = [field["tensor-spec"] for field in json.loads(signature["inputs"])]
    assert shapes == [{"dtype": "int64", "shape": [-1, -1]}, {"dtype": "str", "shape": [-1]}]
    assert [field["name"] for field in json.loads(signature["outputs"])] == ["zeta", "alpha"]
    inputs = json.loads((tmp_path / "model" / "data" / "inputs.json").read_text())
    assert (inputs["takes"], inputs["outputs"]) == (["tokens", "words"], ["zeta", "alpha"])


def test_a_column_may_have_blanks_around_its_name(tmp_path, keras_file):
    """Pandas keeps them, and the study does not: MLflow passes both names on."""
    columns = Columns((InputColumn("age", "age", "numeric", header="age "), InputColumn("city", "city", "string")))
    write_model_folder(keras_file, tmp_path / "model", ModelDescription(columns=columns))
    fields = json.loads(description_of(tmp_path / "model")["signature"]["inputs"])
    assert [(field["name"], field["required"]) for field in fields] == [("age", False), ("age ", False), ("city", True)]


def test_a_model_with_its_code_is_loaded_by_its_loader(tmp_path):
    """Both flavours name the loader that goes along; nothing is pickled."""
    portable = tmp_path / "portable"
    (portable / "code").mkdir(parents=True)
    (portable / "load_model.py").write_text("def load_model(folder):\n    return folder\n")
    write_model_folder(portable, tmp_path / "model", requirements=["keras==3.15.1", "keras-tuner==1.4.8"])
    flavors = description_of(tmp_path / "model")["flavors"]
    assert flavors["tensorflow"]["keras_module"] == flavors["python_function"]["loader_module"] == "kerastudy_pyfunc"
    assert (tmp_path / "model" / "data" / "load_model.py").exists()
    assert not list((tmp_path / "model").rglob("*pickle*"))
    assert "keras-tuner==1.4.8" in (tmp_path / "model" / "requirements.txt").read_text()


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
