"""Optimizers: every argument reaches Keras, only where it is taken, and acts in training."""

import keras
import numpy as np
import pytest

from pipelines.models.catalogue import find_family
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.optimizer_catalogue import CLIPS, OPTIMIZER_PARAMETERS, OPTIMIZERS
from pipelines.models.optimizers import OPTIMIZER_CLASSES, build_optimizer

# Unlike every default, so that an argument that is not passed on is seen.
ODD_VALUES = {
    "learning_rate": 0.0123,
    "momentum": 0.61,
    "weight_decay": 0.017,
    "beta_1": 0.83,
    "beta_2": 0.93,
    "epsilon": 3e-5,
    "rho": 0.87,
    "amsgrad": True,
    "centered": True,
    "initial_accumulator_value": 0.23,
    "beta_2_decay": -0.7,
    "epsilon_1": 2e-20,
    "epsilon_2": 0.002,
    "adafactor_clip": 1.7,
    "relative_step": False,
    "learning_rate_power": -0.4,
    "ftrl_l1": 0.001,
    "ftrl_l2": 0.002,
    "ftrl_l2_shrinkage": 0.003,
    "ftrl_beta": 0.4,
    "newton_schulz_steps": 3,
}


def weight_after_steps(optimizer, gradients, start=1.0):
    """Return a weight after these gradients."""
    weight = keras.Variable(np.full((2, 2), start, dtype="float32"))
    for gradient in gradients:
        optimizer.apply([np.full((2, 2), gradient, dtype="float32")], [weight])
    return float(weight.numpy()[0, 0])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_declared_arguments_reach_the_keras_optimizer(name, requests):
    """Each parameter of an optimizer is found under its argument in Keras's configuration."""
    nesterov = name == "sgd"
    config = build_optimizer(requests(optimizer=name, nesterov=nesterov, **ODD_VALUES), 4, 3).get_config()
    for parameter, (argument, _) in OPTIMIZERS[name].items():
        expected = nesterov if parameter == "nesterov" else ODD_VALUES[parameter]
        assert config[argument] == pytest.approx(expected), argument


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_undeclared_argument_keeps_kerass_default(name, requests):
    """Where a space is silent the optimizer is configured as Keras alone would configure it."""
    ours = build_optimizer(requests(optimizer=name), 4, 3).get_config()
    theirs = OPTIMIZER_CLASSES[name]().get_config()
    differing = {key for key, value in ours.items() if value != pytest.approx(theirs[key])}
    assert differing <= {"name"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_asks_only_for_what_it_takes(name, given):
    """Parameters of other optimizers are not requested, so they do not exist in a trial."""
    hp = given(optimizer=name)
    build_optimizer(HyperparameterRequests(hp, find_family("mlp"), frozenset()), 4, 3)
    declared = {p.name for p in OPTIMIZER_PARAMETERS} - {
        "optimizer",
        "clip",
        "clip_threshold",
        "use_ema",
        "ema_momentum",
    }
    assert declared & set(hp.values) == set(OPTIMIZERS[name])


def test_every_optimizer_parameter_is_taken_by_some_optimizer():
    """The catalogue lists no parameter that no optimizer takes."""
    taken = {parameter for arguments in OPTIMIZERS.values() for parameter in arguments}
    others = {"optimizer", "clip", "clip_threshold", "use_ema", "ema_momentum"}
    assert {p.name for p in OPTIMIZER_PARAMETERS} == taken | others


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_steps_downhill(name, requests):
    """A positive gradient lowers the weight."""
    optimizer = build_optimizer(requests(optimizer=name, learning_rate=0.01), 4, 3)
    assert weight_after_steps(optimizer, [1.0, 1.0, 1.0]) < 1.0


def test_plain_sgd_is_the_textbook_step(requests):
    """SGD takes rate x gradient off the weight."""
    optimizer = build_optimizer(requests(optimizer="sgd", learning_rate=0.1), 4, 3)
    assert weight_after_steps(optimizer, [2.0]) == pytest.approx(0.8)


def test_momentum_carries_the_last_step_on(requests):
    """Velocity v = m v - rate x gradient; after two equal gradients the weight has moved by rate g (2 + m)."""
    optimizer = build_optimizer(requests(optimizer="sgd", learning_rate=0.1, momentum=0.5), 4, 3)
    assert weight_after_steps(optimizer, [1.0, 1.0]) == pytest.approx(1 - 0.1 * 2.5)


def test_nesterov_looks_a_step_ahead(requests):
    """With Nesterov the step is m v - rate x gradient of the new velocity: rate g (1 + m) at the first step."""
    optimizer = build_optimizer(requests(optimizer="sgd", learning_rate=0.1, momentum=0.5, nesterov=True), 4, 3)
    assert weight_after_steps(optimizer, [1.0]) == pytest.approx(1 - 0.1 * 1.5)


def test_weight_decay_shrinks_weights_without_a_gradient(requests):
    """Decoupled decay takes rate x decay of the weight at each step."""
    optimizer = build_optimizer(requests(optimizer="adamw", learning_rate=0.1, weight_decay=0.5), 4, 3)
    assert weight_after_steps(optimizer, [0.0]) == pytest.approx(1 - 0.1 * 0.5)


def test_muon_decays_all_weights_alike(requests):
    """The weights that Muon passes to its inner Adam decay by the same declared strength."""
    config = build_optimizer(requests(optimizer="muon", weight_decay=0.02), 4, 3).get_config()
    assert config["adam_weight_decay"] == config["weight_decay"] == 0.02


@pytest.mark.parametrize(
    ("clip", "moved"),
    # The gradient is 1e6 in each of four entries: by norm each becomes 0.5 / 2, by value 0.5.
    [("norm", 0.25), ("global_norm", 0.25), ("value", 0.5), ("none", 1e6)],
)
def test_clipping_bounds_the_step_of_a_huge_gradient(clip, moved, requests):
    """With a clip a huge gradient moves weights by rate x threshold and no further."""
    optimizer = build_optimizer(requests(optimizer="sgd", learning_rate=1.0, clip=clip, clip_threshold=0.5), 4, 3)
    assert 1.0 - weight_after_steps(optimizer, [1e6]) == pytest.approx(moved, rel=1e-4)
    arguments = {argument: getattr(optimizer, argument) for argument in CLIPS.values()}
    assert arguments == {argument: 0.5 if CLIPS.get(clip) == argument else None for argument in arguments}


def test_the_moving_average_replaces_the_weights_at_the_end_of_each_epoch(requests):
    """With use_ema an epoch ends on the average of its weights, so that its score is the average's."""
    values = {"optimizer": "sgd", "learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.5}
    optimizer = build_optimizer(requests(**values), 2, 3)
    # Weights 0.9, 0.8; the average starts at the weight and moves half way: 0.95 or 0.9, then towards 0.8.
    averaged = weight_after_steps(optimizer, [1.0, 1.0])
    assert 0.8 < averaged < 0.95
    plain = build_optimizer(requests(**{**values, "use_ema": False}), 2, 3)
    assert weight_after_steps(plain, [1.0, 1.0]) == pytest.approx(0.8)
