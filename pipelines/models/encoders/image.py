"""Encoder of images: augmentation and blocks of convolutions that halve the image."""

from __future__ import annotations

from typing import Any

import keras

from pipelines.models.augmentation import build_augmentation
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import KernelOptions, apply_dropout, finish_hidden

_POOLINGS = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}


def encode_image(requests: HyperparameterRequests, options: KernelOptions, image: Any) -> Any:
    """Return a vector [row, width] of an image [row, height, width, channel]."""
    x = image
    for layer in build_augmentation(requests):
        x = layer(x)
    for block in range(1, requests.get_value("blocks") + 1):
        x = apply_dropout(requests, block, _apply_block(requests, options, block, x))
    return _make_vector(requests.get_value("global_pooling"), x)


def _apply_block(requests: HyperparameterRequests, options: KernelOptions, block: int, x: Any) -> Any:
    convolutions, pooling = requests.get_value("convolutions_per_block"), requests.get_value("pooling")
    # A side of 1 cannot be halved: more blocks than the image has halvings are allowed.
    halving = tuple(2 if side > 1 else 1 for side in x.shape[1:3])
    before = x
    for position in range(1, convolutions + 1):
        strides = halving if pooling == "stride" and position == convolutions else 1
        convolution = _make_convolution(requests, options, block, position, strides)
        x = finish_hidden(requests, convolution, block, x)
    if requests.get_value("residual"):
        x = keras.layers.Add(name=f"residual_{block}")([_fit(options, before, x, block), x])
    if pooling == "stride" or halving == (1, 1):
        return x
    return _POOLINGS[pooling](halving, name=f"pooling_{block}")(x)


def _make_convolution(
    requests: HyperparameterRequests, options: KernelOptions, block: int, position: int, strides: Any
) -> keras.layers.Layer:
    arguments: dict[str, Any] = {
        "filters": requests.get_layer_value("filters", block),
        "kernel_size": requests.get_layer_value("kernel_size", block),
        "padding": "same",
        "use_bias": requests.get_value("use_bias"),
        "name": f"convolution_{block}_{position}",
    }
    if not requests.get_value("separable"):
        arguments |= {"kernel_initializer": options.initializer, "kernel_regularizer": options.regularizer}
        return keras.layers.Conv2D(**arguments, strides=strides)
    arguments |= {f"{part}_initializer": options.initializer for part in ("depthwise", "pointwise")}
    arguments |= {f"{part}_regularizer": options.regularizer for part in ("depthwise", "pointwise")}
    # TensorFlow has separable convolutions with equal strides only; a side of 1 has the same pixel for both.
    return keras.layers.SeparableConv2D(**arguments, strides=strides if strides == 1 else max(strides))


def _fit(options: KernelOptions, before: Any, after: Any, block: int) -> Any:
    """Return a block's input in the shape of its output: by a convolution of single pixels where they differ."""
    if before.shape == after.shape:
        return before
    strides = tuple(-(-old // new) for old, new in zip(before.shape[1:3], after.shape[1:3], strict=True))
    return keras.layers.Conv2D(
        after.shape[-1],
        1,
        strides=strides,
        padding="same",
        kernel_initializer=options.initializer,
        kernel_regularizer=options.regularizer,
        name=f"projection_{block}",
    )(before)


def _make_vector(global_pooling: str, x: Any) -> Any:
    if global_pooling == "average":
        return keras.layers.GlobalAveragePooling2D(name="global_pooling")(x)
    if global_pooling == "max":
        return keras.layers.GlobalMaxPooling2D(name="global_pooling")(x)
    return keras.layers.Flatten(name="global_pooling")(x)
