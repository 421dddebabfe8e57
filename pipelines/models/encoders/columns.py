"""Inputs of a table's columns: numbers as they are, categories and words embedded."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipelines.data.prepared import Features
from pipelines.models.catalogue.encoders import calculate_embedding_width
from pipelines.models.hyperparameter_requests import HyperparameterRequests


def make_inputs(features: Features) -> dict[str, Any]:
    """Return a symbolic input for each form of features, by its name in the prepared data."""
    inputs = {}
    if features.dense:
        inputs["dense"] = keras.Input((features.dense,), dtype="float32", name="dense")
    if features.codes:
        inputs["codes"] = keras.Input((len(features.codes),), dtype="int32", name="codes")
    if features.image:
        inputs["image"] = keras.Input(features.image, dtype="float32", name="image")
    if features.series:
        inputs["series"] = keras.Input(features.series, dtype="float32", name="series")
    for name, length, _ in features.text:
        inputs[name] = keras.Input((length,), dtype="int32", name=name)
    return inputs


def embed_codes(requests: HyperparameterRequests, features: Features, codes: Any) -> list[Any]:
    """Return the embedding [row, width] of each coded column."""
    width = requests.get_value("embedding_dim")
    return [
        make_embedding(count, width, f"embedding_{position + 1}")(codes[:, position])
        for position, (_, count) in enumerate(features.codes)
    ]


def average_words(requests: HyperparameterRequests, features: Features, inputs: dict[str, Any]) -> list[Any]:
    """Return the average [row, width] of the embedded words of each column of text; 0 where a text has no word."""
    if not features.text:
        return []
    width, averages = requests.get_value("embedding_dim"), []
    for name, _, words in features.text:
        embedded = make_embedding(words, width, f"{name}_embedding")(inputs[name])
        averages.append(average_known(embedded, mark_words(inputs[name])))
    return averages


def mark_words(words: Any) -> Any:
    """Return 1 [row, word, 1] where there is a word, and 0 behind the last one."""
    return ops.expand_dims(ops.cast(ops.not_equal(words, 0), "float32"), -1)


def average_known(values: Any, marks: Any) -> Any:
    """Return the average [row, width] of the marked values; 0 where none is."""
    return ops.sum(values * marks, axis=1) / ops.maximum(ops.sum(marks, axis=1), 1.0)


def make_embedding(count: int, width: int, name: str) -> keras.layers.Layer:
    """Return an embedding of so many codes; of the usual width where `width` is 0."""
    # Keras on TensorFlow squares a sparse gradient part by part, which is not the square of a row's gradient where a
    # code comes twice in a batch. A penalty of zero makes the gradient dense.
    dense = keras.regularizers.L2(0.0)
    return keras.layers.Embedding(
        count, width or calculate_embedding_width(count), embeddings_regularizer=dense, name=name
    )


def join_parts(parts: list[Any]) -> Any:
    """Return vectors side by side."""
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="features")(parts)
