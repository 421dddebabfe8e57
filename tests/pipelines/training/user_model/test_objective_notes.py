"""Notes on objectives: rows that are counted alike although they have weights, and steps that update no metric."""

import keras
import numpy as np
import pytest

from pipelines.data.examples.examples import Examples
from pipelines.training.batches import Rows
from pipelines.training.user_model.objective_notes import note_objective_of_steps, note_unweighted_objective

X, Y = np.zeros((4, 2), "float32"), np.array([0, 1, 0, 1])
PART = Examples(X, Y, np.array([1.0, 2.0, 1.0, 2.0], "float32"))


def train(**metrics):
    """Return a compiled model after one batch."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", **metrics)
    model.train_on_batch(X, Y)
    return model


@pytest.mark.parametrize(
    ("metrics", "advice"),
    [
        ({"metrics": ["accuracy"]}, "weighted_metrics of compile()"),
        ({"metrics": ["accuracy"], "weighted_metrics": ["accuracy"]}, "val_weighted_accuracy"),
    ],
)
def test_plain_metric_of_weighted_rows(metrics, advice):
    """The note names what would weigh the rows: the other name, or the argument of compile."""
    (note,) = note_unweighted_objective(train(**metrics), "val_accuracy", Rows(PART, PART, None))
    assert advice in note


def test_no_note_where_the_objective_is_weighted():
    """The loss is weighted, a lone weighted metric has the plain name, and rows without weights are alike."""
    rows = Rows(PART, PART, None)
    assert note_unweighted_objective(train(metrics=["accuracy"]), "val_loss", rows) == []
    assert note_unweighted_objective(train(weighted_metrics=["accuracy"]), "val_accuracy", rows) == []
    both = train(metrics=["accuracy"], weighted_metrics=["accuracy"])
    assert note_unweighted_objective(both, "val_weighted_accuracy", rows) == []
    plain = Examples(X, Y)
    assert note_unweighted_objective(train(metrics=["accuracy"]), "val_accuracy", Rows(plain, plain, None)) == []


def test_steps_that_update_no_metric():
    """Keras reports a metric that was never updated in place of what a step returns: 0 in every epoch."""

    class Stepped(keras.Sequential):
        def test_step(self, data):
            return {"loss": keras.ops.ones(())}

    stepped = Stepped([keras.Input((2,)), keras.layers.Dense(1)])
    stepped.compile("sgd", "mse")
    value = stepped.evaluate(X, Y, verbose=0)
    (note,) = note_objective_of_steps(stepped, "val_loss", value)
    assert "where test_step returns" in note
    assert note_objective_of_steps(stepped, "val_loss", 0.5) == []
    assert note_objective_of_steps(train(), "val_loss", 0.0) == []
