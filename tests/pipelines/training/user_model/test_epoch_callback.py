"""Epochs of a custom `fit`: early stopping and pruning over its calls of `Model.fit`."""

from __future__ import annotations

import pytest
from user_model_jobs import CLASS, Supervised, train, write_fit

from pipelines.models.user_model import ModelCodeError
from pipelines.spec.schema import EarlyStoppingSpec, TrainingSpec
from pipelines.training.trial import train_trial

# A rate of 0 never improves: early stopping by its defaults would end that.
STILL = ('"adam"', "keras.optimizers.SGD(0.0)")
PHASES = write_fit("one(model, epochs=10)", "return one(model, initial_epoch=10, epochs=12)").replace(*STILL)

OWN = """
class Own(keras.Sequential):
    def fit(self, *args, **keywords):
        return super().fit(*args, **keywords)
"""


@pytest.mark.parametrize(
    ("training", "epochs"),
    [
        (TrainingSpec(), 12),
        (TrainingSpec(early_stopping=EarlyStoppingSpec(patience=2)), 3 + 2),  # each phase has its own patience
    ],
)
def test_early_stopping_is_left_to_a_custom_fit(job, training, epochs):
    """It is off by default, and on where the study file has it."""
    _, result, losses = train(job, PHASES, training=training)
    assert len(losses) == len(result.epochs) == epochs


@pytest.mark.long
def test_early_stopping_of_a_model_without_a_custom_fit(job):
    """Its default holds, unless the class of the model trains by a `fit` of its own."""
    few = {"epochs": 10, "batch_size": 512}
    text = CLASS.replace(*STILL)
    own = text.replace("keras.Sequential", "Own").replace("class Model", f"{OWN}\nclass Model")
    assert len(train(job, text, training=TrainingSpec(), values=few)[2]) == 9
    assert len(train(job, own, training=TrainingSpec(), values=few)[2]) == 10


def test_a_pruned_trial_begins_no_further_phase(job):
    """The next call of `Model.fit` ends before it trains."""
    text = write_fit("one(model, epochs=3)", "one(model)", "raise ValueError")
    outcome = train_trial(job("Model", text, rungs=frozenset({0})), Supervised(prunes=True))
    assert (outcome.result.state, len(outcome.result.epochs)) == ("pruned", 1)


@pytest.mark.long
def test_copies_of_the_callbacks_are_followed(job):
    """Some copy the callbacks for each model, as KerasTuner's tuners do; a `sys.exit` ends its trial with its line."""
    text = write_fit("import copy, sys", "data['callbacks'] = copy.deepcopy(callbacks)", "one(model, epochs=1)", "END")
    assert len(train(job, text.replace("END", "return 0.5"))[2]) == 1
    with pytest.raises(ModelCodeError, match=r"^SystemExit: 3 \(model.py, line 17\)$"):
        train(job, text.replace("END", "sys.exit(3)"))
