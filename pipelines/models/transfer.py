"""The `transfer` family: a backbone of `keras.applications` with weights from a file, and a prediction."""

from __future__ import annotations

from typing import Any

import keras

from pipelines.models.augmentation import build_augmentation
from pipelines.models.backbones import BACKBONES, build_backbone
from pipelines.models.context import ModelContext
from pipelines.models.encoders.columns import make_inputs
from pipelines.models.family_model import FamilyModel, compile_model
from pipelines.models.fine_tuning import make_fine_tuning
from pipelines.models.head import apply_head
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import read_kernel_options
from search_spaces.errors import InputError, Problem

_SMALLEST = 32  # pixels; what the smallest backbones halve to a single one
_POOLINGS = {"average": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}


class Transfer(FamilyModel):
    """A pretrained network: frozen for some epochs, then tuned with a lower learning rate."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__("transfer", context)

    def build_network(self, requests: HyperparameterRequests) -> keras.Model:
        """Return the network; see `FamilyModel`."""
        options, inputs = read_kernel_options(requests), make_inputs(self.context.features)
        x = _make_colours(inputs["image"])
        for layer in build_augmentation(requests):
            x = layer(x)
        name = requests.get_value("backbone")
        x = BACKBONES[name].preprocess(_resize(requests.get_value("input_size"), x))
        backbone = build_backbone(name, tuple(x.shape[1:]), self.context.training.weights)
        _freeze(backbone, requests.get_value("unfreeze_share"))
        x = backbone(x)
        x = _POOLINGS[requests.get_value("global_pooling")](name="global_pooling")(x)
        output = apply_head(requests, options, self.context, 1, x, "dense")
        return keras.Model(inputs, output, name="transfer")

    def compile_network(self, network: keras.Model, requests: HyperparameterRequests) -> keras.Model:
        """Compile the network, its backbone frozen at first and slower later; return it."""
        model = compile_model(network, requests, self.context, make_fine_tuning)
        backbone = next(layer for layer in model.layers if isinstance(layer, keras.Model))
        steps = self.context.steps_per_epoch(requests.get_value("batch_size"))
        frozen_steps = steps * requests.get_value("frozen_epochs")
        model.optimizer.slow_down(backbone.trainable_variables, frozen_steps, requests.get_value("fine_tune_factor"))
        return model


def _make_colours(image: Any) -> Any:
    channels = image.shape[-1]
    if channels not in (1, 3):
        message = f"backbones read grey or colour pictures (1 or 3 channels), got {channels} channels"
        raise InputError(Problem(message, "data.source"))
    return image if channels == 3 else keras.layers.Concatenate(name="colours")([image] * 3)


def _resize(size: int, x: Any) -> Any:
    height, width = x.shape[1:3]
    wanted = max(_SMALLEST, size) if size else max(_SMALLEST, min(height, width))
    if wanted == min(height, width):
        return x
    factor = wanted / min(height, width)
    return keras.layers.Resizing(round(height * factor), round(width * factor), name="resized")(x)


def _freeze(backbone: keras.Model, share: float) -> None:
    """Let the given share of the layers learn, counted from the end; batch normalisation stays as it is."""
    frozen = round(len(backbone.layers) * (1 - share))
    for index, layer in enumerate(backbone.layers):
        # Few pictures would spoil its means. A frozen one infers; Keras 3.15 overrides `training=False` of a call.
        layer.trainable = index >= frozen and not isinstance(layer, keras.layers.BatchNormalization)
