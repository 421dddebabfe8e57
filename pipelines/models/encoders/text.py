"""Encoder of columns of text: the words of each column as a vector."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipelines.data.prepared import Features
from pipelines.models.encoders.columns import average_known, make_embedding, mark_words
from pipelines.models.encoders.sequences import apply_attention, apply_convolutions, apply_recurrent
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import KernelOptions


def encode_texts(
    requests: HyperparameterRequests, options: KernelOptions, features: Features, inputs: dict[str, Any]
) -> list[Any]:
    """Return a vector [row, width] of each column of text; each has weights of its own."""
    return [_encode_text(requests, options, name, size, inputs[name]) for name, _, size in features.text]


def _encode_text(requests: HyperparameterRequests, options: KernelOptions, name: str, size: int, words: Any) -> Any:
    marks, scope = mark_words(words), f"{name}_"
    x = make_embedding(size, requests.get_value("embedding_dim"), f"{name}_embedding")(words)
    if (rate := requests.get_value("word_dropout")) > 0:
        # One draw for all numbers of a word.
        x = keras.layers.Dropout(rate, noise_shape=(None, words.shape[1], 1), name=f"{name}_word_dropout")(x)
    architecture = requests.get_value("architecture")
    with requests.condition_on("architecture", architecture):
        # Behind the last word all is 0, as behind the end of a sequence.
        x = x * marks
        if architecture == "conv":
            x = apply_convolutions(requests, options, x, scope, padding="same")
        elif architecture == "gru":
            x = apply_recurrent(requests, options, x, scope, architecture)
        elif architecture == "transformer":
            x = apply_attention(requests, options, x, scope, marks)
    return _pool(requests.get_value("pooling"), x, marks)


def _pool(pooling: str, x: Any, marks: Any) -> Any:
    average, largest = average_known(x, marks), None
    if pooling != "average":
        # A text without a word is 0 in both.
        has_words = ops.max(marks, axis=1)
        largest = find_largest(x, marks) * has_words
    if largest is None:
        return average
    return largest if pooling == "max" else ops.concatenate([average, largest], axis=-1)


def find_largest(x: Any, marks: Any) -> Any:
    """Return the largest value over the marked steps, for `x` [row, step, width] and `marks` [row, step, 1] of 0 and 1.

    Above the smallest of all steps, no step that is left out is above another. A number far below in its place would
    leave the 8 bits of an exported file no room for the values themselves.
    """
    lowest = ops.min(x, axis=1, keepdims=True)
    return ops.max((x - lowest) * marks, axis=1) + ops.squeeze(lowest, axis=1)
