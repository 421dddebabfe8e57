"""Head of a family: the dense layer and the prediction behind its encoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.models.context import ModelContext
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import KernelOptions, apply_dropout, finish_hidden, make_dense, predict_targets


def apply_head(
    requests: HyperparameterRequests,
    options: KernelOptions,
    context: ModelContext,
    layers: int,
    x: Any,
    name: str = "head",
    rescale: Callable[[Any], Any] | None = None,
) -> Any:
    """Return the prediction from a vector, behind a dense layer where the trial has one.

    Args:
        requests: the trial's values.
        options: its kernels.
        context: the study.
        layers: number of the layers before the head.
        x: vector [row, width].
        name: name of the dense layer.
        rescale: see `layers.predict`.
    """
    if units := requests.get_value("dense_units"):
        dense = make_dense(requests, options, units, name)
        # It uses the last layer's values: a space that declares per layer has no number for it.
        x = apply_dropout(requests, layers, finish_hidden(requests, dense, layers, x))
    return predict_targets(context.task, context.training, options, x, rescale)
