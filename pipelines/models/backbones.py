"""Backbones of the `transfer` family: models of `keras.applications`, their preprocessing, and weights from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import applications

from search_spaces.errors import InputError, Problem


@dataclass(frozen=True)
class Backbone:
    """One model of `keras.applications`: its function, and what it does with pixels from 0 to 255."""

    build: Callable[..., keras.Model]
    preprocess: Callable[[Any], Any]


BACKBONES: Mapping[str, Backbone] = {
    "mobilenet_v2": Backbone(applications.MobileNetV2, applications.mobilenet_v2.preprocess_input),
    "mobilenet_v3_small": Backbone(applications.MobileNetV3Small, applications.mobilenet_v3.preprocess_input),
    "efficientnet_v2_b0": Backbone(applications.EfficientNetV2B0, applications.efficientnet_v2.preprocess_input),
    "resnet50": Backbone(applications.ResNet50, applications.resnet.preprocess_input),
    "densenet121": Backbone(applications.DenseNet121, applications.densenet.preprocess_input),
    "convnext_tiny": Backbone(applications.ConvNeXtTiny, applications.convnext.preprocess_input),
}


def build_backbone(name: str, shape: tuple[int, int, int], weights: str | None) -> keras.Model:
    """Return a backbone without its top.

    Args:
        name: one of `BACKBONES`.
        shape: height, width and channels of its input.
        weights: file that Keras wrote, of weights or of a model; None for random weights. Nothing is ever downloaded.

    Raises:
        InputError: if the file cannot be read, or holds another model's weights.
    """
    backbone = BACKBONES[name].build(include_top=False, weights=None, input_shape=shape)
    if weights is not None:
        try:
            _load_weights(backbone, Path(weights))
        except Exception as error:  # h5py and Keras raise exceptions of many kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            message = f'{Path(weights).name} gives no weights for the backbone "{name}" without its top: {reason}'
            raise InputError(Problem(message, "training.weights")) from error
    return backbone


def _load_weights(backbone: keras.Model, file: Path) -> None:
    if file.suffix != ".keras":
        backbone.load_weights(file)
        return
    known = {layer.name: layer for layer in _list_layers(keras.models.load_model(file, compile=False))}
    for layer in backbone.layers:
        if not layer.weights:
            continue
        if layer.name not in known:
            raise ValueError(f'it has no layer "{layer.name}"')
        layer.set_weights(known[layer.name].get_weights())


def _list_layers(model: keras.Model) -> list[keras.layers.Layer]:
    nested = [_list_layers(layer) if isinstance(layer, keras.Model) else [layer] for layer in model.layers]
    return [layer for layers in nested for layer in layers]
