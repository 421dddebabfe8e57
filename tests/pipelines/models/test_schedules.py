"""Learning-rate schedules: the rate at a step equals the formula, counted in epochs."""

import math

import keras
import numpy as np
import pytest

from pipelines.models.schedule_catalogue import SCHEDULES
from pipelines.models.schedules import Warmup, build_schedule

RATE, STEPS, EPOCHS = 0.4, 5, 12
TOTAL = STEPS * EPOCHS


def rate_at(schedule, step):
    return float(schedule(step)) if callable(schedule) else schedule


def cosine(share):
    return 0.5 * (1 + math.cos(math.pi * share))


FORMULAS = {
    "constant": ({}, lambda s: RATE),
    "exponential": ({"decay_rate": 0.5, "decay_epochs": 2}, lambda s: RATE * 0.5 ** (s / 10)),
    "inverse_time": ({"decay_rate": 3.0, "decay_epochs": 2}, lambda s: RATE / (1 + 3.0 * s / 10)),
    "piecewise": ({"decay_rate": 0.1, "decay_epochs": 3}, lambda s: RATE * 0.1 ** min(s // 15, 3)),
    "cosine": ({"alpha": 0.1}, lambda s: RATE * (0.1 + 0.9 * cosine(min(s / TOTAL, 1)))),
    "cosine_restarts": (
        {"alpha": 0.1, "decay_epochs": 2, "t_mul": 1.0, "m_mul": 0.5},
        lambda s: RATE * (0.1 + 0.9 * 0.5 ** (s // 10) * cosine(s % 10 / 10)),
    ),
    "polynomial": ({"alpha": 0.25, "power": 2.0}, lambda s: RATE * (0.25 + 0.75 * (1 - min(s / TOTAL, 1)) ** 2)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rate_at_each_step_equals_the_formula(name, requests):
    """Each schedule is its textbook formula with steps = epochs x steps per epoch."""
    values, formula = FORMULAS[name]
    schedule = build_schedule(requests(schedule=name, **values), RATE, STEPS, EPOCHS)
    steps = range(TOTAL)
    assert [rate_at(schedule, s) for s in steps] == pytest.approx([formula(s) for s in steps], rel=1e-4)


@pytest.mark.parametrize(
    ("name", "values", "last"),
    [
        ("exponential", {"decay_rate": 0.2}, RATE * 0.2),
        ("inverse_time", {"decay_rate": 4.0}, RATE / 5),
        ("piecewise", {"decay_rate": 0.5}, RATE * 0.25),
        ("cosine", {"alpha": 0.1}, RATE * 0.1),
        ("cosine_restarts", {"alpha": 0.1}, RATE * 0.1),
        ("polynomial", {"alpha": 0.1}, RATE * 0.1),
    ],
)
def test_decay_epochs_of_zero_spreads_the_decay_over_the_training(name, values, last, requests):
    """Without decay_epochs a schedule ends with the training; piecewise drops twice, restarts restart once."""
    schedule = build_schedule(requests(schedule=name, **values), RATE, STEPS, EPOCHS)
    assert rate_at(schedule, TOTAL - 1e-3) == pytest.approx(last, rel=1e-2)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_warm_up_rises_to_the_rate_and_the_schedule_begins_after_it(name, requests):
    """Over the warm-up the rate rises linearly; from there the schedule runs over the epochs that are left."""
    values, _ = FORMULAS[name]
    warm = build_schedule(requests(schedule=name, warmup_epochs=2, **values), RATE, STEPS, EPOCHS)
    cold = build_schedule(requests(schedule=name, **values), RATE, STEPS, EPOCHS - 2)
    assert [rate_at(warm, s) for s in range(10)] == pytest.approx([RATE * (s + 1) / 10 for s in range(10)])
    after = range(TOTAL - 10)
    assert [rate_at(warm, s + 10) for s in after] == pytest.approx([rate_at(cold, s) for s in after], rel=1e-4)


def test_a_warm_up_longer_than_the_training_ends_with_it(requests):
    """A warm-up is cut at the trial's epochs."""
    schedule = build_schedule(requests(warmup_epochs=50), RATE, STEPS, EPOCHS)
    assert rate_at(schedule, TOTAL - 1) == pytest.approx(RATE)


def test_decays_longer_than_the_training_never_come(requests):
    """Piecewise drops that lie after the last epoch leave the rate constant."""
    assert build_schedule(requests(schedule="piecewise", decay_epochs=50), RATE, STEPS, EPOCHS) == RATE


@pytest.mark.parametrize("name", ["constant", "cosine"])
def test_a_warm_up_survives_serialisation(name, requests):
    """An optimizer with a warm-up can be saved and read back."""
    schedule = build_schedule(requests(schedule=name, warmup_epochs=2), RATE, STEPS, EPOCHS)
    again = Warmup.from_config(schedule.get_config())
    assert [rate_at(again, s) for s in range(TOTAL)] == [rate_at(schedule, s) for s in range(TOTAL)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_optimizers_rate_follows_the_schedule_in_training(name, context, given, rows):
    """After an epoch of real training the optimizer's learning rate is the schedule's at that step."""
    from pipelines.models.mlp import Mlp

    values, _ = FORMULAS[name]
    hp = given(schedule=name, learning_rate=RATE, optimizer="sgd", depth=0, batch_size=16, epochs=15, **values)
    model = Mlp(context("binary", train_rows=64)).build(hp)
    model.run_eagerly = True
    x, y = rows("binary")
    for _ in range(4):
        model.train_on_batch({"dense": x[:16]}, y[:16])
    expected = build_schedule(_asked(hp), RATE, 4, 15)
    assert float(np.asarray(model.optimizer.learning_rate)) == pytest.approx(rate_at(expected, 4), rel=1e-5)
    assert isinstance(model.optimizer, keras.optimizers.SGD)


def _asked(hp):
    from pipelines.models.catalogue import find_family
    from pipelines.models.hyperparameter_requests import HyperparameterRequests

    return HyperparameterRequests(hp, find_family("mlp"), frozenset())
