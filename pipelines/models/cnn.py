"""The `cnn` family: augmentation, blocks of convolutions that halve the image, and a prediction."""

from __future__ import annotations

from typing import Any

import keras

from pipelines.models.augmentation import build_augmentation
from pipelines.models.context import ModelContext
from pipelines.models.family_model import FamilyModel
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import KernelOptions, apply_dropout, finish_hidden, predict, read_kernel_options
from pipelines.models.objectives import resolve_loss

_POOLINGS = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}


class Cnn(FamilyModel):
    """Convolutions on images."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__("cnn", context)

    def build_network(self, requests: HyperparameterRequests) -> keras.Model:
        """Return the network; see `FamilyModel`."""
        context = self.context
        options = read_kernel_options(requests)
        image = keras.Input(context.features.image, dtype="float32", name="image")
        x = image
        for layer in build_augmentation(requests):
            x = layer(x)
        blocks = requests.get_value("blocks")
        for block in range(1, blocks + 1):
            x = apply_dropout(requests, block, _apply_block(requests, options, block, x))
        x = _apply_dense(requests, options, blocks, _make_vector(requests.get_value("global_pooling"), x))
        output = predict(context.task, resolve_loss(context.task.kind, context.training), options, x)
        return keras.Model({"image": image}, output, name="cnn")


def _apply_block(requests: HyperparameterRequests, options: KernelOptions, block: int, x: Any) -> Any:
    convolutions, pooling = requests.get_value("convolutions_per_block"), requests.get_value("pooling")
    # A side of 1 cannot be halved: more blocks than the image has halvings are allowed.
    halving = tuple(2 if side > 1 else 1 for side in x.shape[1:3])
    for position in range(1, convolutions + 1):
        strides = halving if pooling == "stride" and position == convolutions else 1
        convolution = keras.layers.Conv2D(
            requests.get_layer_value("filters", block),
            requests.get_layer_value("kernel_size", block),
            strides=strides,
            padding="same",
            use_bias=requests.get_value("use_bias"),
            kernel_initializer=options.initializer,
            kernel_regularizer=options.regularizer,
            name=f"convolution_{block}_{position}",
        )
        x = finish_hidden(requests, convolution, block, x)
    if pooling == "stride" or halving == (1, 1):
        return x
    return _POOLINGS[pooling](halving, name=f"pooling_{block}")(x)


def _make_vector(global_pooling: str, x: Any) -> Any:
    if global_pooling == "average":
        return keras.layers.GlobalAveragePooling2D(name="global_pooling")(x)
    if global_pooling == "max":
        return keras.layers.GlobalMaxPooling2D(name="global_pooling")(x)
    return keras.layers.Flatten(name="global_pooling")(x)


def _apply_dense(requests: HyperparameterRequests, options: KernelOptions, blocks: int, x: Any) -> Any:
    units = requests.get_value("dense_units")
    if units == 0:
        return x
    dense = keras.layers.Dense(
        units,
        use_bias=requests.get_value("use_bias"),
        kernel_initializer=options.initializer,
        kernel_regularizer=options.regularizer,
        name="dense",
    )
    # The dense layer uses the last block's values: a space that declares per block has no number for it.
    return apply_dropout(requests, blocks, finish_hidden(requests, dense, blocks, x))
