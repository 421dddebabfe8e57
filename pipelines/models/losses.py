"""Keras losses and metrics by name, for the labels and targets of the prepared data.

Class labels are integers [row] in the data, so all trainers use the same arrays. Where a loss or a metric needs columns
or one-hot labels, a thin wrapper makes them. A regression's loss gets standardised values; its metrics get values in
the unit of the target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from pipelines.data.prepared import Task
from pipelines.models.class_metrics import BalancedAccuracy, MeanArea
from pipelines.models.head_objectives import get_weight, make_training
from pipelines.models.heads_model import RowLoss
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.objectives import (
    POSITIVE_LOSSES,
    SMOOTHED_LOSSES,
    resolve_loss,
    resolve_metrics,
    resolve_weighted_metrics,
)
from pipelines.spec.schema import TrainingSpec

LOSS_CLASSES: Mapping[str, type[keras.losses.Loss]] = {
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "binary_focal_crossentropy": keras.losses.BinaryFocalCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "categorical_focal_crossentropy": keras.losses.CategoricalFocalCrossentropy,
    "categorical_generalized_cross_entropy": keras.losses.CategoricalGeneralizedCrossEntropy,
    "categorical_hinge": keras.losses.CategoricalHinge,
    "cosine_similarity": keras.losses.CosineSimilarity,
    "dice": keras.losses.Dice,
    "hinge": keras.losses.Hinge,
    "huber": keras.losses.Huber,
    "kl_divergence": keras.losses.KLDivergence,
    "log_cosh": keras.losses.LogCosh,
    "mean_absolute_error": keras.losses.MeanAbsoluteError,
    "mean_absolute_percentage_error": keras.losses.MeanAbsolutePercentageError,
    "mean_squared_error": keras.losses.MeanSquaredError,
    "mean_squared_logarithmic_error": keras.losses.MeanSquaredLogarithmicError,
    "poisson": keras.losses.Poisson,
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
    "squared_hinge": keras.losses.SquaredHinge,
    "tversky": keras.losses.Tversky,
}

# Their value depends on where the target is 0, which standardising moves.
_TARGET_UNIT_LOSSES = POSITIVE_LOSSES | {"mean_absolute_percentage_error"}
_INTEGER_LABEL_LOSSES = frozenset({"sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"})
_LOGIT_LOSSES = frozenset({"binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"})
_MARGIN_LOSSES = frozenset({"hinge", "squared_hinge"})

_METRIC_CLASSES: Mapping[str, Callable[..., keras.metrics.Metric]] = {
    "auc": keras.metrics.AUC,
    "balanced_accuracy": BalancedAccuracy,
    "binary_accuracy": keras.metrics.BinaryAccuracy,
    "binary_crossentropy": keras.metrics.BinaryCrossentropy,
    "categorical_crossentropy": keras.metrics.CategoricalCrossentropy,
    "categorical_hinge": keras.metrics.CategoricalHinge,
    "cosine_similarity": keras.metrics.CosineSimilarity,
    "f1_score": keras.metrics.F1Score,
    "false_negatives": keras.metrics.FalseNegatives,
    "false_positives": keras.metrics.FalsePositives,
    "kl_divergence": keras.metrics.KLDivergence,
    "logcosh": keras.metrics.LogCoshError,
    "mean_absolute_error": keras.metrics.MeanAbsoluteError,
    "mean_absolute_percentage_error": keras.metrics.MeanAbsolutePercentageError,
    "mean_iou": keras.metrics.MeanIoU,
    "mean_squared_error": keras.metrics.MeanSquaredError,
    "mean_squared_logarithmic_error": keras.metrics.MeanSquaredLogarithmicError,
    "precision": keras.metrics.Precision,
    "r2_score": keras.metrics.R2Score,
    "recall": keras.metrics.Recall,
    "root_mean_squared_error": keras.metrics.RootMeanSquaredError,
    "sparse_categorical_accuracy": keras.metrics.SparseCategoricalAccuracy,
    "sparse_categorical_crossentropy": keras.metrics.SparseCategoricalCrossentropy,
    "sparse_top_k_categorical_accuracy": keras.metrics.SparseTopKCategoricalAccuracy,
    "true_negatives": keras.metrics.TrueNegatives,
    "true_positives": keras.metrics.TruePositives,
}

_INTEGER_LABEL_METRICS = frozenset(
    {
        *("sparse_categorical_accuracy", "sparse_categorical_crossentropy"),
        *("sparse_top_k_categorical_accuracy", "mean_iou", "balanced_accuracy"),
    }
)


def build_compilation(requests: HyperparameterRequests, task: Task, training: TrainingSpec) -> dict[str, Any]:
    """Return the loss and the metrics of a study as arguments of `compile`; of several heads by output, with weights.

    Raises:
        InputError: if a declared loss or metric does not fit the task.
    """
    if not task.heads:
        return {
            "loss": build_loss(requests, task, training),
            "metrics": build_metrics(task, training),
            "weighted_metrics": build_weighted_metrics(task, training),
        }
    found: dict[str, Any] = {key: {} for key in ("loss", "metrics", "weighted_metrics", "loss_weights")}
    for head in task.heads:
        for key, value in build_compilation(requests, head, make_training(head, training)).items():
            found[key][head.output] = value
        # Keras's report of a head's loss is no mean over rows; see `heads_model`.
        found["weighted_metrics"][head.output].insert(0, RowLoss(found["loss"][head.output]))
        found["loss_weights"][head.output] = get_weight(head, training)
    return found


def build_loss(requests: HyperparameterRequests, task: Task, training: TrainingSpec) -> keras.losses.Loss:
    """Return the study's loss, with the trial's label smoothing where the loss has any.

    Raises:
        InputError: if the declared loss does not fit the task.
    """
    smooths = task.activation is not None and resolve_loss(task.kind, training) in SMOOTHED_LOSSES
    return build_loss_with_smoothing(task, training, requests.get_value("label_smoothing") if smooths else 0.0)


def build_loss_with_smoothing(
    task: Task, training: TrainingSpec, label_smoothing: Any, *, on_logits: bool = False
) -> keras.losses.Loss:
    """Return the study's loss with this label smoothing, where the loss has any.

    With `on_logits` its input is the value before the sigmoid or softmax; only if `can_use_logits`.

    Raises:
        InputError: if the declared loss does not fit the task.
    """
    name = resolve_loss(task.kind, training)
    if task.kind == "multi_label":
        return LOSS_CLASSES[name](
            name=name, **({"label_smoothing": label_smoothing} if name in SMOOTHED_LOSSES else {})
        )
    if task.classes:
        smoothing = label_smoothing if name in SMOOTHED_LOSSES else 0.0
        return _build_classification_loss(name, task.outputs, smoothing, {"from_logits": True} if on_logits else {})
    inner = LOSS_CLASSES[name](name=name)
    return inner if name in _TARGET_UNIT_LOSSES else StandardisedLoss(inner, task.target_mean, task.target_scale)


def can_use_logits(task: Task, training: TrainingSpec) -> bool:
    """Return whether Keras on TensorFlow computes the study's loss from logits and not from probabilities."""
    return bool(task.classes) and resolve_loss(task.kind, training) in _LOGIT_LOSSES


def build_metrics(task: Task, training: TrainingSpec) -> list[keras.metrics.Metric]:
    """Return the metrics that every epoch reports, named as Keras names them.

    Raises:
        InputError: if a declared metric does not fit the task.
    """
    return [_build_metric(name, task, name) for name in resolve_metrics(task.kind, training)]


def build_weighted_metrics(task: Task, training: TrainingSpec) -> list[keras.metrics.Metric]:
    """Return the metrics that every epoch reports with the weights of rows, named as Keras names them.

    Raises:
        InputError: as `build_metrics` does.
    """
    names = resolve_weighted_metrics(task.kind, training, is_weighted=task.is_weighted)
    return [_build_metric(name, task, reported, weighs=True) for reported, name in names.items()]


class StandardisedLoss(keras.losses.Loss):  # type: ignore[misc]  # keras has no types
    """A loss on (value - mean) / scale, so that its size does not depend on the target's unit."""

    def __init__(self, inner: keras.losses.Loss, mean: tuple[float, ...], scale: tuple[float, ...]) -> None:
        super().__init__(name=inner.name)
        self.inner = inner
        self.mean = mean
        self.scale = scale

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the inner loss per row; both arguments are [row, output] in the unit of the target."""
        mean, scale = ops.cast(self.mean, y_pred.dtype), ops.cast(self.scale, y_pred.dtype)
        # A target of the shape [row] would broadcast to [row, row].
        y_true = ops.reshape(y_true, ops.shape(y_pred))
        # `call` and not the loss itself, which would reduce the rows before they are weighted.
        return self.inner.call((y_true - mean) / scale, (y_pred - mean) / scale)


class ClassLabelLoss(keras.losses.Loss):  # type: ignore[misc]  # keras has no types
    """A loss that needs one column per output, for integer labels [row].

    With `margin`, probabilities p become 2p - 1, the span of a margin that hinge losses are defined on; Keras
    itself turns labels of 0 and 1 into -1 and 1 there.
    """

    def __init__(self, inner: keras.losses.Loss, outputs: int, *, margin: bool) -> None:
        super().__init__(name=inner.name)
        self.inner = inner
        self.outputs = outputs
        self.margin = margin

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the inner loss per row; `y_pred` [row, output] are probabilities."""
        columns = _make_columns(y_true, self.outputs, y_pred.dtype)
        return self.inner.call(columns, 2 * y_pred - 1 if self.margin else y_pred)


class ClassLabelMetric(keras.metrics.Metric):  # type: ignore[misc]  # keras has no types
    """A metric that needs one column per output, for integer labels [row]."""

    def __init__(self, inner: keras.metrics.Metric, outputs: int) -> None:
        super().__init__(name=inner.name)
        self.inner = inner
        self.outputs = outputs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Add one batch; `y_pred` [row, output] are probabilities."""
        columns = _make_columns(y_true, self.outputs, self.dtype)
        return self.inner.update_state(columns, y_pred, sample_weight=sample_weight)

    def result(self) -> Any:
        """Return the inner metric's value."""
        return self.inner.result()

    def reset_state(self) -> None:
        """Forget all batches."""
        self.inner.reset_state()


def _build_classification_loss(
    name: str, outputs: int, smoothing: Any, arguments: Mapping[str, Any]
) -> keras.losses.Loss:
    if name in _INTEGER_LABEL_LOSSES and smoothing == 0.0:
        return LOSS_CLASSES[name](name=name, **arguments)
    if name == "sparse_categorical_crossentropy":
        # Smoothed labels have no integer form; on one-hot labels the two losses are the same.
        inner = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing, name=name, **arguments)
    elif name in SMOOTHED_LOSSES:
        inner = LOSS_CLASSES[name](label_smoothing=smoothing, name=name, **arguments)
    else:
        inner = LOSS_CLASSES[name](name=name, **arguments)
    return ClassLabelLoss(inner, outputs, margin=name in _MARGIN_LOSSES)


def _build_metric(name: str, task: Task, reported: str, *, weighs: bool = False) -> keras.metrics.Metric:
    if name == "accuracy":
        if task.kind == "binary":
            return keras.metrics.BinaryAccuracy(name=reported)
        return keras.metrics.SparseCategoricalAccuracy(name=reported)
    # By default it counts in whole numbers, and would cut off the fractions of weights.
    counts = {"dtype": "float32"} if weighs and name == "mean_iou" else {}
    made = MeanArea if name == "auc" and task.outputs > 1 else _METRIC_CLASSES[name]
    metric = made(name=reported, **_select_metric_arguments(name, task), **counts)
    if not task.classes or name in _INTEGER_LABEL_METRICS:
        return metric
    return ClassLabelMetric(metric, task.outputs)


def _select_metric_arguments(name: str, task: Task) -> dict[str, Any]:
    if name == "auc" and task.kind in ("multiclass", "multi_label"):
        return {"multi_label": True, "num_labels": task.outputs}  # mean over one class against the rest
    if name == "balanced_accuracy":
        return {"classes": len(task.classes)}
    if name == "f1_score":
        return {"average": "macro", "threshold": None if task.kind == "multiclass" else 0.5}
    if name == "mean_iou":
        return {"num_classes": task.outputs, "sparse_y_pred": False}
    return {}


def _make_columns(labels: Any, outputs: int, dtype: str) -> Any:
    if outputs == 1:
        return ops.cast(ops.reshape(labels, (-1, 1)), dtype)
    return ops.one_hot(ops.cast(ops.reshape(labels, (-1,)), "int32"), outputs, dtype=dtype)
