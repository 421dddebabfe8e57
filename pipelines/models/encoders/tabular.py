"""Encoder of a table's columns: embedded numbers, then dense layers, residual blocks, or attention over the columns.

Numbers are embedded as in "On Embeddings for Numerical Features" (Gorishniy, Rubachev, Babenko 2022); residual blocks
and attention are those of "Revisiting Deep Learning Models for Tabular Data" (Gorishniy et al. 2021).
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from pipelines.data.prepared import Features
from pipelines.models.encoders.columns import average_words, embed_codes, make_embedding
from pipelines.models.encoders.sequences import apply_transformer_block, project
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import KernelOptions, apply_dropout, finish_hidden, make_dense

_EMBEDDED = 128  # columns: each has weights of its own, and attention takes their number squared


def encode_columns(
    requests: HyperparameterRequests, options: KernelOptions, features: Features, inputs: dict[str, Any]
) -> Any:
    """Return a vector [row, width] of the numbers, categories and words of a row."""
    architecture = requests.get_value("architecture")
    with requests.condition_on("architecture", architecture):
        if architecture == "transformer":
            return _apply_transformer(requests, options, features, inputs)
        x = _join_columns(requests, options, features, inputs)
        return _apply_resnet(requests, options, x) if architecture == "resnet" else _apply_mlp(requests, options, x)


def _join_columns(
    requests: HyperparameterRequests, options: KernelOptions, features: Features, inputs: dict[str, Any]
) -> Any:
    parts = []
    if features.dense:
        parts.append(inputs["dense"])
        if requests.get_value("number_embedding") == "periodic":
            numbers = _embed_numbers(requests, options, inputs["dense"], requests.get_value("number_dim"))
            parts.append(keras.layers.Flatten(name="numbers")(keras.layers.ReLU(name="numbers_activation")(numbers)))
    if features.codes:
        parts += embed_codes(requests, features, inputs["codes"])
    parts += average_words(requests, features, inputs)
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="columns")(parts)


def _embed_numbers(requests: HyperparameterRequests, options: KernelOptions, dense: Any, width: int) -> Any:
    """Return a vector for each number [row, number, width], by sines and cosines of trained frequencies."""
    with requests.condition_on("number_embedding", "periodic"):
        frequencies, scale = requests.get_value("frequencies"), requests.get_value("frequency_scale")
    numbers = dense[:, :_EMBEDDED]
    waves = keras.layers.EinsumDense(
        "bf,fk->bfk",
        (numbers.shape[1], frequencies),
        kernel_initializer=keras.initializers.RandomNormal(stddev=2 * math.pi * scale),
        name="number_frequencies",
    )(numbers)
    waves = ops.concatenate([ops.sin(waves), ops.cos(waves)], axis=-1)
    return _apply_to_each(options, waves, "bfk,fkd->bfd", width, 2 * frequencies, "number_embedding")


def _apply_to_each(options: KernelOptions, x: Any, equation: str, width: int, fan_in: int, name: str) -> Any:
    """Return a linear layer of each number's own, whose first weights have the range of PyTorch's linear layers."""
    limit = 1 / math.sqrt(fan_in)
    layer = keras.layers.EinsumDense(
        equation,
        (x.shape[1], width),
        bias_axes="fd",
        kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
        kernel_regularizer=options.regularizer,
        name=name,
    )
    return layer(x)


def _apply_mlp(requests: HyperparameterRequests, options: KernelOptions, x: Any) -> Any:
    for layer in range(1, requests.get_value("depth") + 1):
        dense = make_dense(requests, options, requests.get_layer_value("units", layer), f"column_dense_{layer}")
        x = apply_dropout(requests, layer, finish_hidden(requests, dense, layer, x))
    return x


def _apply_resnet(requests: HyperparameterRequests, options: KernelOptions, x: Any) -> Any:
    depth = requests.get_value("depth")
    x = make_dense(requests, options, requests.get_layer_value("units", 1), "column_input")(x)
    for block in range(1, depth + 1):
        units = requests.get_layer_value("units", block)
        x = project(options, x, units, f"column_{block}")
        inside = keras.layers.BatchNormalization(name=f"column_normalization_{block}")(x)
        hidden = max(1, round(units * requests.get_value("hidden_factor")))
        inner = make_dense(requests, options, hidden, f"column_inner_{block}")
        inside = apply_dropout(requests, block, finish_hidden(requests, inner, block, inside))
        inside = make_dense(requests, options, units, f"column_outer_{block}")(inside)
        x = keras.layers.Add(name=f"column_residual_{block}")([x, inside])
    x = keras.layers.BatchNormalization(name="column_normalization")(x)
    return keras.layers.Activation(requests.get_layer_value("activation", depth), name="column_activation")(x)


def _apply_transformer(
    requests: HyperparameterRequests, options: KernelOptions, features: Features, inputs: dict[str, Any]
) -> Any:
    x = ops.concatenate(_make_tokens(requests, options, features, inputs), axis=1)
    for block in range(1, requests.get_value("depth") + 1):
        x = project(options, x, requests.get_layer_value("units", block), f"column_{block}")
        x = apply_transformer_block(requests, options, x, block, "column_")
    # The mean over the columns; the paper adds a column to read from, which a layer of Keras cannot make.
    return ops.mean(keras.layers.LayerNormalization(name="column_normalization")(x), axis=1)


def _make_tokens(
    requests: HyperparameterRequests, options: KernelOptions, features: Features, inputs: dict[str, Any]
) -> list[Any]:
    """Return a vector [row, token, width] for each column; one for all dense columns that are not embedded."""
    width, tokens = requests.get_layer_value("units", 1), []
    if features.dense:
        if requests.get_value("number_embedding") == "periodic":
            tokens.append(_embed_numbers(requests, options, inputs["dense"], width))
        else:
            numbers = inputs["dense"][:, :_EMBEDDED]
            tokens.append(_apply_to_each(options, numbers, "bf,fd->bfd", width, width, "number_tokens"))
    if features.dense > _EMBEDDED:
        rest = project(options, inputs["dense"][:, _EMBEDDED:], width, "other_columns", always=True)
        tokens.append(ops.expand_dims(rest, 1))
    for position, (_, count) in enumerate(features.codes):
        embedding = make_embedding(count, width, f"embedding_{position + 1}")
        tokens.append(embedding(inputs["codes"][:, position : position + 1]))
    for number, words in enumerate(average_words(requests, features, inputs), start=1):
        tokens.append(ops.expand_dims(project(options, words, width, f"text_{number}", always=True), 1))
    return tokens
