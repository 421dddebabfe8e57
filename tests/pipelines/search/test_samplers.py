"""Samplers by name: what each draws, again after a kill, and what it needs."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Mapping
from typing import Literal, get_args

import optuna
import pytest

from pipelines.search.cma_es_sampler import RestartingCmaEs
from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.samplers import check_sampler
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import SamplerName, SearchSpec
from pipelines.study.objective import Goal, Objective
from search_spaces.errors import InputError
from search_spaces.parse import parse_space_dict
from search_spaces.values import Value

SPACE = parse_space_dict(
    {
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "units": {"type": "int", "low": 8, "high": 64, "step": 8},
        "activation": ["relu", "tanh", "silu"],
        "optimizer": ["sgd", "adam"],
        "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
        "constraints": ["units <= 56"],
    }
)
INSTALLED = [
    name
    for name in get_args(SamplerName)
    if name != "gp-optuna" or importlib.util.find_spec("torch") is not None
    if name != "cma-es" or importlib.util.find_spec("cmaes") is not None
]


@pytest.fixture
def storage(tmp_path):
    return optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/optuna.db")


def open_search(storage, sampler, *, name="it", seed=3, startup=3):
    spec = SearchSpec(sampler=sampler, pruner="none", seed=seed, startup_trials=startup)
    return OptunaSearch(storage, name, SearchSettings(SPACE, Objective("val_loss", "minimize"), spec, 9))


def rate(values: Mapping[str, Value]) -> float:
    rate, units = values["learning_rate"], values["units"]
    assert isinstance(rate, float)
    assert isinstance(units, int)
    return abs(rate - 0.01) * 10 + abs(units - 40) / 50 + (values["activation"] != "tanh")


def try_trials(search, count, rate=rate):
    found = []
    for _ in range(count):
        number, values = search.ask()
        found.append(dict(values))
        search.tell(TrialSummary(number, "complete", rate(values), values))
    return found


@pytest.mark.parametrize("sampler", INSTALLED)
def test_a_study_asks_the_same_values_again_also_after_a_kill(storage, sampler, caplog):
    """One worker, the same seed: a search opened anew before each trial draws what one without an end draws."""
    at_once = try_trials(open_search(storage, sampler), 8)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    one_by_one = [try_trials(open_search(storage, sampler, name="again"), 1)[0] for _ in range(8)]
    assert one_by_one == at_once
    assert len({str(values) for values in at_once}) == 8
    other_seed = try_trials(open_search(storage, sampler, name="other", seed=4), 8)
    assert (other_seed == at_once) == (sampler == "grid")
    for values in at_once:
        assert tuple(values) == SPACE.find_active(values)
        assert not SPACE.find_violations(values)


def test_a_later_generation_has_the_same_parents_after_a_kill(storage):
    """One that ends after the next generation has begun is no parent, whether the study was stopped or not."""

    def play(name, kills):
        found, late, search = [], None, open_search(storage, "nsga2", name=name)
        for place in range(58):
            if place in kills:
                search = open_search(storage, "nsga2", name=name)
                list(search.resume_interrupted())
            number, values = search.ask()
            found.append(dict(values))
            if place == 7:
                late = TrialSummary(number, "complete", 0.0, values)
            else:
                search.tell(TrialSummary(number, "complete", rate(values), values))
            if place == 54 and late is not None:
                search.tell(late)
        return found

    assert play("it", ()) == play("again", (30, 53, 56))


@pytest.mark.skipif("cma-es" not in INSTALLED, reason="needs the extra cma-es")
def test_cma_es_goes_on_in_the_ranges_that_are_left():
    """Its first trials all have a momentum, the later ones have none: it starts anew, and draws nothing at random."""
    study = optuna.create_study(sampler=RestartingCmaEs(seed=3, warn_independent_sampling=False))

    def objective(trial):
        loss = trial.suggest_float("rate", 0, 1) + trial.suggest_float("size", 0, 1)
        return loss + (trial.suggest_float("momentum", 0, 1) if trial.number < 15 else 0)

    study.optimize(objective, n_trials=40)
    assert all("cma:generation" in trial.system_attrs for trial in study.trials[-20:])


@pytest.mark.parametrize("sampler", [name for name in INSTALLED if name != "cma-es"])
def test_several_objectives_are_searched_while_trials_are_pruned(storage, sampler):
    """A pruned trial has a score of the first one alone."""
    goals = (Goal("val_loss", "minimize"), Goal("loss", "maximize"))
    spec = SearchSpec(sampler=sampler, pruner="median", startup_trials=3)
    search = OptunaSearch(storage, "it", SearchSettings(SPACE, Objective("val_loss", "minimize", goals), spec, 9))
    for place in range(14):
        number, values = search.ask()
        search.report_epoch(number, 1, rate(values))
        state: Literal["complete", "pruned"] = "complete" if place % 2 else "pruned"
        goal = (values["learning_rate"],) if place % 2 else ()
        search.tell(TrialSummary(number, state, rate(values), values, goals=goal))
    assert [trial.state for trial in search.trials] == ["pruned", "complete"] * 7


def test_a_gaussian_process_proposes_the_first_trials_of_many(storage):
    """Another sampler follows, and learns from them; a search that is opened anew draws the same."""

    def open_first(name, sampler, gp_trials):
        spec = SearchSpec(sampler=sampler, pruner="none", seed=3, startup_trials=3)
        settings = SearchSettings(SPACE, Objective("val_loss", "minimize"), spec, 9, gp_trials=gp_trials)
        return OptunaSearch(storage, name, settings)

    by_gp = try_trials(open_first("gp", "gp", 0), 10)
    found = try_trials(open_first("it", "tpe", 6), 10)
    assert found[:6] == by_gp[:6]
    assert found[6] != by_gp[6]
    assert [try_trials(open_first("again", "tpe", 6), 1)[0] for _ in range(10)] == found


def test_a_gaussian_process_finds_what_random_draws_do_not(storage):
    best = {name: min(map(rate, try_trials(open_search(storage, name, name=name), 25))) for name in ("gp", "random")}
    assert best["gp"] < 0.1 < best["random"]


def test_trials_at_work_are_believed_so_that_no_two_are_alike(storage):
    search = open_search(storage, "gp")
    try_trials(search, 8)
    asked = [search.ask()[1] for _ in range(4)]
    for one, other in itertools.combinations(asked, 2):
        ratio = one["learning_rate"] / other["learning_rate"]
        assert not 0.98 < ratio < 1.02 or any(one[name] != other[name] for name in ("units", "activation", "optimizer"))


@pytest.mark.parametrize(("sampler", "package"), [("cma-es", "cmaes"), ("gp-optuna", "torch")])
def test_a_sampler_whose_package_is_missing_names_the_extra(monkeypatch, sampler, package):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf'needs {package}, not installed here: pip install "kerastudy\[{sampler}\]"'):
        check_sampler(sampler)


def test_a_sampler_that_proposes_what_is_rejected_gives_way_to_random_draws(storage):
    """TPE has seen the left value alone, so the right one, which a constraint rejects, looks better to it for ever."""
    space = parse_space_dict(
        {
            "x": {"type": "int", "low": 0, "high": 1},
            "y": {"type": "float", "low": 0, "high": 1},
            "constraints": ["x < 1"],
        }
    )
    spec = SearchSpec(sampler="tpe", pruner="none", startup_trials=3)
    search = OptunaSearch(storage, "it", SearchSettings(space, Objective("val_loss", "minimize"), spec, 9))
    assert [values["x"] for values in try_trials(search, 12, lambda values: values["y"])] == [0] * 12


def test_the_expected_improvement_is_in_the_unit_of_the_score_and_falls(storage):
    """In thousandths of the unit it is a thousand times as large."""
    estimates = {}
    for unit in (1.0, 1000.0):
        search = open_search(storage, "gp", name=str(unit))
        try_trials(search, 10, lambda values, unit=unit: unit * rate(values))
        early = search.improvements[-1]
        try_trials(search, 25, lambda values, unit=unit: unit * rate(values))
        estimates[unit] = early, search.improvements[-1]
    assert estimates[1000.0][0] == pytest.approx(1000 * estimates[1.0][0], rel=0.01)
    assert 0 < estimates[1.0][1] < estimates[1.0][0]
    assert estimates[1.0][0] < 2
