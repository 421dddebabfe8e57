"""Scores of outputs: Keras's own, from all rows at once and in batches."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.models.build import build_hypermodel
from pipelines.models.objectives import LOSSES, METRICS
from pipelines.models.output_scores import OutputScores, score_outputs
from pipelines.spec.schema import HeadSpec, TrainingSpec


def make_rows(kind, rows=70):
    """Return targets, predictions and weights of rows of a kind."""
    chance = np.random.default_rng(5)
    weights = chance.uniform(0, 2, rows).astype("float32")
    if kind == "binary":
        return chance.integers(0, 2, rows).astype("int32"), chance.uniform(size=(rows, 1)).astype("float32"), weights
    if kind == "multiclass":
        shares = chance.dirichlet(np.ones(3), rows).astype("float32")
        return chance.integers(0, 3, rows).astype("int32"), shares, weights
    values = chance.uniform(1, 9, (2, rows, 1)).astype("float32")
    return values[0], values[1], weights


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_batches_have_the_scores_of_all_rows(kind, tasks):
    """Every metric and loss is that of all rows at once, whatever the sizes of the batches; counts are exact."""
    y, predictions, weights = make_rows(kind)
    names = list(METRICS[kind])
    for index, loss in enumerate(LOSSES[kind]):
        training = TrainingSpec(loss=loss, metrics=names if index == 0 else [], weighted_metrics=[])
        given = None if loss in ("dice", "tversky") else weights
        scores = OutputScores(tasks[kind], training)
        for few in (slice(0, 32), slice(32, 64), slice(64, None)):
            scores.update(y[few], [predictions[few]], None if given is None else given[few])
        found, expected = scores.compute(), score_outputs(tasks[kind], training, y, [predictions], given)
        assert found == pytest.approx(expected, rel=1e-5)
        counts = [name for name in expected if name.endswith(("positives", "negatives", "accuracy"))]
        assert {name: found[name] for name in counts} == {name: expected[name] for name in counts}


def test_heads_are_scored_as_keras_evaluates_them(tasks, context, given):
    """The loss of each, its metrics, and the weighted sum are what `evaluate` reports for the same model and rows."""
    made = context("multi_task", heads={"strength": HeadSpec(weight=0.5)})
    model = build_hypermodel("mlp", made).build(given(units=4))
    chance = np.random.default_rng(3)
    x = {"dense": chance.normal(size=(20, 5)).astype("float32")}
    y = {"kind": chance.integers(0, 3, 20).astype("int32"), "strength": chance.normal(50, 9, (20, 1)).astype("float32")}
    weights = chance.uniform(0, 2, 20).astype("float32")
    outputs = model(x, training=False)
    expected = model.evaluate(x, y, sample_weight=weights, batch_size=20, verbose=0, return_dict=True)
    ordered = [np.asarray(outputs[head.output]) for head in made.task.heads]
    found = score_outputs(made.task, made.training, y, ordered, weights)
    assert found == pytest.approx(expected, rel=1e-5)
