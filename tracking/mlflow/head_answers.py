"""Answers of a model with a head for each of several targets, as a table: values in their units, and classes by name.

This file is copied into the folder of an MLflow model, beside its loader, and runs there without kerastudy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def name_answers(heads: Sequence[Mapping[str, Any]], outputs: Mapping[str, Any]) -> Any:
    """Return a table with a column for each target, and behind one of classes the probability of each class.

    Args:
        heads: of each head its `output`, `kind`, `classes` and `targets`, in the order of the columns.
        outputs: the model's outputs [row, width] by name: probabilities, or values in the unit of the target.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    for head in heads:
        values, classes, [target] = np.asarray(outputs[head["output"]]), np.asarray(head["classes"]), head["targets"]
        if head["kind"] == "binary":
            columns[target] = classes[(values[:, 0] >= 0.5).astype(int)]
            columns[f"probability of {target}: {classes[1]}"] = values[:, 0]
        elif head["kind"] == "multiclass":
            columns[target] = classes[values.argmax(axis=1)]
            columns |= {f"probability of {target}: {name}": values[:, index] for index, name in enumerate(classes)}
        else:
            columns[target] = values[:, 0]
    return pd.DataFrame(columns)


def describe_answers(heads: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the columns of `name_answers` as the fields of a signature in MLflow."""
    columns: list[tuple[str, str]] = []
    for head in heads:
        [target], classes = head["targets"], head["classes"]
        columns.append((target, "string" if classes else "float"))
        shown = classes[1:] if head["kind"] == "binary" else classes
        columns += [(f"probability of {target}: {name}", "float") for name in shown]
    return [{"type": kind, "name": name, "required": True} for name, kind in columns]
