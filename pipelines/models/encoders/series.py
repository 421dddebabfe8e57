"""Encoder of a series: its last steps as a vector."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipelines.models.encoders.sequences import apply_attention, apply_convolutions, apply_recurrent
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import KernelOptions, apply_dropout, finish_hidden, make_dense
from search_spaces.errors import InputError, Problem


def encode_series(requests: HyperparameterRequests, options: KernelOptions, series: Any) -> Any:
    """Return a vector [row, width] of a series [row, step, channel].

    Raises:
        InputError: if the window is longer than the series.
    """
    x = _crop(requests, series)
    architecture = requests.get_value("architecture")
    with requests.condition_on("architecture", architecture):
        if architecture == "mlp":
            return _apply_dense(requests, options, keras.layers.Flatten(name="series_steps")(x))
        if architecture == "conv":
            dilation = requests.get_value("dilation")
            x = apply_convolutions(requests, options, x, "series_", padding="causal", dilation=dilation)
        elif architecture == "transformer":
            x = apply_attention(requests, options, x, "series_")
        else:
            x = apply_recurrent(requests, options, x, "series_", architecture)
        return _pool(requests.get_value("pooling"), x)


def _crop(requests: HyperparameterRequests, series: Any) -> Any:
    window, length = requests.get_value("window"), series.shape[1]
    if window > length:
        name = requests.find_name("window")
        message = f"{name} expects at most the {length} steps of a row's series, got {window}; 0 uses all"
        raise InputError(Problem(message, f"space.{name}"))
    return series[:, -window:, :] if 0 < window < length else series


def _apply_dense(requests: HyperparameterRequests, options: KernelOptions, x: Any) -> Any:
    for layer in range(1, requests.get_value("depth") + 1):
        dense = make_dense(requests, options, requests.get_layer_value("units", layer), f"series_dense_{layer}")
        x = apply_dropout(requests, layer, finish_hidden(requests, dense, layer, x))
    return x


def _pool(pooling: str, x: Any) -> Any:
    if pooling == "last":
        return x[:, -1, :]
    if pooling == "max":
        return ops.max(x, axis=1)
    average = ops.mean(x, axis=1)
    return average if pooling == "average" else ops.concatenate([x[:, -1, :], average], axis=-1)
