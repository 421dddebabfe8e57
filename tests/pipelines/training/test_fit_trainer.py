"""Training with both trainers: final weights, class weights, repeatability, failures."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipelines.data.examples.examples import Examples
from pipelines.training.batches import Rows
from pipelines.training.errors import TrialError
from pipelines.training.fit_trainer import train_with_fit
from pipelines.training.graph_trainer import train_in_graph
from pipelines.training.schedule import Schedule

ROWS = 48


class Listener:
    """Records epochs with their weights, and prunes at a given one."""

    def __init__(self, model, prune_at=None):
        self._model = model
        self._prune_at = prune_at
        self.weights = []
        self.batches = 0

    def record_batch(self):
        self.batches += 1

    def record_epoch(self, epoch, metrics):
        self.weights.append(self._model.get_weights())
        return "prune" if epoch == self._prune_at else "go_on"


def rows_of(class_weight=None, y_scale=1, *, misleading=False):
    """Return rows; with misleading ones, what is learned from them makes validation worse from epoch to epoch."""
    random = np.random.default_rng(3)
    x = random.normal(size=(ROWS, 4)).astype("float32")
    y = (x[:, 0] > 0.3).astype("int32") * y_scale
    return Rows(
        Examples({"dense": x}, y), Examples({"dense": x[:16]}, 1 - y[:16] if misleading else y[:16]), class_weight
    )


def model_of(learning_rate=0.5, seed=1, optimizer="sgd"):
    keras.utils.set_random_seed(seed)
    inputs = {"dense": keras.Input((4,), name="dense")}
    hidden = keras.layers.Dense(6, activation="tanh", name="hidden")(inputs["dense"])
    dropped = keras.layers.Dropout(0.3)(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="output")(dropped))
    chosen = keras.optimizers.get({"class_name": optimizer, "config": {"learning_rate": learning_rate}})
    model.compile(chosen, "binary_crossentropy", metrics=["accuracy"])
    return model


def train(trainer, model, *, epochs=6, patience=None, metric="val_loss", rows=None, prune_at=None):
    listener = Listener(model, prune_at)
    schedule = Schedule(epochs, 8, patience, 0.0, seed=5)
    fitted = trainer(model, rows or rows_of(), schedule, metric=metric, direction="minimize", listener=listener)
    return fitted, listener


both = pytest.mark.parametrize("trainer", [train_with_fit, train_in_graph])


@both
@pytest.mark.parametrize("patience", [None, 1])
def test_a_training_ends_with_the_weights_of_its_best_epoch(trainer, patience):
    """With or without early stopping the model holds what its best epoch left, and scores what that epoch scored."""
    model = model_of()
    fitted, listener = train(trainer, model, patience=patience, rows=rows_of(misleading=True))
    values = [metrics["val_loss"] for metrics in fitted.history]
    assert fitted.best_value == min(values) == values[fitted.best_epoch]
    assert fitted.best_epoch < len(values) - 1
    for ours, there in zip(model.get_weights(), listener.weights[fitted.best_epoch], strict=True):
        np.testing.assert_array_equal(ours, there)
    rows = rows_of(misleading=True).validation
    scored = model.evaluate(dict(rows.x), rows.y, verbose=0, return_dict=True)
    assert scored["loss"] == pytest.approx(fitted.best_value, rel=1e-5)


@both
def test_early_stopping_ends_a_training(trainer):
    """Patience ends a training that gets no better; without it every epoch is trained."""
    stopped, _ = train(trainer, model_of(), patience=1, rows=rows_of(misleading=True))
    whole, _ = train(trainer, model_of(), patience=None, rows=rows_of(misleading=True))
    assert len(stopped.history) == stopped.best_epoch + 2
    assert len(stopped.history) < len(whole.history) == 6
    assert stopped.history == whole.history[: len(stopped.history)]


@both
def test_pruning_stops_right_at_the_rung(trainer):
    """No epoch is trained after the one that was answered with "prune"."""
    fitted, listener = train(trainer, model_of(), prune_at=2)
    assert fitted.pruned
    assert len(fitted.history) == len(listener.weights) == 3


@both
def test_a_loss_that_explodes_fails_with_metric_and_epoch(trainer):
    """A learning rate beyond reason fails the trial at the epoch in which the loss stopped being a number."""
    model = model_of(learning_rate=1e20)
    model.compile(keras.optimizers.SGD(1e20), "mean_squared_error")
    model.layers[-1].activation = keras.activations.linear
    with pytest.raises(TrialError, match=r"^loss became (nan|inf) in epoch [12]$"):
        train(trainer, model, rows=rows_of(y_scale=1e10))


@both
def test_an_objective_that_is_not_reported_fails(trainer):
    """A metric that the model does not have fails the trial after one epoch and names the metrics that there are."""
    reported = "accuracy, loss, val_accuracy, val_loss"
    with pytest.raises(TrialError, match=f"training reported no val_f1_score, only {reported}"):
        train(trainer, model_of(), metric="val_f1_score")


@pytest.mark.long
@both
def test_class_weights_reach_the_training(trainer):
    """A class of no weight is not learned: all rows are then taken for the other."""
    rows = rows_of(class_weight={0: 0.0, 1: 1.0})
    model = model_of()
    train(trainer, model, rows=rows, epochs=10, metric="loss")
    assert model.predict(dict(rows.train.x), verbose=0).mean() > 0.7  # a third of the rows are of this class


@pytest.mark.long
@both
def test_the_same_seed_gives_the_same_bits(trainer):
    """Weights, curve and dropout repeat exactly; another seed gives others."""
    one, two, other = (model_of(seed=seed) for seed in (1, 1, 2))
    fits = []
    for model, seed in ((one, 1), (two, 1), (other, 2)):
        keras.utils.set_random_seed(seed)
        fits.append(train(trainer, model, epochs=2)[0])
    assert fits[0].history == fits[1].history != fits[2].history
    for ours, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@both
def test_every_batch_is_recorded(trainer):
    """A sign of life at least with every epoch's training and validation."""
    _, listener = train(trainer, model_of(), epochs=2)
    assert listener.batches >= 4
