"""The contract of the fleet trainer: same trial, same seed, same result as the stock Keras model trained by `fit`.

Each run is one fleet, so its trials are also tested beside each other, in programs wider and deeper than their own,
and in slots that others have left. `test_trainers.py` holds the other trainers to each other.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, reduce

import pytest
from fleet_cases import AS_ON_AN_ACCELERATOR, FleetRun, Setting, Trial, trial
from fleet_outcomes import AS_OTHER_TRAINERS, assert_alike, fleet_outcomes
from stock_outcomes import stock_model, stock_outcome

from pipelines.data.prepared import Features, Task
from pipelines.models.catalogue import ACTIVATIONS, KERNEL_INITIALIZERS, find_family
from pipelines.models.catalogue.shared import AUGMENTATION
from pipelines.models.objectives import LOSSES, METRICS, SMOOTHED_LOSSES, WHOLE_BATCH_LOSSES
from pipelines.models.optimizer_catalogue import OPTIMIZERS as OPTIMIZER_VALUES
from pipelines.spec.schema import EarlyStoppingSpec, TrainingSpec
from pipelines.training.fleet.envelope import find_envelope, merge_envelopes
from pipelines.training.fleet.member import ELEMENTWISE_OPTIMIZERS, build_member
from pipelines.training.graph_trainer import train_in_graph

BINARY = Task("binary", ("y",), classes=("no", "yes"), class_counts=(35, 35))
MULTICLASS = Task("multiclass", ("y",), classes=("a", "b", "c"), class_counts=(30, 20, 20))
REGRESSION = Task("regression", ("y",), target_mean=(10.0,), target_scale=(3.0,))
OUTPUTS = Task("multi_output_regression", ("y", "z"), target_mean=(10.0, -2.0), target_scale=(3.0, 0.5))
TASKS = (BINARY, MULTICLASS, REGRESSION, OUTPUTS)
WEIGHTS = {"binary": {"no": 0.5, "yes": 3.0}, "multiclass": {"a": 1.0, "b": 3.0}}

ADAM = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "weight_decay": 0.05}
OPTIMIZERS = {
    "sgd": trial(optimizer="sgd", learning_rate=0.1, weight_decay=0.05),
    "momentum": trial(optimizer="sgd", momentum=0.9, batch_size=19),
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
    **{
        name: trial(optimizer="sgd", momentum=0.5, learning_rate=0.2, batch_size=12, epochs=3, **values)
        for name, values in SCHEDULES.items()
    },
    "norm": trial(embedding_dim=3, clip="norm", clip_threshold=0.05, optimizer="sgd", learning_rate=0.2),
    "value": trial(embedding_dim=2, clip="value", clip_threshold=0.02, optimizer="sgd", learning_rate=0.2),
    "global_norm": trial(embedding_dim=6, clip="global_norm", clip_threshold=0.1, optimizer="sgd", learning_rate=0.2),
    "average": trial(embedding_dim=1, use_ema=True, ema_momentum=0.9, batch_size=10),
    "average_and_clip": trial(
        embedding_dim=3, use_ema=True, ema_momentum=0.5, clip="norm", clip_threshold=0.1, l2=0.01
    ),
}
PER_LAYER = frozenset({"units", "activation"})
STOPPING = EarlyStoppingSpec(patience=2, min_delta=0.05)
ENDS = {
    "small_gains": trial(optimizer="sgd", learning_rate=0.03, epochs=9, seed=1),
    "stopped": trial(optimizer="sgd", learning_rate=1.0, epochs=9, seed=3),
    "pruned": trial(optimizer="sgd", learning_rate=3.0, epochs=9, batch_size=200, seed=1, pruned_at=1),
    "whole": trial(optimizer="sgd", learning_rate=1.0, epochs=3, batch_size=20, seed=3),
    "failed": trial(optimizer="sgd", learning_rate=1e30, epochs=9),
}


def activations():
    """Return a trial of narrow layers for each three activations."""
    names = [*ACTIVATIONS, *ACTIVATIONS[:2]]
    return {
        "-".join(names[at : at + 3]): trial(
            depth=3,
            **{f"units_{layer}": 3 + (at + layer) % 4 for layer in (1, 2, 3)},
            **{f"activation_{layer}": names[at + layer - 1] for layer in (1, 2, 3)},
            use_bias=at % 2 > 0,
            optimizer="sgd",
            learning_rate=0.1,
            epochs=1,
        )
        for at in range(0, len(ACTIVATIONS), 3)
    }


def structures():
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
            batch_size=(16, 30, 9)[at % 3],
            epochs=1 + at % 2,
        )
        for at, name in enumerate(KERNEL_INITIALIZERS)
    }


def blocks(**values):
    """Return a short trial of blocks of convolutions."""
    plain = {"kernel_size": 3, "global_pooling": "flatten", "dense_units": 0, "blocks": 2, "filters": 4}
    return Trial({"batch_size": 16, "epochs": 2, "learning_rate": 0.01, **plain, **values})


NORMALIZED = {"batch_normalization": True, "use_bias": False, "batch_size": 30}
CONVOLUTIONS = {
    "two": blocks(l2=0.01, optimizer="adam"),
    "one": blocks(blocks=1, filters=6, activation="tanh", optimizer="sgd", batch_size=24),
    "uneven": blocks(blocks=3, filters=3, optimizer="rmsprop", use_bias=False, l1=0.001),
    "many": blocks(blocks=4, filters=5, optimizer="sgd", activation="tanh"),
    "normalized": blocks(blocks=2, filters=3, optimizer="sgd", **NORMALIZED),
    "average": blocks(pooling="average", global_pooling="average", kernel_size=5, optimizer="sgd"),
    "dense": blocks(blocks=3, global_pooling="max", dense_units=7, clip="norm", use_ema=True, optimizer="sgd"),
    "wide_dense": blocks(blocks=1, kernel_size=4, dense_units=9, activation="tanh", optimizer="sgd", **NORMALIZED),
    "convolutions": blocks(convolutions_per_block=2, dense_units=3, pooling="average", optimizer="sgd", **NORMALIZED),
    "all": blocks(convolutions_per_block=3, kernel_size=5, global_pooling="max", l2=0.01, optimizer="sgd"),
}
STRIDED = {
    "two": blocks(pooling="stride", optimizer="adam", activation="tanh"),
    "four": blocks(pooling="stride", blocks=4, kernel_size=5, dense_units=6, optimizer="sgd", **NORMALIZED),
    "average": blocks(pooling="stride", blocks=3, kernel_size=2, global_pooling="average", optimizer="sgd"),
}
STRIDED_LAST = {
    name: blocks(pooling="stride", convolutions_per_block=2, blocks=at, kernel_size=size, optimizer="sgd")
    for name, at, size in (("one", 1, 5), ("three", 3, 3))
}
OWN_SIZES = {
    "shrinking": blocks(kernel_size_1=5, kernel_size_2=1, filters_1=3, filters_2=5, optimizer="sgd"),
    "growing": blocks(kernel_size_1=2, kernel_size_2=3, filters_1=5, filters_2=2, optimizer="sgd", dense_units=4),
}


def metrics(task):
    """Return a run that reports every metric of a task, with the weights of rows and without."""
    names = list(METRICS[task.kind])
    training = TrainingSpec(metrics=names, weighted_metrics=names)
    setting = Setting(replace(task, is_weighted=True), training=training, train_rows=24, validation_rows=16)
    linear = trial(depth=0, epochs=1, batch_size=24, optimizer="sgd")
    return FleetRun(setting, {"all": linear}, slots=1)


def losses(task):
    """Return a run for each loss of a task: one step of a linear model shows the loss and its gradient."""
    runs = {}
    for loss in LOSSES[task.kind]:
        if loss not in WHOLE_BATCH_LOSSES:
            training = TrainingSpec(loss=loss, class_weight=WEIGHTS.get(task.kind))
            setting = Setting(replace(task, is_weighted=True), training=training, train_rows=24, validation_rows=16)
            smoothing = 0.2 if loss in SMOOTHED_LOSSES else 0.0
            linear = trial(depth=0, epochs=1, batch_size=24, optimizer="sgd", label_smoothing=smoothing)
            runs[f"{task.kind}_{loss}"] = FleetRun(setting, {"linear": linear}, slots=1, compiled=False)
    return runs


IMAGES = Setting(MULTICLASS, Features(image=(7, 6, 2)), train_rows=40, family="cnn")
RUNS = {
    "optimizers": FleetRun(Setting(REGRESSION, train_rows=24), OPTIMIZERS),
    "steps": FleetRun(
        Setting(
            replace(REGRESSION, is_weighted=True),
            Features(dense=2, codes=(("city", 7),), image=(3, 2, 1)),
            train_rows=24,
        ),
        STEPS,
        slots=5,
    ),
    "activations": FleetRun(Setting(MULTICLASS, train_rows=24, per_layer=PER_LAYER), activations(), slots=7),
    "structures": FleetRun(
        Setting(
            MULTICLASS,
            Features(dense=2, codes=(("city", 7), ("job", 4))),
            TrainingSpec(class_weight=WEIGHTS["multiclass"]),
            train_rows=24,
            per_layer=PER_LAYER,
        ),
        structures(),
    ),
    "ends": FleetRun(
        Setting(
            MULTICLASS,
            training=TrainingSpec(early_stopping=STOPPING),
            train_rows=40,
            metric="val_accuracy",
            direction="maximize",
        ),
        ENDS,
        slots=3,
    ),
    "convolutions": FleetRun(IMAGES, CONVOLUTIONS),
    "strided": FleetRun(IMAGES, STRIDED),
    "strided_last": FleetRun(IMAGES, STRIDED_LAST),
    "own_sizes": FleetRun(replace(IMAGES, per_layer=frozenset({"kernel_size", "filters"})), OWN_SIZES),
    "even_kernels": FleetRun(
        Setting(BINARY, Features(image=(5, 4, 1)), train_rows=40, family="cnn"),
        {
            name: blocks(kernel_size=4, global_pooling="average", **each)
            for name, each in (("one", {"blocks": 1, "batch_size": 40}), ("two", {"clip": "norm"}))
        },
        slots=1,
    ),
    # Its kernels are parts of their vector, which the optimizer updates one by one.
    "large": FleetRun(
        Setting(MULTICLASS, Features(dense=40), train_rows=48),
        {
            "parts": trial(
                depth=3, units=256, optimizer="nadam", batch_size=24, l1=0.001, l2=0.01, clip="norm", use_ema=True
            )
        },
    ),
    **{f"{task.kind}_metrics": metrics(task) for task in TASKS},
    **{name: run for task in TASKS for name, run in losses(task).items()},
}
AT_ONCE = {f"{name}_at_once": name for name in ("optimizers", "structures", "ends", "convolutions", "strided")}
RUNS |= {name: replace(RUNS[run], constants=AS_ON_AN_ACCELERATOR) for name, run in AT_ONCE.items()}
CASES = [
    pytest.param(run, name, id=f"{run}-{name}", marks=[pytest.mark.long] if run in AT_ONCE else [])
    for run, fleet in RUNS.items()
    for name in fleet.trials
]


@pytest.fixture(scope="module")
def fleets(request):
    """The outcomes of all fleets that a chosen test needs, by run and trial."""
    return fleet_outcomes(select_runs(item for item in request.session.items if item.path == request.path))


def select_runs(items):
    """Return the runs that some tests need, each without the trials that none of them needs."""
    needed = {}
    for item in items:
        if "fleets" in item.fixturenames:
            given = item.callspec.params
            needed.setdefault(given["run"], set()).update(
                [given["name"]] if "name" in given else RUNS[given["run"]].trials
            )
    return {
        run: replace(RUNS[run], trials={name: each for name, each in RUNS[run].trials.items() if name in names})
        for run, names in needed.items()
    }


@cache
def stock(run, name):
    """Return the outcome of a run's trial with `fit`, which knows nothing of fleets."""
    return stock_outcome(RUNS[run].setting, RUNS[run].trials[name])


@pytest.mark.long
@pytest.mark.parametrize(("run", "name"), CASES)
def test_a_fleet_and_fit_agree(fleets, run, name):
    """Metrics of every epoch, best epoch and weights are those of the stock Keras model."""
    assert_alike(fleets[run][name], stock(AT_ONCE.get(run, run), name))


@pytest.mark.parametrize(
    ("run", "name"), [("optimizers", "adam"), ("structures", "he_normal"), ("binary_metrics", "all")]
)
def test_a_fleet_and_the_graph_trainer_agree(fleets, run, name):
    """The three trainers have one contract."""
    assert_alike(fleets[run][name], stock_outcome(RUNS[run].setting, RUNS[run].trials[name], train_in_graph))


def test_all_that_a_trial_may_have_is_compared():
    """A hyperparameter or a choice that the family gets is held to this contract too; dropout draws other numbers."""
    used = {}
    for fleet in RUNS.values():
        for case in fleet.trials.values():
            for name, value in case.values.items():
                base, _, layer = name.rpartition("_")
                used.setdefault(base if layer.isdigit() and base in PER_LAYER else name, set()).add(value)
    elsewhere = set().union(
        *(values for name, values in OPTIMIZER_VALUES.items() if name not in ELEMENTWISE_OPTIMIZERS)
    )
    in_fleets = set().union(*(OPTIMIZER_VALUES[name] for name in ELEMENTWISE_OPTIMIZERS))
    without = {"dropout", "residual", "separable", *(each.name for each in AUGMENTATION)}
    for parameter in (*find_family("mlp").parameters, *find_family("cnn").parameters):
        if parameter.name not in (elsewhere - in_fleets) | without:
            assert parameter.name in used
            choices = ELEMENTWISE_OPTIMIZERS if parameter.name == "optimizer" else set(parameter.choices)
            assert choices <= used[parameter.name] | {parameter.default}, parameter.name


@pytest.mark.parametrize("run", ["optimizers", "steps", "activations", "structures", "ends", "convolutions"])
def test_a_program_holds_the_trials_that_it_is_made_for(run):
    """The envelope of some trials holds each of them, whether they were known at once or one by one."""
    fleet = RUNS[run]
    members = [
        build_member(case.values, fleet.setting.per_layer, fleet.setting.family) for case in fleet.trials.values()
    ]
    whole = find_envelope(members)
    assert all(whole.holds(member) for member in members)
    assert reduce(merge_envelopes, (find_envelope([member]) for member in members)) == whole


@pytest.mark.parametrize("run", ["ends"])
def test_each_trial_ends_by_itself(fleets, run):
    """Patience, a pruner, its number of epochs or a failure end a trial, while others continue."""
    ended = {
        name: outcome.failure or (len(outcome.history), outcome.best_epoch, outcome.pruned)
        for name, outcome in fleets[run].items()
    }
    assert ended == {
        "small_gains": (5, 4, False),  # its best epoch was no improvement that patience counts
        "stopped": (5, 2, False),
        "pruned": (2, 0, True),
        "whole": (3, 1, False),
        "failed": "loss became nan in epoch 1",
    }


@pytest.mark.parametrize(
    ("run", "name"),
    [("binary_metrics", "all"), ("structures", "he_normal"), ("steps", "average"), ("ends", "stopped")],
)
def test_its_weights_make_the_stock_model_score_what_the_fleet_reported(fleets, run, name):
    """Set into the trial's own Keras model, a fleet's weights give the metrics of the best epoch on the same rows."""
    setting, outcome = RUNS[run].setting, fleets[run][name]
    model = stock_model(setting, RUNS[run].trials[name])
    model.run_eagerly = True
    model.set_weights(outcome.weights)
    validation = setting.rows().validation
    x, y, weights = dict(validation.x), validation.y, validation.sample_weight
    scores = model.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    expected_metrics = outcome.history[outcome.best_epoch]
    expected = {name: expected_metrics[f"val_{name}"] for name in scores}
    assert scores == pytest.approx(expected, rel=AS_OTHER_TRAINERS.rel, abs=AS_OTHER_TRAINERS.metric)
