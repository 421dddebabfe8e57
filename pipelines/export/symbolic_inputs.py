"""Symbolic inputs of a deployed model by the names of its raw inputs, for models that call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from pipelines.data.prepared import DataSummary
from pipelines.data.raw_inputs import arrange_names, convert_dtype
from pipelines.data.structures import Structure, flatten


def make_symbolic_inputs(model: keras.Model, summary: DataSummary) -> dict[str, Any]:
    """Return an input for each raw input of a model: in the data's type, with the axes that the model leaves open."""
    forms = [(tuple(column.shape), convert_dtype(column.dtype)) for column in summary.raw]
    # Private to Keras, which has no public way to see the structure of a model's inputs.
    declared = _pair(getattr(model, "_inputs_struct", None), arrange_names(summary))
    if declared is not None and len(declared) == len(forms):
        forms = [
            (tuple(tensor.shape[1:]) if len(tensor.shape) == len(shape) + 1 else shape, dtype)
            for tensor, (shape, dtype) in zip(declared, forms, strict=True)
        ]
    kinds = [leaf.form for leaf in flatten(summary.given.x)] if summary.given is not None else ["array"] * len(forms)
    return {
        column.name: keras.Input(shape, dtype=dtype, name=column.name, sparse=kind == "sparse", ragged=kind == "ragged")
        for column, (shape, dtype), kind in zip(summary.raw, forms, kinds, strict=True)
    }


def _pair(declared: Structure, names: Structure) -> list[Any] | None:
    """Return a model's declared inputs in the order of the raw inputs; None where the structures differ."""
    if not isinstance(names, Mapping):
        leaves = [] if declared is None or isinstance(declared, Mapping) else flatten(declared)
        return leaves if len(leaves) == len(flatten(names)) else None
    if not isinstance(declared, Mapping) or not set(names) <= set(declared):
        return None
    found = [_pair(declared[key], each) for key, each in names.items()]
    return None if any(each is None for each in found) else [leaf for each in found for leaf in each or ()]
