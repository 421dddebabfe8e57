"""The result of a trial in a fleet depends on the trial alone.

In one program it is the same to the last bit, whatever trains in the other slots, in any slot and from any epoch on.
Programs of other sizes add up in another order: there it is the same but for rounding.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fleet_cases import AS_ON_AN_ACCELERATOR, FleetRun, Setting, trial
from fleet_outcomes import BUT_FOR_ROUNDING, assert_alike, assert_identical, fleet_outcomes

from pipelines.data.prepared import Features, Task
from pipelines.spec.schema import TrainingSpec

pytestmark = pytest.mark.long

MULTICLASS = Task("multiclass", ("y",), classes=("a", "b", "c"), class_counts=(30, 20, 20))
REGRESSION = Task("regression", ("y",), target_mean=(10.0,), target_scale=(3.0,))
SETTING = Setting(
    MULTICLASS,
    Features(dense=3, codes=(("city", 7),)),
    TrainingSpec(early_stopping=None),
    per_layer=frozenset({"units", "activation"}),
)
PLAIN = trial(units_1=8, dropout=0.3, epochs=3, embedding_dim=2)
DEEP = trial(
    depth=2,
    units_1=5,
    units_2=7,
    activation_1="tanh",
    dropout=0.2,
    l2=0.01,
    optimizer="sgd",
    momentum=0.9,
    learning_rate=0.1,
    batch_size=9,
    embedding_dim=3,
    epochs=4,
)
AVERAGED = trial(
    units_1=4,
    use_ema=True,
    ema_momentum=0.9,
    clip="norm",
    clip_threshold=0.1,
    batch_size=80,
    dropout=0.5,
    embedding_dim=2,
)
LINEAR = trial(depth=0, batch_size=40, label_smoothing=0.1, embedding_dim=2)
NORMALIZED = trial(units_1=6, batch_normalization=True, use_bias=False, dropout=0.4, epochs=3, embedding_dim=2)
WIDE = trial(depth=2, units_1=256, units_2=256, embedding_dim=2)
FAILING = trial(units_1=3, optimizer="sgd", learning_rate=1e30, batch_size=20, epochs=5, embedding_dim=2)
PRUNED = trial(units_1=6, dropout=0.1, epochs=5, pruned_at=1, embedding_dim=2)
STEADY = {"plain": PLAIN, "deep": DEEP, "averaged": AVERAGED, "linear": LINEAR}
FIVE = {**STEADY, "failing": FAILING}
OTHERS = {
    f"other_{number}": trial(units_1=3 + number, batch_size=10 + number, epochs=1 + number % 3, embedding_dim=2)
    for number in range(5)
}

RUNS = {
    "five": FleetRun(SETTING, FIVE, slots=5),
    "again": FleetRun(SETTING, FIVE, slots=5),
    "a_free_seat": FleetRun(SETTING, dict(reversed(STEADY.items())), slots=5, beside=(FAILING,)),
    "refilled": FleetRun(SETTING, {"failing": FAILING, "pruned": PRUNED, **OTHERS, **STEADY}, slots=5),
    "in_parts": FleetRun(SETTING, FIVE, slots=5, constants={"_MOST_STEPS_AT_ONCE": 2, "_SCORE_ROWS": 7}),
    "cut_off": FleetRun(
        SETTING, FIVE, slots=5, cut_after={"plain": 0, "averaged": 0}, paused_after={"deep": 2, "linear": 0}
    ),
    "one_seat": FleetRun(SETTING, STEADY, slots=1, beside=(FAILING,)),
    "wide": FleetRun(SETTING, STEADY, slots=2, beside=(WIDE,)),
    "alone": FleetRun(SETTING, {"plain": PLAIN}, slots=1),
    "averaged_alone": FleetRun(SETTING, {"averaged": AVERAGED}, slots=1),  # its batches in one step each
    "normalized_alone": FleetRun(SETTING, {"normalized": NORMALIZED}, slots=1),
    "normalized_beside": FleetRun(SETTING, {"normalized": NORMALIZED, "deep": DEEP}, slots=2),
}

RUNS["at_once"] = replace(RUNS["five"], constants=AS_ON_AN_ACCELERATOR)
RUNS["refilled_at_once"] = replace(RUNS["refilled"], constants=AS_ON_AN_ACCELERATOR)

DRAWN = Setting(REGRESSION, Features(dense=1), TrainingSpec(early_stopping=None), train_rows=20_000)
SUM = {
    "kernel_initializer": "ones",
    "activation": "linear",
    "units": 4,
    "optimizer": "sgd",
    "learning_rate": 1e-12,
    "batch_size": 8,
}
RATES = (0.1, 0.5, 0.8)
DROPS = {rate: [f"{rate}_{seed}" for seed in range(4)] for rate in RATES}
RUNS["drops"] = FleetRun(
    DRAWN,
    {
        "none": trial(**SUM),
        **{
            name: trial(dropout=rate, seed=seed, **SUM)
            for rate, names in DROPS.items()
            for seed, name in enumerate(names)
        },
    },
    slots=13,
)


@pytest.fixture(scope="module")
def fleets():
    """The outcomes of all fleets, by run and trial."""
    return fleet_outcomes(RUNS)


@pytest.mark.parametrize("run", ["again", "a_free_seat", "refilled", "in_parts", "cut_off"])
@pytest.mark.parametrize("name", STEADY)
def test_one_program_gives_the_same_bits_in_any_company(fleets, run, name):
    """Neighbours, slots, others' failing, a later start, a break and an epoch's division into calls change nothing."""
    assert_identical(fleets[run][name], fleets["five"][name])


@pytest.mark.parametrize("name", STEADY)
def test_members_trained_at_once_do_not_depend_on_each_other_either(fleets, name):
    """An accelerator trains all members at once: there, too, a trial's bits are its own."""
    assert_identical(fleets["refilled_at_once"][name], fleets["at_once"][name])


@pytest.mark.parametrize(
    ("run", "other", "name"),
    [
        *[("five", run, name) for run in ("one_seat", "wide") for name in STEADY],
        *[("five", "at_once", name) for name in STEADY],
        ("five", "alone", "plain"),
        ("five", "averaged_alone", "averaged"),
        ("five", "normalized_beside", "deep"),
        ("normalized_beside", "normalized_alone", "normalized"),
    ],
)
def test_programs_of_any_size_give_the_same_but_for_rounding(fleets, run, other, name):
    """More slots, wider and deeper networks, further branches and other batch sizes change the last digits only."""
    assert_alike(fleets[run][name], fleets[other][name], BUT_FOR_ROUNDING)


def test_a_trial_that_fails_ends_by_itself(fleets):
    """It ends with the reason, in its first epoch; nobody else does."""
    for run in ("five", "refilled"):
        assert {name: outcome.failure for name, outcome in fleets[run].items() if outcome.failure} == {
            "failing": "loss became nan in epoch 1"
        }


def test_a_trial_has_all_its_epochs_whenever_it_is_seated(fleets):
    """A trial that was seated later begins with its first epoch, and one that is pruned has the epochs until then."""
    trained = {name: len(outcome.history) for name, outcome in fleets["refilled"].items()}
    expected = {name: int(case.values["epochs"]) for name, case in RUNS["refilled"].trials.items()}
    assert trained == {**expected, "failing": 0, "pruned": 2}


@pytest.mark.parametrize("rate", RATES)
def test_dropout_drops_its_share_of_the_outputs(fleets, rate):
    """Each output is dropped with this probability, in each step anew, and the rest scaled up to the same mean.

    Four units that each pass on x, summed, are 4 x; dropping adds a variance of 4 x^2 rate / (1 - rate).
    """
    losses = {name: [epoch["loss"] for epoch in outcome.history] for name, outcome in fleets["drops"].items()}
    added = np.mean([losses[name] for name in DROPS[rate]]) - np.mean(losses["none"])
    x = DRAWN.rows().train.x["dense"]
    assert added == pytest.approx(4 * np.mean(x**2) * rate / (1 - rate), rel=0.15)
    assert len({loss for name in DROPS[rate] for loss in losses[name]}) == 2 * len(DROPS[rate])  # each seed and epoch
