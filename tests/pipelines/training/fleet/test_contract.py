"""The contract of the fleet trainer: same trial, same seed, same result as the stock Keras model trained by `fit`.

Each run is one fleet, so its trials are also tested beside each other, in envelopes wider and deeper than their own,
and in seats that others have left.
"""

from __future__ import annotations

import pytest
from fleet_cases import FleetRun, Setting, trial
from fleet_outcomes import FleetOutcomes, assert_alike, stock_outcome

from pipelines.data.prepared import Features, Task
from pipelines.models.catalogue import ACTIVATIONS, KERNEL_INITIALIZERS
from pipelines.models.objectives import METRICS
from pipelines.study_spec import TrainingSpec

BINARY = Task("binary", ("y",), classes=("no", "yes"), class_counts=(35, 35))
MULTICLASS = Task("multiclass", ("y",), classes=("a", "b", "c"), class_counts=(30, 20, 20))
REGRESSION = Task("regression", ("y",), target_mean=(10.0,), target_scale=(3.0,))
OUTPUTS = Task("multi_output_regression", ("y", "z"), target_mean=(10.0, -2.0), target_scale=(3.0, 0.5))

ADAM = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "weight_decay": 0.05}
OPTIMIZERS = {
    "sgd": trial(optimizer="sgd", learning_rate=0.1, weight_decay=0.05),
    "momentum": trial(optimizer="sgd", momentum=0.9, batch_size=23),
    "nesterov": trial(optimizer="sgd", momentum=0.9, nesterov=True),
    "adam": trial(optimizer="adam", **ADAM),
    "amsgrad": trial(optimizer="adam", amsgrad=True, **ADAM),
    "adamw": trial(optimizer="adamw", units=5, batch_size=9),
    "adamax": trial(optimizer="adamax", **ADAM),
    "nadam": trial(optimizer="nadam", **ADAM),
    "lion": trial(optimizer="lion", beta_1=0.8, beta_2=0.95, weight_decay=0.1, learning_rate=0.003),
    "rmsprop": trial(optimizer="rmsprop", rho=0.8, momentum=0.5, epsilon=1e-3, weight_decay=0.05),
    "centered": trial(optimizer="rmsprop", centered=True, epsilon=1e-3, learning_rate=0.003),
    "adagrad": trial(optimizer="adagrad", initial_accumulator_value=0.02, epsilon=1e-4, weight_decay=0.05),
    "adadelta": trial(optimizer="adadelta", rho=0.8, epsilon=1e-3, learning_rate=1.0, weight_decay=0.05),
    "ftrl": trial(optimizer="ftrl", learning_rate=0.1),
    "ftrl_numbers": trial(
        optimizer="ftrl",
        learning_rate=0.1,
        initial_accumulator_value=0.3,
        learning_rate_power=-0.3,
        ftrl_l1=0.01,
        ftrl_l2=0.02,
        ftrl_l2_shrinkage=0.03,
        ftrl_beta=0.5,
        weight_decay=0.05,
    ),
}
SCHEDULES = {
    "exponential": {"schedule": "exponential", "decay_rate": 0.3, "decay_epochs": 2},
    "inverse_time": {"schedule": "inverse_time", "decay_rate": 0.5, "decay_epochs": 1},
    "piecewise": {"schedule": "piecewise", "decay_rate": 0.2},
    "cosine": {"schedule": "cosine", "alpha": 0.1, "warmup_epochs": 1},
    "cosine_restarts": {"schedule": "cosine_restarts", "t_mul": 1.5, "m_mul": 0.7, "alpha": 0.1, "decay_epochs": 1},
    "polynomial": {"schedule": "polynomial", "power": 2.0, "alpha": 0.1},
    "warmup": {"warmup_epochs": 2},
}
STEPS = {
    **{name: trial(optimizer="sgd", momentum=0.5, learning_rate=0.2, **values) for name, values in SCHEDULES.items()},
    "norm": trial(clip="norm", clip_threshold=0.05, optimizer="sgd", learning_rate=0.2),
    "value": trial(clip="value", clip_threshold=0.02, optimizer="sgd", learning_rate=0.2),
    "global_norm": trial(clip="global_norm", clip_threshold=0.1, optimizer="sgd", learning_rate=0.2),
    "average": trial(use_ema=True, ema_momentum=0.9, batch_size=10),
    "average_and_clip": trial(use_ema=True, ema_momentum=0.5, clip="norm", clip_threshold=0.1, l2=0.01),
}


PER_LAYER = frozenset({"units", "activation"})


def activations():
    """Return a trial of one narrow layer for each activation."""
    return {
        name: trial(
            units_1=3 + at % 4,
            activation_1=name,
            batch_normalization=at % 2 == 0,
            use_bias=at % 3 > 0,
            optimizer="sgd",
            epochs=2,
        )
        for at, name in enumerate(ACTIVATIONS)
    }


def initializers():
    """Return trials that differ in depth, width, initial weights and penalties."""
    return {
        name: trial(
            depth=at % 4,
            **{f"units_{layer}": 3 + (at + 2 * layer) % 5 for layer in (1, 2, 3)},
            **{f"activation_{layer}": ("softmax", "tanh", "relu")[(at + layer) % 3] for layer in (1, 2, 3)},
            kernel_initializer=name,
            # A bias in front of a normalisation has no gradient but rounding, which Adam scales up to whole steps.
            use_bias=at % 3 != 1,
            batch_normalization=at % 3 == 1,
            l1=0.003 * (at % 3),
            l2=0.01 * (at % 2),
            label_smoothing=0.1 * (at % 4),
            batch_size=(16, 40, 9)[at % 3],
            epochs=1 + at % 2,
        )
        for at, name in enumerate(KERNEL_INITIALIZERS)
    }


def metrics(task):
    """Return a run that reports every metric of a task."""
    training = TrainingSpec(metrics=list(METRICS[task.kind]))
    return FleetRun(Setting(task, training=training), {"all": trial(epochs=2)}, seats=1)


RUNS = {
    "optimizers": FleetRun(Setting(REGRESSION, train_rows=40), OPTIMIZERS),
    "steps": FleetRun(Setting(REGRESSION, Features(dense=2, image=(3, 2, 1)), train_rows=40), STEPS, seats=5),
    "activations": FleetRun(Setting(MULTICLASS, train_rows=40, per_layer=PER_LAYER), activations(), seats=7),
    "structures": FleetRun(
        Setting(
            MULTICLASS,
            Features(dense=2, codes=(("city", 7), ("job", 4))),
            TrainingSpec(class_weight={"a": 1.0, "b": 3.0}),
            train_rows=40,
            per_layer=PER_LAYER,
        ),
        initializers(),
    ),
    **{f"{task.kind}_metrics": metrics(task) for task in (BINARY, MULTICLASS, REGRESSION, OUTPUTS)},
}
CASES = [(run, name) for run, fleet in RUNS.items() for name in fleet.trials]


@pytest.fixture(scope="module")
def fleets():
    """The outcomes of all fleets, by run and trial."""
    return FleetOutcomes(RUNS).by_run


@pytest.mark.parametrize(("run", "name"), CASES, ids=[f"{run}-{name}" for run, name in CASES])
def test_a_trial_comes_to_what_fit_makes_of_it(fleets, run, name):
    """Metrics of every epoch, best epoch and weights are those of the stock Keras model."""
    assert_alike(fleets[run][name], stock_outcome(RUNS[run].setting, RUNS[run].trials[name]))
