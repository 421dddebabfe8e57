"""Raw columns of a table as the loader in a model's folder reads them."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from tracking.mlflow.cell_values import PLAIN
from tracking.mlflow.model_folder import Columns, InputColumn, ModelDescription, write_model_folder
from tracking.mlflow.model_loader import KerasOnRawColumns


def load(folder, code):
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


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


@pytest.mark.long
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
    assert loader._parse_numbers(dates, "date", "d", PLAIN).tolist() == [19844.5] * 5
    words = ["True", "no", "1", True, 0, np.bool_(True), "Ja", "f"]
    assert loader._parse_numbers(words, "boolean", "b", PLAIN).tolist() == [1, 0, 1, 1, 0, 1, 1, 0]
    assert np.isnan(loader._parse_numbers([None, "", "null"], "date", "d", PLAIN)).all()
    for value, kind in (("maybe", "boolean"), ("soon", "date"), (ten, "numeric"), ([1], "numeric")):
        with pytest.raises(ValueError, match='column "c": expected '):
            loader._parse_numbers([value], kind, "c", PLAIN)


def two_heads(given):
    """Return a list of outputs of whatever structure a model takes."""
    import keras

    left, (right,) = given["left"], given["right"]
    total = keras.ops.cast(left, "float32") + right
    return [total, total * 2]


def test_a_structure_of_tensors_gives_outputs_by_name():
    """Inputs by name become the model's structure, in training's types; several outputs are named in their order."""
    takes, tensors = {"left": "a", "right": ["b"]}, {"a": "int64", "b": "float64"}
    loader = KerasOnRawColumns(lambda given, training: two_heads(given), [], [], tensors, takes, ["zeta", "alpha"])
    found = loader.predict({"b": np.array([[0.5], [1.0]]), "a": np.array([[1], [2]])})
    assert list(found) == ["zeta", "alpha"]
    assert found["alpha"].tolist() == [[3.0], [6.0]]
    table = pd.DataFrame({"a": [[1], [2]], "b": [[0.5], [1.0]]})
    assert loader.predict(table)["zeta"].tolist() == [[1.5], [3.0]]


def test_columns_that_go_to_a_model_as_they_are():
    """Each in its own type; a gap in whole numbers is refused, and blanks around a name in the file do not matter."""
    columns = [
        {"name": "rooms", "input": "rooms", "kind": "numeric", "dtype": "int64", "header": " rooms "},
        {"name": "new", "input": "new", "kind": "boolean", "dtype": "bool"},
    ]

    def answer(given, training):
        import tensorflow as tf

        assert (given["rooms"].dtype, given["new"].dtype) == (tf.int64, tf.bool)
        return tf.where(given["new"], given["rooms"], -given["rooms"])

    loader = KerasOnRawColumns(answer, columns, [], takes={"rooms": "rooms", "new": "new"})
    assert loader.predict(pd.DataFrame({" rooms ": [3, 4], "new": [True, False]})).tolist() == [3, -4]
    assert loader.predict(pd.DataFrame({"rooms": ["3"], "new": ["no"]})).tolist() == [-3]
    with pytest.raises(Exception, match='column "rooms": expected a whole number, got nan in row 1'):
        loader.predict(pd.DataFrame({"rooms": [3, None], "new": [True, False]}))
