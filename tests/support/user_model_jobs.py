"""User models for tests: texts of their files, a channel that draws values, and the check of a job."""

from __future__ import annotations

from textwrap import indent

import optuna
import pytest

from pipelines.engines.base import Channel
from pipelines.training.messages import RungReached
from pipelines.training.trial import train_trial
from pipelines.training.user_model.model_check import check_user_model
from search_spaces.errors import InputError
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.request_draws import suggest_value

HEAD = "import keras, keras_tuner\nfrom keras import layers\n"
DENSE = """
def build(hp):
    model = keras.Sequential([layers.Flatten(), layers.Dense(hp.Int("units", 4, 8)), layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""
CLASS = f"{HEAD}class Model(keras_tuner.HyperModel):\n{indent(DENSE.replace('(hp)', '(self, hp)'), '    ')}"


class Supervised(Channel):
    """Channel that answers from an Optuna trial, and prunes on demand."""

    def __init__(self, prunes: bool = False, pauses: bool = False) -> None:
        self.trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask()
        self.prunes = prunes
        self.pauses = pauses
        self.reported = []
        self.requested = []
        self.known = {}

    def beat(self):
        """Do nothing."""

    def report(self, message):
        self.reported.append(message)

    def request(self, message):
        self.requested.append(message)
        if isinstance(message, RungReached):
            return "prune" if self.prunes else "pause" if self.pauses and message.can_pause else "go_on"
        assert isinstance(message, HyperparameterRequest)
        return suggest_value(message, self.trial, self.known)


def check(job):
    """Check a job as the smallest and the largest model of its space."""
    return check_user_model((job, job), Supervised())


def problems(job):
    """Return key and message of each problem that the check of a job finds."""
    with pytest.raises(InputError) as caught:
        check(job)
    return [(problem.path, problem.message) for problem in caught.value.problems]


SHORT = {"epochs": 1, "batch_size": 128}


def write_fit(*lines):
    """Return the text of a hypermodel with a `fit` of these lines, in which `one(model)` trains for two epochs."""
    body = "\n        ".join(lines)
    return f"""{CLASS}
    def fit(self, hp, model, x, y, validation_data, callbacks, **kwargs):
        data = dict(validation_data=validation_data, callbacks=callbacks, batch_size=128, verbose=0)
        def one(model, **more):
            return model.fit(x, y, **{{**data, "epochs": 2, **more}})
        {body}
"""


def train(job, text, **changes):
    """Train a trial of a hypermodel; return its job, its result and the losses that its epochs reported."""
    its, channel = job("Model", text, **changes), Supervised()
    outcome = train_trial(its, channel)
    assert outcome.result is not None, outcome.reason
    return its, outcome.result, [done.metrics["val_loss"] for done in channel.reported]
