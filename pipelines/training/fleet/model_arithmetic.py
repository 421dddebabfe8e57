"""Size of a trial's model by arithmetic: what building it with Keras shows, without Keras.

Only of models that a fleet trains, and only where nothing can be wrong with them. Everything else is built, so that
there is one place that refuses a value or a model, and one message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pipelines.data.prepared import DataSummary, Features, Task
from pipelines.models.catalogue import find_family
from pipelines.models.catalogue.encoders import calculate_embedding_width
from pipelines.models.feature_check import check_features
from pipelines.models.objectives import (
    POSITIVE_LOSSES,
    calculate_class_weights,
    resolve_loss,
    resolve_metrics,
    resolve_weighted_metrics,
)
from pipelines.training.errors import ModelTooLargeError
from pipelines.training.fleet.image_sizes import count_vector, list_image_sizes
from pipelines.training.fleet.member import ELEMENTWISE_OPTIMIZERS, Member, build_member
from pipelines.training.messages import ModelCheck, TrialJob
from search_spaces.values import Value

_BYTES_PER_NUMBER = 4  # float32
_SLOTS: Mapping[str, int] = {
    **dict.fromkeys(("adam", "adamw", "adamax", "nadam", "adadelta", "ftrl"), 2),
    **dict.fromkeys(("lion", "rmsprop", "adagrad"), 1),
    "sgd": 0,
}
"""Numbers per weight that each of Keras's optimizers keeps; further ones depend on its arguments."""
_SLACK = 4  # as many times the ceiling a build may make, before it stops with another reason


def calculate_model(job: TrialJob, summary: DataSummary, memory_bytes: int) -> ModelCheck | None:
    """Return what `model_check.build_models` returns of a job; None where only a build shows it.

    Args:
        job: the trial.
        summary: its data, which fleets can train on.
        memory_bytes: memory that its worker may hold; a model that may not fit is built.

    Raises:
        InputError: if the family cannot take the data, or the loss cannot weigh it.
    """
    family = find_family(job.model)
    for name, value in job.values.items():
        parameter = family.find(name)
        if value is not None and (parameter is None or parameter.find_problem(value) is not None):
            return None
    # The number of steps decides whether a piecewise schedule has a piece.
    if _find_optimizer(job) not in ELEMENTWISE_OPTIMIZERS or job.values.get("schedule") == "piecewise":
        return None
    check_features(family, summary.features)
    _check_training(job, summary.task)
    return _describe(job, build_member(job.values, job.per_layer, job.model), summary, memory_bytes)


def count_parameters(member: Member, features: Features, outputs: int) -> tuple[int, int]:
    """Return the number of weights of a trial's model: trainable ones, and all."""
    embedded = [] if member.kernel_sizes else _list_embeddings(member, features)
    taken = _count_plain(features) + sum(width for _, width in embedded)
    trainable, statistics = sum(count * width for count, width in embedded), 0
    if member.kernel_sizes:
        taken = math.prod((features.image or ())[-1:])
    for units, pixels in _list_hidden(member):
        if pixels == 0:
            taken = _count_vector(member, features)
        trainable += units * (max(1, pixels) * taken + member.use_bias + 2 * member.normalized)
        statistics += 2 * member.normalized * units
        taken = units
    if member.kernel_sizes and not member.dense_units:
        taken = _count_vector(member, features)
    trainable += (taken + 1) * outputs
    return trainable, trainable + statistics


def estimate_memory(member: Member, features: Features, task: Task, loss: str) -> int:
    """Return what `model_size.estimate_training_memory` estimates from the built model."""
    trainable, weights = count_parameters(member, features, task.outputs)
    state = _count_optimizer_numbers(member, trainable)
    outputs = _count_outputs(member, features, task, loss)
    return _BYTES_PER_NUMBER * (weights + trainable + state + 2 * member.batch_size * outputs)


def _find_optimizer(job: TrialJob) -> Value:
    parameter = find_family(job.model).find("optimizer")
    assert parameter is not None
    value = job.values.get("optimizer")
    return parameter.default if value is None else value


def _check_training(job: TrialJob, task: Task) -> None:
    """Check what a build checks when it compiles the model."""
    resolve_loss(task.kind, job.training)
    resolve_metrics(task.kind, job.training)
    resolve_weighted_metrics(task.kind, job.training, is_weighted=task.is_weighted)
    calculate_class_weights(task, job.training)


def _describe(job: TrialJob, member: Member, summary: DataSummary, memory_bytes: int) -> ModelCheck | None:
    _, parameters = count_parameters(member, summary.features, summary.task.outputs)
    loss = resolve_loss(summary.task.kind, job.training)
    memory = estimate_memory(member, summary.features, summary.task, loss)
    most = job.most_parameters
    # A quarter, chosen: TensorFlow itself takes a part of a small limit.
    if memory > memory_bytes / 4 or (most is not None and parameters > _SLACK * most):
        return None
    if most is not None and parameters > most:
        return ModelCheck(0, 0, 0.0, 0.0, 0, refused=str(ModelTooLargeError.from_parameters(parameters, most)))
    return ModelCheck(parameters, memory, first_s=0.0, epoch_s=0.0, epochs=member.epochs)


def _count_plain(features: Features) -> int:
    return features.dense + (math.prod(features.image) if features.image else 0)


def _count_vector(member: Member, features: Features) -> int:
    """Return the length of the vector behind the blocks."""
    strided = member.strided > 0
    return count_vector(features.image or (), member.depth, member.units[-1], member.global_pooling, strided=strided)


def _list_hidden(member: Member) -> list[tuple[int, int]]:
    """Return the units of each hidden layer and the pixels of its window: 0 of a dense one behind the blocks."""
    if not member.kernel_sizes:
        return [(units, 1) for units in member.units]
    blocks = zip(member.units, member.kernel_sizes, strict=True)
    layers = [(units, size**2) for units, size in blocks for _ in range(member.convolutions)]
    return [*layers, (member.dense_units, 0)] if member.dense_units else layers


def _list_embeddings(member: Member, features: Features) -> list[tuple[int, int]]:
    """Return codes and width of each embedded column."""
    return [(count, member.embedding or calculate_embedding_width(count)) for _, count in features.codes]


def _count_optimizer_numbers(member: Member, trainable: int) -> int:
    flags, name = dict(member.optimizer.flags), member.optimizer.name
    slots = _SLOTS[name] + flags.get("amsgrad", False) + flags.get("centered", False) + (member.ema is not None)
    slots += name in ("sgd", "rmsprop") and member.arguments["momentum"] > 0
    # The step; a constant learning rate, where a schedule is no variable; the product of Nadam's momenta.
    scalars = 1 + (not _has_schedule(member)) + (name == "nadam")
    return scalars + slots * trainable


def _has_schedule(member: Member) -> bool:
    schedule, warmup = member.values.get("schedule"), member.values.get("warmup_epochs")
    return schedule not in (None, "constant") or bool(warmup)


def _count_outputs(member: Member, features: Features, task: Task, loss: str) -> int:
    """Return the numbers that the layers of a model put out for a row, its inputs included."""
    further = 0 if task.activation else 3 if loss in POSITIVE_LOSSES else 1
    hidden = _count_block_outputs(member, features) if member.kernel_sizes else _count_dense_outputs(member, features)
    return hidden + task.outputs * (1 + further)


def _count_block_outputs(member: Member, features: Features) -> int:
    """Return those of the input and of all layers before the prediction, where they are blocks of convolutions."""
    image: tuple[int, ...] = features.image or ()
    sizes = [math.prod(size) for size in list_image_sizes(image, member.depth, strided=member.strided > 0)]
    total, each = math.prod(image) + _count_vector(member, features), 2 + member.normalized
    for units, dropout, before, after in zip(member.units, member.dropout, sizes, sizes[1:], strict=False):
        total += units * each * (before * (member.convolutions - 1) + (after if member.strided else before))
        # An image of one pixel is not pooled.
        total += units * after * ((before > 1 and not member.strided) + (dropout > 0))
    return total + member.dense_units * (each + (member.dropout[-1] > 0))


def _count_dense_outputs(member: Member, features: Features) -> int:
    """Return those of the inputs and of all layers before the prediction, where they are dense."""
    pixels = math.prod(features.image) if features.image else 0
    embedded = sum(width for _, width in _list_embeddings(member, features))
    # An image comes as it is, and flat; parts are joined where there are several.
    total = features.dense + 2 * pixels + len(features.codes) + embedded
    if bool(features.dense) + bool(pixels) + len(features.codes) > 1:
        total += _count_plain(features) + embedded
    for units, dropout in zip(member.units, member.dropout, strict=True):
        total += units * (2 + member.normalized + (dropout > 0))
    return total
