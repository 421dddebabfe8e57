"""Notes on a user model that begins with its own preprocessing, where its data is preprocessed already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from pipelines.data.prepared import DataSummary
from pipelines.models.user_model import ModelCodeError

_EXPECTS = {
    "Embedding": "whole numbers",
    "IntegerLookup": "whole numbers",
    "CategoryEncoding": "whole numbers",
    "StringLookup": "text",
    "TextVectorization": "text",
    "Hashing": "the values as they are",
    "Rescaling": "pixels as they are",
    "Normalization": "the values as they are",
    "Discretization": "the values as they are",
}


def note_input_layers(model: keras.Model, summary: DataSummary) -> list[str]:
    """Return a note for each layer that expects other values than the standardised ones that the model gets."""
    if summary.given is not None:
        return []
    # Codes of strings are whole numbers, which are to be embedded.
    known = {name: what for name, what in _EXPECTS.items() if name != "Embedding" or not summary.features.codes}
    return [
        f'layer "{layer.name}" ({type(layer).__name__}) expects {known[type(layer).__name__]}, and the model gets '
        "standardised numbers: data.preprocess: none gives it the data as it is"
        for layer in _list_layers(model)
        if type(layer).__name__ in known
    ]


@contextmanager
def explain_inputs(model: keras.Model, summary: DataSummary) -> Iterator[None]:
    """Add to an error of a model that a layer expects other values than it gets, which may be its cause."""
    try:
        yield
    except ModelCodeError as error:
        if not (notes := note_input_layers(model, summary)):
            raise
        raise ModelCodeError(f"{error}; {notes[0]}") from error


def _list_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _list_layers(layer)
