"""Size of a model, and its comparison with the study's ceilings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from math import prod

import keras

from pipelines.spec.units import format_bytes
from pipelines.training.build_limits import limit_weights
from pipelines.training.errors import ModelTooLargeError
from pipelines.training.messages import TrialJob

_BYTES_PER_NUMBER = 4  # float32
_USUAL_SLOTS = 2  # numbers per weight: the two moments of Adam
_SLACK = 4  # code may create layers that its model does not use


def estimate_training_memory(model: keras.Model, batch_size: int) -> int:
    """Return the estimate of `ModelCheck.memory_bytes`; the model and its optimizer do not change.

    Layers without a known output shape, such as those of a subclassed model, count with their weights alone.
    """
    weights = _count_numbers(weight.shape for weight in model.weights)
    gradients = _count_numbers(weight.shape for weight in model.trainable_weights)
    outputs = _count_numbers(tensor.shape[1:] for layer in _walk_layers(model) for tensor in _list_outputs(layer))
    return _BYTES_PER_NUMBER * (
        weights + gradients + _count_optimizer_numbers(model, gradients) + 2 * batch_size * outputs
    )


def refuse_large_model(job: TrialJob, model: keras.Model, batch_size: int) -> None:
    """Compare a model that is about to be trained with `limits.parameters` and `limits.model_memory`.

    Raises:
        ModelTooLargeError: if it is above one of them.
    """
    if not model.built:  # the `fit` of a user model may build its model only while it trains
        return
    parameters = int(model.count_params())
    if job.most_parameters is not None and parameters > job.most_parameters:
        raise ModelTooLargeError.from_parameters(parameters, job.most_parameters)
    if job.most_model_bytes is None:
        return
    needed = estimate_training_memory(model, batch_size)
    if needed > job.most_model_bytes:
        raise ModelTooLargeError(
            f"not trained: its model takes about {format_bytes(needed)} to train with batches of {batch_size}, "
            f"limits.model_memory allows {format_bytes(job.most_model_bytes)}"
        )


def limit_model_size(job: TrialJob) -> AbstractContextManager[None]:
    """Limit the weights of a model while it is built, so that one far above `limits.parameters` takes no memory.

    Raises:
        ModelTooLargeError: if it creates many more weights than allowed.
    """
    most = job.most_parameters
    if most is None:
        return nullcontext()
    reason = f"not trained: it makes more than {_SLACK * most:,} weights, limits.parameters allows {most:,}"
    return limit_weights(_SLACK * most, reason)


def _count_optimizer_numbers(model: keras.Model, trainable: int) -> int:
    """Return the numbers that the optimizer keeps; as many as Adam's where the model has none before it is trained."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return _USUAL_SLOTS * trainable
    copy = type(optimizer).from_config(optimizer.get_config())  # the `fit` of a user model may still freeze weights
    copy.build(model.trainable_variables)
    return _count_numbers(variable.shape for variable in copy.variables)


def _walk_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _walk_layers(layer)
        else:
            yield layer


def _list_outputs(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    try:
        return list(keras.tree.flatten(layer.output))
    except (AttributeError, ValueError):  # it was never called with symbolic tensors
        return []


def _count_numbers(shapes: Iterable[tuple[int | None, ...]]) -> int:
    # An open dimension, such as the length of a text, counts as 1: its size is known with the data only.
    return sum(prod(size or 1 for size in shape) for shape in shapes)
