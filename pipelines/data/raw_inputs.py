"""Raw inputs of a deployed model: their names in an export, and the structure that the model takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipelines.data.examples.structures import Structure, map_leaves, pack
from pipelines.data.prepared import DataSummary

Pack = Callable[[Mapping[str, Any]], Structure]
"""Converts raw inputs by name to the structure that a model takes."""


def arrange_names(summary: DataSummary) -> Structure:
    """Return the structure that the models of a study take, with names for leaves; None for a dict by name."""
    if summary.given is None:
        return None
    # The raw inputs have the order of the leaves.
    return pack(summary.given.x, iter(column.name for column in summary.raw))


def convert_dtype(dtype: str) -> str:
    """Return the type of a deployed model's input for data of a type, as `Model.fit` converts arrays.

    >>> convert_dtype("float64"), convert_dtype("int64")
    ('float32', 'int64')
    """
    return "float32" if dtype.startswith("float") else dtype


def make_pack(names: Structure) -> Pack:
    """Return the conversion to a structure of names.

    >>> make_pack(["a", {"b": "b"}])({"a": 1, "b": 2})
    [1, {'b': 2}]
    """
    return dict if names is None else lambda raw: map_leaves(lambda name: raw[name], names)
