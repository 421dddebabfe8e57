"""Data arguments of a hypermodel's `fit`: x, y, weights and validation data, in the form that their author gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from pipelines.data.examples.examples import Examples
from pipelines.data.examples.model_tensors import can_gather, make_tensors
from pipelines.data.prepared import Task
from pipelines.models.user_model import encode_targets
from pipelines.training.batches import Rows, compute_row_weights

_SHUFFLE_ROWS = 10_000  # chosen; rows are shuffled among so many, as Keras's guides do


@dataclass(frozen=True)
class DatasetForm:
    """Form of a dataset: rows of a batch (0 for single rows), and the seed of the order of training rows."""

    batch_size: int
    seed: int


@dataclass(frozen=True)
class FitData:
    """Data arguments of `fit`.

    Attributes:
        positional: (x, y), (x,) without targets, or one dataset.
        keywords: validation data and weights.
        is_dataset: whether rows come in a dataset's batches.
    """

    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]
    is_dataset: bool = False


def make_fit_data(rows: Rows, task: Task, model: keras.Model, form: DatasetForm | None = None) -> FitData:
    """Return the data arguments of a training.

    Args:
        rows: training and validation rows.
        task: its classes are encoded for the model's loss.
        model: the model, whose loss decides that.
        form: of a dataset; None for arrays.
    """
    train, validation = rows.train, make_validation_data(rows.validation, task, model)
    y = encode_targets(model, task, train.y)
    if form is not None and all(map(can_gather, (train.x, y, train.sample_weight))):
        dataset = _make_dataset(_pack(train.x, y, compute_row_weights(rows)), form, is_shuffled=True)
        held_out = _make_dataset(validation, form, is_shuffled=False)
        return FitData((dataset,), {"validation_data": held_out}, is_dataset=True)
    keywords: dict[str, Any] = {"validation_data": validation}
    if train.sample_weight is not None:
        # Keras takes only one of the two: the weights of the rows hold those of their classes.
        keywords["sample_weight"] = compute_row_weights(rows)
    elif rows.class_weight:
        keywords["class_weight"] = dict(rows.class_weight)
    return FitData((train.x,) if y is None else (train.x, y), keywords)


def make_validation_data(part: Examples, task: Task, model: keras.Model) -> tuple[Any, ...]:
    """Return (x, y, sample_weight) of a part, without those that it has not."""
    return _pack(part.x, encode_targets(model, task, part.y), part.sample_weight)


def _pack(x: Any, y: Any, weights: Any) -> tuple[Any, ...]:
    return (x,) if y is None else (x, y) if weights is None else (x, y, weights)


def _make_dataset(parts: tuple[Any, ...], form: DatasetForm, *, is_shuffled: bool) -> tf.data.Dataset:
    dataset = tf.data.Dataset.from_tensor_slices(tuple(map(make_tensors, parts)))
    if is_shuffled:
        # Anew in each epoch.
        dataset = dataset.shuffle(min(_SHUFFLE_ROWS, int(dataset.cardinality())), seed=form.seed)
    return dataset.batch(form.batch_size) if form.batch_size else dataset
