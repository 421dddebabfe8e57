"""The `mixed` family: an encoder for each form of features, joined by dense layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from pipelines.models.context import ModelContext
from pipelines.models.encoders.columns import join_parts, make_inputs
from pipelines.models.encoders.image import encode_image
from pipelines.models.encoders.series import encode_series
from pipelines.models.encoders.tabular import encode_columns
from pipelines.models.encoders.text import encode_texts
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


class Mixed(FamilyModel):
    """Columns, texts, series and images in one model."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__("mixed", context)

    def build_network(self, requests: HyperparameterRequests) -> keras.Model:
        """Return the network; see `FamilyModel`."""
        context, options = self.context, read_kernel_options(requests)
        inputs = make_inputs(context.features)
        x = join_parts(self._encode(requests, options, inputs))
        for layer in range(1, requests.get_value("depth") + 1):
            dense = make_dense(requests, options, requests.get_layer_value("units", layer), f"head_{layer}")
            x = apply_dropout(requests, layer, finish_hidden(requests, dense, layer, x))
        output = predict_targets(context.task, context.training, options, x)
        return keras.Model(inputs, output, name="mixed")

    def _encode(self, requests: HyperparameterRequests, options: KernelOptions, inputs: dict[str, Any]) -> list[Any]:
        features, parts = self.context.features, []
        if features.dense or features.codes:
            # Texts have an encoder of their own here.
            columns = replace(features, text=())
            parts.append(encode_columns(requests.with_prefix("columns_"), options, columns, inputs))
        if features.text:
            parts += encode_texts(requests.with_prefix("text_"), options, features, inputs)
        if features.series:
            parts.append(encode_series(requests.with_prefix("series_"), options, inputs["series"]))
        if features.image:
            parts.append(encode_image(requests.with_prefix("image_"), options, inputs["image"]))
        return parts
