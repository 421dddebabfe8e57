"""Scores of a `fit` that trains several models, or one in several phases."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from user_model_jobs import Supervised, train, write_fit

from pipelines.data.prepared_folder import load_examples_part
from pipelines.training.trial import train_trial
from pipelines.training.trial_folder import MODEL_FILE


def score_kept_model(its, digits):
    """Return the validation loss of the model that a trial left."""
    model = keras.models.load_model(Path(its.folder) / MODEL_FILE)
    model.compile("adam", "sparse_categorical_crossentropy")
    rows = load_examples_part(digits, "validation")
    return model.evaluate(rows.x, rows.y, verbose=0)


@pytest.mark.long
def test_histories_of_several_models_count_by_their_mean(job, digits):
    """Each counts by its best epoch, the other metrics likewise; the best model is kept."""
    text = write_fit("return [one(self.build(hp)), one(self.build(hp), epochs=3)]")
    its, result, losses = train(job, text)
    best = min(losses[:2]), min(losses[2:])
    assert len(losses) == 5
    assert result.value == pytest.approx(np.mean(best))
    assert result.metrics["val_loss"] == result.value
    assert score_kept_model(its, digits) == pytest.approx(min(best), rel=1e-4)


@pytest.mark.long
def test_phases_of_one_model_are_one_training(job, digits):
    """Their epochs are counted through, and the best of all counts, whatever part of them comes back."""
    for returned in ("[first, second]", "second"):
        second = "second = one(model, initial_epoch=2, epochs=4)"
        text = write_fit("first = one(model)", second, f"return {returned}")
        its, result, losses = train(job, text)
        assert [(done.epoch, done.of) for done in result.epochs] == [(0, 2), (1, 2), (2, 4), (3, 4)]
        assert result.value == min(losses)
        assert score_kept_model(its, digits) == pytest.approx(min(losses), rel=1e-4)


def test_a_model_that_begins_anew_is_another_training(job):
    """One object with the weights that it began with, as some train folds, counts as two."""
    text = write_fit(
        "model(x[:1])",
        "begin = model.get_weights()",
        "first = one(model)",
        "model.set_weights(begin)",
        "return [first, one(model, epochs=1)]",
    )
    _, result, losses = train(job, text)
    assert result.value == pytest.approx((min(losses[:2]) + losses[2]) / 2)


def test_a_number_of_no_epoch_belongs_to_the_model_as_it_was_left(job, digits):
    """A number that `fit` measures at its end is not put beside the weights of an earlier epoch."""
    text = write_fit(
        "one(model)", "model.set_weights([0 * w for w in model.get_weights()])", "return model.evaluate(x, y)[0]"
    )
    its, result, _ = train(job, text)
    assert result.value == pytest.approx(np.log(10), rel=1e-3)
    assert score_kept_model(its, digits) == pytest.approx(result.value, rel=1e-2)


@pytest.mark.long
def test_the_mean_of_folds_that_fit_computes(job, digits):
    """The number counts, and the best fold's model is kept."""
    text = write_fit("many = [min(one(self.build(hp)).history['val_loss']) for _ in range(2)]", "return sum(many) / 2")
    its, result, losses = train(job, text)
    assert result.value == pytest.approx((min(losses[:2]) + min(losses[2:])) / 2)
    assert score_kept_model(its, digits) == pytest.approx(min(losses), rel=1e-4)


def test_a_history_without_a_finite_score(job):
    """It fails the trial with its own reason where no callback saw the epochs."""
    text = write_fit("data.pop('callbacks')", "return one(model)").replace('"adam"', "keras.optimizers.SGD(1e38)")
    outcome = train_trial(job("Model", text), Supervised())
    assert (outcome.kind, outcome.reason) == ("failed", "val_loss became nan in epoch 1")
