"""Symbolic inputs of a deployed model by the names of its raw inputs, for models that call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from pipelines.data.examples.structures import Structure, flatten
from pipelines.data.prepared import DataSummary
from pipelines.data.raw_inputs import arrange_names, convert_dtype


def make_symbolic_inputs(model: keras.Model, summary: DataSummary) -> dict[str, Any]:
    """Return an input for each raw input of a model, in the data's type; see `list_input_shapes`."""
    shapes = list_input_shapes(model, summary)
    forms = [leaf.form for leaf in flatten(summary.given.x)] if summary.given is not None else ["array"] * len(shapes)
    return {
        column.name: keras.Input(
            shapes[column.name],
            dtype=convert_dtype(column.dtype),
            name=column.name,
            sparse=form == "sparse",
            ragged=form == "ragged",
        )
        for column, form in zip(summary.raw, forms, strict=True)
    }


def list_input_shapes(model: keras.Model, summary: DataSummary) -> dict[str, tuple[int | None, ...]]:
    """Return the shape of a row of each raw input by name: the data's, with the axes that the model leaves open."""
    shapes: list[tuple[int | None, ...]] = [tuple(column.shape) for column in summary.raw]
    # Private to Keras, which has no public way to see the structure of a model's inputs.
    declared = _pair(_find_inputs(model), arrange_names(summary))
    if declared is not None and len(declared) == len(shapes):
        own = [tuple(tensor.shape[1:]) for tensor in declared]
        shapes = [ours if len(ours) == len(given) else given for ours, given in zip(own, shapes, strict=True)]
    return {column.name: shape for column, shape in zip(summary.raw, shapes, strict=True)}


def _find_inputs(model: keras.Model) -> Structure:
    # A `Sequential` model has one input, and its graph in an attribute.
    return getattr(getattr(model, "_functional", None) or model, "_inputs_struct", None)


def _pair(declared: Structure, names: Structure) -> list[Any] | None:
    """Return a model's declared inputs in the order of the raw inputs; None where the structures differ."""
    if not isinstance(names, Mapping):
        leaves = [] if declared is None or isinstance(declared, Mapping) else flatten(declared)
        return leaves if len(leaves) == len(flatten(names)) else None
    if not isinstance(declared, Mapping) or not set(names) <= set(declared):
        return None
    found = [_pair(declared[key], each) for key, each in names.items()]
    return None if any(each is None for each in found) else [leaf for each in found for leaf in each or ()]
