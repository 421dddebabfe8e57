"""A network with several heads, whose losses are reported as means over rows.

Keras weighs the loss of an output by the rows of its batch only where a batch's size is known when the graph is made,
and otherwise takes the mean over batches, where the rows of a partial last one count more
(`keras.src.trainers.compile_utils.CompileLoss.call`, Keras 3.15). The loss of all outputs is right. So each head has a
metric for its loss, which stands in place of Keras's.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_ROW_LOSS = "loss_mean_over_rows"


class HeadsModel(keras.Model):  # type: ignore[misc]  # keras has no types
    """A functional model with a dict of outputs; see `make_heads_model`."""

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the metrics by name, as Keras does, with the loss of each head as a mean over rows."""
        found = dict(super().get_metrics_result())
        for name in [name for name in found if name.endswith(f"_{_ROW_LOSS}")]:
            value = found.pop(name)
            found[f"{name.removesuffix(_ROW_LOSS)}loss"] = value
        return found


class RowLoss(keras.metrics.Metric):  # type: ignore[misc]  # keras has no types
    """The loss of one head as the mean over rows, each times its weight, as Keras has the loss of all."""

    def __init__(self, loss: keras.losses.Loss) -> None:
        super().__init__(name=_ROW_LOSS)
        self.loss = loss
        self.total = self.add_variable((), initializer="zeros", name="total")
        self.count = self.add_variable((), initializer="zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add one batch."""
        rows = ops.cast(ops.shape(y_pred)[0], self.dtype)
        value = ops.cast(self.loss(y_true, y_pred, sample_weight=sample_weight), self.dtype)
        self.total.assign_add(value * rows)
        self.count.assign_add(rows)

    def result(self) -> Any:
        """Return the mean over the rows so far."""
        return ops.divide_no_nan(self.total, self.count)


def make_heads_model(network: keras.Model) -> keras.Model:
    """Return a functional model with the same layers and its losses as means over rows."""
    return HeadsModel(network.input, network.output, name=network.name)
