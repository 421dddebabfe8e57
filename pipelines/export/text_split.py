"""Split of a user model that takes text: its layers on text, and the network behind them.

Most formats know no operations on text. Where the graph of a model is known, its layers on text become preprocessing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from pipelines.data.examples.structures import Structure
from pipelines.data.raw_inputs import make_pack


@dataclass(frozen=True)
class TextSplit:
    """The two halves of a model.

    Attributes:
        preprocessing: from raw inputs by name to the inputs of the network: what the layers on text make, and the rest.
        inputs: symbolic inputs of the network by name: those, and the raw inputs that hold no text.
        answer: the network's outputs, in the structure of the model's.
    """

    preprocessing: keras.Model
    inputs: Mapping[str, Any]
    answer: Structure


def split_text(model: keras.Model, inputs: Mapping[str, Any], takes: Structure) -> TextSplit | None:
    """Return the halves of a model that takes text; None where it takes none, or is no graph of layers.

    Args:
        model: the model.
        inputs: symbolic raw inputs by name.
        takes: the structure of the model's input, with these names for leaves.
    """
    # Private to Keras: the graph of a model, and of a `Sequential` one.
    graph = getattr(model, "_functional", model)
    if not hasattr(graph, "_nodes_by_depth") or not any(map(_is_text, graph.inputs)):
        return None
    made = _list_made_of_text(graph)
    names = [f"prepared_{index}" for index in range(len(made))]
    raw = _order_inputs(graph, make_pack(takes)(inputs))
    # Keras cannot save a model with an input that nothing is made of.
    sources = {id(own) for tensor in made for own in keras.utils.get_source_inputs(tensor)}
    read = [(own, given) for own, given in zip(graph.inputs, raw, strict=True) if id(own) in sources]
    prepared = keras.tree.flatten(keras.Model([own for own, _ in read], made)([given for _, given in read]))
    # In the order of the model's own inputs, which the subgraph is called in.
    passed = [(own, given) for own, given in zip(graph.inputs, raw, strict=True) if not _is_text(own)]
    of_network = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in (*zip(names, made, strict=True), *((given.name, given) for _, given in passed))
    }
    # `TextVectorization` gives whole numbers where it declares floats.
    typed = [keras.ops.cast(each, each.dtype) for each in prepared]
    given_on = [*typed, *(keras.layers.Identity()(given) for _, given in passed)]
    behind = keras.Model([*made, *(own for own, _ in passed)], graph.outputs)
    answer = keras.tree.flatten(behind(list(of_network.values()), training=False))
    return TextSplit(
        preprocessing=keras.Model(
            dict(inputs), dict(zip(of_network, given_on, strict=True)), name="text.preprocessing"
        ),
        inputs=of_network,
        answer=keras.tree.pack_sequence_as(graph._outputs_struct, answer),
    )


def _is_text(tensor: Any) -> bool:
    return str(tensor.dtype) == "string"


def _list_made_of_text(graph: keras.Model) -> list[Any]:
    """Return the first tensors behind a model's text that are no text themselves."""
    made = []
    nodes = [node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]]
    for node in nodes:
        if any(map(_is_text, node.input_tensors)) and not any(map(_is_text, node.output_tensors)):
            made += node.output_tensors
    return made


def _order_inputs(graph: keras.Model, structure: Structure) -> list[Any]:
    """Return inputs in the order of a model's own."""
    if isinstance(graph._inputs_struct, Mapping) and isinstance(structure, Mapping):
        structure = {key: structure[key] for key in graph._inputs_struct}
    return list(keras.tree.flatten(structure))
