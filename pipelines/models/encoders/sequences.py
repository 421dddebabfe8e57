"""Layers on sequences [row, step, width], which the encoders of text and of series share."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import KernelOptions, apply_dropout, finish_hidden

_RECURRENT = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
_FEED_FORWARD = 2  # width of a transformer's inner layer in its units; its paper has 4 for far more data


def apply_convolutions(
    requests: HyperparameterRequests, options: KernelOptions, x: Any, scope: str, *, padding: str, dilation: int = 1
) -> Any:
    """Return the output of residual blocks of two convolutions (Bai, Kolter, Koltun 2018).

    Args:
        requests: the trial's values.
        options: its kernels.
        x: the sequence.
        scope: begin of the layers' names.
        padding: `causal` or `same`.
        dilation: factor by which the distance of a kernel's values grows from block to block.
    """
    for block in range(1, requests.get_value("depth") + 1):
        units, inside = requests.get_layer_value("units", block), x
        for position in (1, 2):
            convolution = keras.layers.Conv1D(
                units,
                requests.get_layer_value("kernel_size", block),
                padding=padding,
                dilation_rate=dilation ** (block - 1),
                use_bias=requests.get_value("use_bias"),
                kernel_initializer=options.initializer,
                kernel_regularizer=options.regularizer,
                name=f"{scope}convolution_{block}_{position}",
            )
            inside = apply_dropout(requests, block, finish_hidden(requests, convolution, block, inside))
        x = keras.layers.Add(name=f"{scope}residual_{block}")([project(options, x, units, f"{scope}{block}"), inside])
    return x


def apply_recurrent(
    requests: HyperparameterRequests, options: KernelOptions, x: Any, scope: str, architecture: str
) -> Any:
    """Return the states [row, step, width] of recurrent layers, whose activations are those of their papers."""
    for number in range(1, requests.get_value("depth") + 1):
        layer = _RECURRENT[architecture](
            requests.get_layer_value("units", number),
            return_sequences=True,
            use_bias=requests.get_value("use_bias"),
            kernel_initializer=options.initializer,
            kernel_regularizer=options.regularizer,
            recurrent_regularizer=options.regularizer,
            name=f"{scope}{architecture}_{number}",
        )
        if requests.get_value("bidirectional"):
            layer = keras.layers.Bidirectional(layer, name=f"{scope}both_{number}")
        x = layer(x)
        if requests.get_value("batch_normalization"):
            x = keras.layers.BatchNormalization(name=f"{layer.name}_normalization")(x)
        x = apply_dropout(requests, number, x)
    return x


def apply_attention(
    requests: HyperparameterRequests, options: KernelOptions, x: Any, scope: str, words: Any = None
) -> Any:
    """Return the output of transformer blocks, each normalised before its layers (Xiong et al. 2020).

    Args:
        requests: the trial's values.
        options: its kernels.
        x: the sequence.
        scope: begin of the layers' names.
        words: 1 [row, step, 1] for the steps that may be attended to; all where None.
    """
    for block in range(1, requests.get_value("depth") + 1):
        units = requests.get_layer_value("units", block)
        x = project(options, x, units, f"{scope}{block}")
        if block == 1:
            x = add_positions(x, units, f"{scope}positions")
        x = apply_transformer_block(requests, options, x, block, scope, words)
    return keras.layers.LayerNormalization(name=f"{scope}normalization")(x)


def apply_transformer_block(
    requests: HyperparameterRequests, options: KernelOptions, x: Any, block: int, scope: str, words: Any = None
) -> Any:
    """Return the output of one transformer block, as wide as its input."""
    units, heads = x.shape[-1], requests.get_value("heads")
    attention = keras.layers.MultiHeadAttention(
        heads,
        max(1, units // heads),
        use_bias=requests.get_value("use_bias"),
        kernel_initializer=options.initializer,
        kernel_regularizer=options.regularizer,
        name=f"{scope}attention_{block}",
    )
    normalised = keras.layers.LayerNormalization(name=f"{scope}normalization_{block}_1")(x)
    mask = None if words is None else ops.cast(ops.transpose(words, (0, 2, 1)), "bool")
    attended = attention(normalised, normalised, attention_mask=mask)
    x = keras.layers.Add(name=f"{scope}attended_{block}")([x, apply_dropout(requests, block, attended)])
    inside = keras.layers.LayerNormalization(name=f"{scope}normalization_{block}_2")(x)
    inside = finish_hidden(
        requests, _make_dense(options, _FEED_FORWARD * units, f"{scope}inner_{block}"), block, inside
    )
    inside = _make_dense(options, units, f"{scope}outer_{block}")(inside)
    return keras.layers.Add(name=f"{scope}residual_{block}")([x, apply_dropout(requests, block, inside)])


def add_positions(x: Any, units: int, name: str) -> Any:
    """Return the sequence with a trained vector added for each of its steps."""
    # A count along the steps and no constant: it has the batch's number of rows in every format.
    steps = ops.cast(ops.cumsum(ops.ones_like(x[:, :, 0]), axis=1) - 1.0, "int32")
    return x + keras.layers.Embedding(x.shape[1], units, name=name)(steps)


def project(options: KernelOptions, x: Any, units: int, name: str, *, always: bool = False) -> Any:
    """Return values of so many units: by a linear layer where they have another width, or always."""
    return x if x.shape[-1] == units and not always else _make_dense(options, units, f"{name}_projection")(x)


def _make_dense(options: KernelOptions, units: int, name: str) -> keras.layers.Layer:
    return keras.layers.Dense(
        units, kernel_initializer=options.initializer, kernel_regularizer=options.regularizer, name=name
    )
