"""Answers of a model with several heads, as a table."""

import numpy as np

from tracking.mlflow.head_answers import describe_answers, name_answers

HEADS = [
    {"output": "is_sold", "kind": "binary", "classes": ["no", "yes"], "targets": ["is sold"]},
    {"output": "price", "kind": "regression", "classes": [], "targets": ["price"]},
    {"output": "grade", "kind": "multiclass", "classes": ["a", "b"], "targets": ["grade"]},
]
OUTPUTS = {
    "grade": np.array([[0.2, 0.8], [0.9, 0.1]]),
    "is_sold": np.array([[0.5], [0.25]]),
    "price": np.array([[12.5], [3.0]]),
}


def test_a_column_for_each_target():
    """Values are in the target's unit, classes by their names, with the probabilities behind them."""
    found = name_answers(HEADS, OUTPUTS)
    assert found.to_dict("list") == {
        "is sold": ["yes", "no"],
        "probability of is sold: yes": [0.5, 0.25],
        "price": [12.5, 3.0],
        "grade": ["b", "a"],
        "probability of grade: a": [0.2, 0.9],
        "probability of grade: b": [0.8, 0.1],
    }


def test_the_signature_has_the_columns_of_the_answer():
    """MLflow's signature names each column that the model answers with, and its type."""
    fields = describe_answers(HEADS)
    assert [field["name"] for field in fields] == list(name_answers(HEADS, OUTPUTS))
    assert [field["type"] for field in fields[:3]] == ["string", "float", "float"]
