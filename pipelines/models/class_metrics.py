"""Metrics in which each class counts alike, whatever its number of rows: the balanced accuracy, and the mean AUC.

A class without a row has no rate, and one that has all rows no area: both are left out of the mean. Keras's own
mean over labels counts them as 0, so that a score would depend on which classes the validation rows lack.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class BalancedAccuracy(keras.metrics.Metric):  # type: ignore[misc]  # keras has no types
    """Mean over the classes of the share of their rows that is predicted right, for integer labels [row].

    Brodersen et al., "The Balanced Accuracy and Its Posterior Distribution", 2010; scikit-learn's
    `balanced_accuracy_score`.

    Args:
        classes: number of classes.
        name: of the metric in reports.
    """

    def __init__(self, classes: int, name: str = "balanced_accuracy") -> None:
        super().__init__(name=name)
        self.classes = classes
        self.right = self.add_variable((classes,), initializer="zeros", name="right")
        self.rows = self.add_variable((classes,), initializer="zeros", name="rows")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add one batch; `y_pred` [row, output] are probabilities, of two classes that of the second."""
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        is_two = y_pred.shape[-1] == 1
        guessed = ops.reshape(y_pred, (-1,)) > 0.5 if is_two else ops.argmax(y_pred, axis=-1)
        of_class = ops.one_hot(labels, self.classes, dtype=self.dtype)
        if sample_weight is not None:
            of_class *= ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
        is_right = ops.cast(ops.equal(labels, ops.cast(guessed, "int32")), self.dtype)
        self.right.assign_add(ops.sum(of_class * ops.expand_dims(is_right, -1), axis=0))
        self.rows.assign_add(ops.sum(of_class, axis=0))

    def result(self) -> Any:
        """Return the mean over the classes with rows so far."""
        return _average(ops.divide_no_nan(self.right, self.rows), self.rows > 0)


class MeanArea(keras.metrics.AUC):  # type: ignore[misc]  # keras has no types
    """Mean of the areas under the ROC of each label, over those that some rows have and some have not."""

    def result(self) -> Any:
        """Return the mean of the labels' areas, each by Keras's interpolation between thresholds."""
        true_rates = ops.divide_no_nan(self.true_positives, self.true_positives + self.false_negatives)
        false_rates = ops.divide_no_nan(self.false_positives, self.false_positives + self.true_negatives)
        heights = (true_rates[:-1] + true_rates[1:]) / 2.0
        areas = ops.sum((false_rates[:-1] - false_rates[1:]) * heights, axis=0)
        # At every threshold the two sum up to the rows of a label, and the other two to the rest.
        with_label = self.true_positives[0] + self.false_negatives[0]
        without = self.false_positives[0] + self.true_negatives[0]
        return _average(areas, ops.logical_and(with_label > 0, without > 0))


def _average(values: Any, counts: Any) -> Any:
    """Return the mean of the values that count; 0 where none does."""
    chosen = ops.cast(counts, values.dtype)
    return ops.divide_no_nan(ops.sum(values * chosen), ops.sum(chosen))
