"""The `mlp` family: dense layers on columns, embedded categories and words, or a flattened image or series."""

from __future__ import annotations

from typing import Any

import keras

from pipelines.data.prepared import Features
from pipelines.models.context import ModelContext
from pipelines.models.encoders.columns import average_words, embed_codes, join_parts, make_inputs
from pipelines.models.family_model import FamilyModel
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import (
    KernelOptions,
    apply_dropout,
    finish_hidden,
    make_dense,
    predict_targets,
    read_kernel_options,
)


class Mlp(FamilyModel):
    """Dense layers; a linear or logistic regression at depth 0."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__("mlp", context)

    def build_network(self, requests: HyperparameterRequests) -> keras.Model:
        """Return the network; see `FamilyModel`."""
        context = self.context
        options = read_kernel_options(requests)
        inputs = make_inputs(context.features)
        x = _join_features(requests, context.features, inputs)
        for layer in range(1, requests.get_value("depth") + 1):
            x = apply_dropout(requests, layer, _apply_hidden(requests, options, layer, x))
        output = predict_targets(context.task, context.training, options, x)
        return keras.Model(inputs, output, name="mlp")


def _join_features(requests: HyperparameterRequests, features: Features, inputs: dict[str, Any]) -> Any:
    parts = [inputs["dense"]] if "dense" in inputs else []
    if "image" in inputs:
        parts.append(keras.layers.Flatten(name="pixels")(inputs["image"]))
    if "series" in inputs:
        parts.append(keras.layers.Flatten(name="steps")(inputs["series"]))
    if features.codes:
        parts += embed_codes(requests, features, inputs["codes"])
    return join_parts([*parts, *average_words(requests, features, inputs)])


def _apply_hidden(requests: HyperparameterRequests, options: KernelOptions, layer: int, x: Any) -> Any:
    dense = make_dense(requests, options, requests.get_layer_value("units", layer), f"dense_{layer}")
    return finish_hidden(requests, dense, layer, x)
