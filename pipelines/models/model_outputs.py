"""Outputs of a Keras model as tensors by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras


class ModelOutput(NamedTuple):
    """One output of a model.

    Attributes:
        name: its key, or the layer that gives it; `output_0` where the model has one output without a key.
        shape: shape of one row; None for an axis whose length differs.
        dtype: Keras's name of the type.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def describe_outputs(outputs: Any, layers: Sequence[str] = ()) -> tuple[ModelOutput, ...]:
    """Return the outputs of a model, in the order of Keras's `flatten`.

    Args:
        outputs: tensors, symbolic or not, in the structure that the model returns.
        layers: names of the layers that give them, for a list of outputs.
    """
    leaves = keras.tree.flatten_with_path(outputs)
    names: list[str] = []
    for index, (path, _) in enumerate(leaves):
        is_listed = len(leaves) == len(layers) > 1 and not any(isinstance(key, str) for key in path)
        name = re.sub(r"\W", "_", layers[index] if is_listed else "_".join(map(str, path)), flags=re.ASCII)
        name = name if name[:1].isalpha() else f"output_{name or index}"
        while name in names:
            name += "_"
        names.append(name)
    return tuple(
        ModelOutput(name, tuple(leaf.shape[1:]), str(keras.backend.standardize_dtype(leaf.dtype)))
        for name, (_, leaf) in zip(names, leaves, strict=True)
    )
