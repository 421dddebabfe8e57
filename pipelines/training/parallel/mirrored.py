"""Steps of a Keras model on several devices of TensorFlow, each with a copy of the weights and a share of the batch.

A step changes the model as it would on one device: its gradient is that of the whole batch, and so are clipping, the
statistics of batch normalisation and every metric. Dropout alone draws other numbers, on each device its own. A batch
that the devices cannot share evenly is computed whole on each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from pipelines.data.examples.structures import flatten, map_leaves
from pipelines.training.errors import TrialError

_SEED_STEP = 1_000_003  # chosen: any number that keeps the devices' seeds apart


class MirroredSteps:
    """Training step and test step of a model whose variables were created in the scope of a strategy.

    Args:
        model: the compiled model.
        strategy: the strategy.
    """

    def __init__(self, model: keras.Model, strategy: tf.distribute.Strategy) -> None:
        self._model = model
        self._strategy = strategy
        self._devices = strategy.num_replicas_in_sync

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def train(self, batch: tuple[Any, ...]) -> None:
        """Update the weights and the metrics with a batch (x, y, sample weights), the last ones where there are any."""
        with _leave_sums(self._model.optimizer):  # here, since each device has a thread inside
            self._strategy.run(lambda: self._update_weights(batch))

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def test(self, batch: tuple[Any, ...]) -> None:
        """Update the metrics with a batch."""
        self._strategy.run(lambda: self._score(*self._take_share(batch), training=False))

    def separate_seeds(self) -> None:
        """Give each device its own random numbers, for dropout; the first keeps those of a training on one."""

        def shift() -> None:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            offset = tf.cast(replica, tf.int64) * _SEED_STEP
            for seed in _list_seeds(self._model):
                first = tf.cast(seed.value[0], tf.int64) + offset
                state = tf.stack([first, tf.cast(seed.value[1], tf.int64)])
                seed.value.assign(tf.cast(state, seed.value.dtype))

        tf.function(lambda: self._strategy.run(shift))()

    def _update_weights(self, batch: tuple[Any, ...]) -> None:
        """Update a device's copy of the weights; losses are divided by the devices, so their gradients add up."""
        model, (share, counts) = self._model, self._take_share(batch)
        with tf.GradientTape() as tape:
            loss = model.optimizer.scale_loss(self._score(share, counts, training=True))
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        # Before the optimizer, which would clip the gradient of each share.
        used = [place for place, gradient in enumerate(gradients) if gradient is not None]
        context = tf.distribute.get_replica_context()
        sums = context.all_reduce(tf.distribute.ReduceOp.SUM, [gradients[place] for place in used])
        for place, whole in zip(used, sums, strict=True):
            gradients[place] = whole
        model.optimizer.apply(gradients, model.trainable_variables)

    def _take_share(self, batch: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
        """Return this device's rows, and whether its metrics count."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        rows = flatten(batch[0])[0].shape[0]
        if rows % self._devices:
            return batch, tf.equal(replica, 0)

        def take(leaf: Any) -> Any:
            return tf.reshape(leaf, [self._devices, rows // self._devices, *leaf.shape[1:]])[replica]

        return tuple(map_leaves(take, part) for part in batch), True

    def _score(self, share: tuple[Any, ...], counts: Any, *, training: bool) -> Any:
        """Return the loss of a share, divided by the number of devices, and update the metrics where it counts."""
        model, (x, y, weights) = self._model, (*share, None, None)[:3]
        prediction = model(x, training=training)
        if any(getattr(leaf, "_keras_mask", None) is not None for leaf in keras.tree.flatten(prediction)):
            raise TrialError(
                "a masked prediction has a loss that several devices cannot share; set resources.devices: 1"
            )
        loss = model.compute_loss(x=x, y=y, y_pred=prediction, sample_weight=weights, training=training)

        def update() -> Any:
            rows = tf.shape(flatten(x)[0])[0]
            model._loss_tracker.update_state(loss * self._devices, sample_weight=rows)
            model.compute_metrics(x, y, prediction, sample_weight=weights)
            return rows

        if counts is True:
            update()
        else:
            tf.cond(counts, update, lambda: 0)
        return loss


@contextmanager
def synchronize_statistics(model: keras.Model) -> Iterator[None]:
    """Let batch normalisation take the statistics of the whole batch, and not of a device's share, in this block."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    before = [layer.synchronized for layer in layers]
    for layer in layers:
        layer.synchronized = True
    try:
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.synchronized = value


@contextmanager
def _leave_sums(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Keep an optimizer from adding up gradients that are those of the whole batch already."""
    # Keras has no argument for it, as its optimizers once had.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    inner._all_reduce_sum_gradients = list
    try:
        yield
    finally:
        del inner._all_reduce_sum_gradients


def _list_seeds(model: keras.Model) -> list[Any]:
    """Return the state variables of a model's seed generators."""
    return [variable for variable in model.variables if variable.path.endswith("seed_generator_state")]
