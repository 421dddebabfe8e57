"""The `mlp` family: dense layers on a table's columns, embedded categories, or a flattened image."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner

from pipelines.data.prepared import Features
from pipelines.models.context import ModelContext
from pipelines.models.family_model import FamilyModel, compile_model
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import KernelOptions, apply_dropout, finish_hidden, predict, read_kernel_options
from pipelines.models.objectives import resolve_loss
from search_spaces.errors import InputError, Problem


class Mlp(FamilyModel):
    """Dense layers; a linear or logistic regression at depth 0."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__("mlp", context)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the compiled model for the values that `hp` holds.

        Raises:
            InputError: if the data has no features, or a value is not usable.
        """
        requests, context = self.make_requests(hp), self.context
        options = read_kernel_options(requests)
        inputs = _make_inputs(context.features)
        x = _join_features(requests, context.features, inputs)
        for layer in range(1, requests.get_value("depth") + 1):
            x = apply_dropout(requests, layer, _apply_hidden(requests, options, layer, x))
        output = predict(context.task, resolve_loss(context.task.kind, context.training), options, x)
        return compile_model(keras.Model(inputs, output, name="mlp"), requests, context)


def _make_inputs(features: Features) -> dict[str, Any]:
    inputs = {}
    if features.dense:
        inputs["dense"] = keras.Input((features.dense,), dtype="float32", name="dense")
    if features.codes:
        inputs["codes"] = keras.Input((len(features.codes),), dtype="int32", name="codes")
    if features.image:
        inputs["image"] = keras.Input(features.image, dtype="float32", name="image")
    if not inputs:
        raise InputError(Problem("the data has no features left to learn from", "data"))
    return inputs


def _join_features(requests: HyperparameterRequests, features: Features, inputs: dict[str, Any]) -> Any:
    parts = [inputs["dense"]] if "dense" in inputs else []
    if "image" in inputs:
        parts.append(keras.layers.Flatten(name="pixels")(inputs["image"]))
    if features.codes:
        parts += _embed_columns(requests.get_value("embedding_dim"), features.codes, inputs["codes"])
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="features")(parts)


def _embed_columns(width: int, columns: tuple[tuple[str, int], ...], codes: Any) -> list[Any]:
    # Keras on TensorFlow squares a sparse gradient part by part, which is not the square of a row's gradient where a
    # code comes twice in a batch. A penalty of zero makes the gradient dense.
    dense = keras.regularizers.L2(0.0)
    return [
        keras.layers.Embedding(
            count,
            width or calculate_embedding_width(count),
            embeddings_regularizer=dense,
            name=f"embedding_{position + 1}",
        )(codes[:, position])
        for position, (_, count) in enumerate(columns)
    ]


def calculate_embedding_width(codes: int) -> int:
    """Return the embedding width for a column with this many codes: fastai's `emb_sz_rule`, at most 50."""
    return max(1, min(50, round(1.6 * float(codes**0.56))))


def _apply_hidden(requests: HyperparameterRequests, options: KernelOptions, layer: int, x: Any) -> Any:
    dense = keras.layers.Dense(
        requests.get_layer_value("units", layer),
        use_bias=requests.get_value("use_bias"),
        kernel_initializer=options.initializer,
        kernel_regularizer=options.regularizer,
        name=f"dense_{layer}",
    )
    return finish_hidden(requests, dense, layer, x)
