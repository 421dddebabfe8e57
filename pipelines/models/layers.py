"""Layers that all families share: kernel options, the layers after a kernel, and the prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from pipelines.data.prepared import Task
from pipelines.models.head_objectives import make_training
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.objectives import POSITIVE_LOSSES, resolve_loss
from pipelines.spec.schema import TrainingSpec


@dataclass(frozen=True)
class KernelOptions:
    """The trial's settings for all kernels of the model."""

    initializer: str
    regularizer: keras.regularizers.Regularizer | None


def read_kernel_options(requests: HyperparameterRequests) -> KernelOptions:
    """Return the trial's initializer and its L1 and L2 strengths as one regularizer."""
    return KernelOptions(
        requests.get_value("kernel_initializer"), _make_regularizer(requests.get_value("l1"), requests.get_value("l2"))
    )


def make_dense(requests: HyperparameterRequests, options: KernelOptions, units: int, name: str) -> keras.layers.Layer:
    """Return a dense layer without activation, as the trial has its kernels and biases."""
    return keras.layers.Dense(
        units,
        use_bias=requests.get_value("use_bias"),
        kernel_initializer=options.initializer,
        kernel_regularizer=options.regularizer,
        name=name,
    )


def finish_hidden(requests: HyperparameterRequests, kernel: keras.layers.Layer, layer: int, x: Any) -> Any:
    """Apply a hidden layer's kernel, then batch normalisation and activation as the trial has them.

    Args:
        requests: the trial's values.
        kernel: a dense or convolutional layer without activation.
        layer: number of the layer, from 1, for values such as `activation_2`.
        x: input of the layer.
    """
    x = kernel(x)
    if requests.get_value("batch_normalization"):
        x = keras.layers.BatchNormalization(name=f"{kernel.name}_normalization")(x)
    activation = requests.get_layer_value("activation", layer)
    # A layer and not an argument of the kernel: batch normalisation comes between the two.
    return keras.layers.Activation(activation, name=f"{kernel.name}_activation")(x)


def apply_dropout(requests: HyperparameterRequests, layer: int, x: Any) -> Any:
    """Apply dropout with the rate of hidden layer `layer`; nothing where the rate is 0."""
    rate = requests.get_layer_value("dropout", layer)
    return keras.layers.Dropout(rate)(x) if rate > 0 else x


def predict_targets(
    task: Task, training: TrainingSpec, options: KernelOptions, x: Any, rescale: Callable[[Any], Any] | None = None
) -> Any:
    """Return the model's output; of several heads a dict of their outputs by name.

    Raises:
        InputError: if the declared loss does not fit the task.
    """
    if not task.heads:
        return predict(task, resolve_loss(task.kind, training), options, x, rescale)
    # Windows, whose predictions are rescaled, have one task.
    return {
        head.output: predict(head, resolve_loss(head.kind, make_training(head, training)), options, x)
        for head in task.heads
    }


def predict(task: Task, loss: str, options: KernelOptions, x: Any, rescale: Callable[[Any], Any] | None = None) -> Any:
    """Return the output for one target, from a layer called `prediction`, or `prediction_<output>` of a head.

    Probabilities [row, 1] for a binary, [row, class] for a multiclass and [row, label] for a multi-label task. For
    regression, values [row, output] in the unit of the target: the network works on standardised values, and a
    `Rescaling` layer converts them; before that `rescale` turns what the network gives into standardised values.
    """
    # Probabilities and not logits: the exported model's output needs no further step.
    activation = task.activation
    end = f"_{task.output}" if task.output else ""
    dense = keras.layers.Dense(
        task.outputs,
        activation=activation,
        kernel_initializer=options.initializer,
        kernel_regularizer=options.regularizer,
        name=f"prediction{end}" if activation else f"standardised_prediction{end}",
    )
    if activation:
        return dense(x)
    values = dense(x)
    return _restore_target_units(task, loss, values if rescale is None else rescale(values))


def _make_regularizer(l1: float, l2: float) -> keras.regularizers.Regularizer | None:
    if l1 > 0 and l2 > 0:
        return keras.regularizers.L1L2(l1, l2)
    if l1 > 0:
        return keras.regularizers.L1(l1)
    return keras.regularizers.L2(l2) if l2 > 0 else None


def _restore_target_units(task: Task, loss: str, x: Any) -> Any:
    scale, mean = list(task.target_scale), list(task.target_mean)
    end = f"_{task.output}" if task.output else ""
    if loss not in POSITIVE_LOSSES:
        return keras.layers.Rescaling(scale, offset=mean, name=f"prediction{end}")(x)
    # softplus in units of the scale keeps predictions above 0 and is nearly the identity well above it.
    shifts = [m / s for m, s in zip(mean, scale, strict=True)]
    x = keras.layers.Rescaling([1.0] * len(scale), offset=shifts, name=f"shifted_prediction{end}")(x)
    x = keras.layers.Activation("softplus", name=f"positive_prediction{end}")(x)
    return keras.layers.Rescaling(scale, name=f"prediction{end}")(x)
