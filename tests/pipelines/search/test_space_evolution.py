"""A study goes on in a changed space, and learns from the trials that the new space could have drawn."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.api import make_study
from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.space_evolution import (
    evolve_study,
    find_current_name,
    is_evolved_for,
    plan_evolution,
    read_changes,
)
from pipelines.search.trial_summaries import PAUSED, RESULT, TrialSummary, find_best, summarize_trials
from pipelines.spec.schema import SearchSpec
from pipelines.study.objective import Objective
from search_spaces.suggest import suggest
from tracking.store.database import Store

SPACE = {
    "units": {"type": "int", "low": 8, "high": 64},
    "optimizer": {"choices": ["adam", "sgd"]},
    "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
    "epochs": 3,
}
POINTS = (
    ({"units": 16, "optimizer": "adam", "epochs": 3}, 0.7),
    ({"units": 64, "optimizer": "adam", "epochs": 3}, 0.9),
    ({"units": 32, "optimizer": "sgd", "momentum": 0.5, "epochs": 3}, 0.8),
)
ACCURACY = Objective("val_accuracy", "maximize")


def study_with(space):
    return make_study({"study": "s", "data": {"source": "sklearn:iris"}, "model": "mlp", "space": space})


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as store:
        yield store


@pytest.fixture
def begun(store):
    """A study with three complete trials, and one that was cut off."""
    space = study_with(SPACE).space
    study = optuna.create_study(storage=store.open_optuna_storage(), study_name="s", direction="maximize")
    for params, value in POINTS:
        study.enqueue_trial({name: params[name] for name in params if name != "epochs"})
        trial = study.ask()
        assert suggest(space, trial) == params
        trial.set_user_attr(RESULT, {"state": "complete", "value": value, "params": params})
        study.tell(trial, value)
    study.ask()
    return study


def evolved(store, **changes):
    study = study_with({name: each for name, each in {**SPACE, **changes}.items() if each is not None})
    change = evolve_study(store, study, study_with(SPACE).space.to_dict())
    storage = store.open_optuna_storage()
    return change, optuna.load_study(study_name=find_current_name(storage, "s"), storage=storage)


def test_a_widened_range_and_a_new_choice_keep_every_trial(store, begun):
    """What the old space could draw, a wider one can too; numbers and scores stay."""
    change, study = evolved(
        store, units={"type": "int", "low": 8, "high": 512}, optimizer={"choices": ["adam", "sgd", "lion"]}
    )
    assert (change.kept, change.before) == (3, 4)
    assert [trial.value for trial in study.trials[:3]] == [0.7, 0.9, 0.8]
    assert [trial.number for trial in summarize_trials(study)] == [0, 1, 2]
    assert study.best_trial.params == {"units": 64, "optimizer": "adam"}
    assert change.differences == (
        "units: {type: int, low: 8, high: 64} -> {type: int, low: 8, high: 512}",
        "optimizer: {type: categorical, choices: [adam, sgd]} -> {type: categorical, choices: [adam, sgd, lion]}",
    )


def test_the_sampler_can_go_on(store, begun):
    """Trials of the new space can start beside the old ones, with the new choices."""
    space = study_with({**SPACE, "optimizer": ["adam", "sgd", "lion"]}).space
    _, study = evolved(store, optimizer=["adam", "sgd", "lion"])
    study.sampler = optuna.samplers.TPESampler(seed=1, n_startup_trials=0)
    drawn = [suggest(space, study.ask())["optimizer"] for _ in range(12)]
    assert "lion" in drawn


def test_a_narrowed_range_leaves_out_what_no_longer_fits(store, begun):
    """A trial outside the new space stays in the list, teaches nothing and cannot win."""
    change, study = evolved(store, units={"type": "int", "low": 8, "high": 40})
    assert change.kept == 2
    trials = summarize_trials(study)
    assert [trial.fits for trial in trials] == [True, False, True]
    assert find_best(trials, ACCURACY).number == 2
    assert study.best_trial.number == 2
    assert "outside the space" in trials[1].reason


def test_a_dropped_parameter_keeps_the_trials_at_the_models_own_value(store, begun):
    """Without a parameter the model uses its default; trials that had another value no longer fit."""
    change, study = evolved(store, units=None)
    assert change.kept == 1  # the family's units are 64
    assert study.best_trial.number == 1


def test_a_new_parameter_keeps_the_trials_if_it_holds_the_models_own_value(store, begun):
    """Earlier trials had the model's default of what is new: they fit if the new range holds it."""
    change, study = evolved(store, dropout={"type": "float", "low": 0.0, "high": 0.5})
    assert change.kept == 3
    assert study.best_trial.params["dropout"] == 0.0
    assert evolved(store, dropout={"type": "float", "low": 0.1, "high": 0.5})[0].kept == 0


def test_a_trial_that_was_cut_off_takes_up_no_budget(store, begun):
    """A trial without a result is not run again in a space that may not hold it, and does not count."""
    _, study = evolved(store, units={"type": "int", "low": 8, "high": 512})
    assert len(study.trials) == 4
    assert len(summarize_trials(study)) == 3


def test_a_paused_trial_ends_with_its_space(store, begun):
    """It counts as pruned, with what it has reached: its checkpoint is of a model that the new space may not have."""
    reached = {"state": "paused", "value": 0.6, "params": POINTS[0][0], "reason": "paused after epoch 1 of 3"}
    begun._storage.set_trial_user_attr(begun.trials[3]._trial_id, PAUSED, {**reached, "paused_at": 0.0})
    change, study = evolved(store, units={"type": "int", "low": 8, "high": 512})
    assert (change.kept, change.before) == (3, 4)
    paused = summarize_trials(study)[3]
    assert (paused.state, paused.value) == ("pruned", 0.6)
    assert paused.reason == "paused after epoch 1 of 3; then the space changed"


def test_changes_are_recorded_in_order(store, begun):
    """Each generation knows every change before it."""
    evolved(store, units={"type": "int", "low": 8, "high": 512})
    _, study = evolved(store, units={"type": "int", "low": 8, "high": 1024})
    assert study.study_name == "s~2"
    assert [change.kept for change in read_changes(study)] == [3, 3]


def test_a_generation_left_half_made_does_not_count(store, begun):
    """A kill before the change is noted leaves the old generation current, and the next try makes a whole one."""
    storage = store.open_optuna_storage()
    optuna.create_study(storage=storage, study_name="s~1", direction="maximize")
    assert find_current_name(storage, "s") == "s"
    change, study = evolved(store, units={"type": "int", "low": 8, "high": 512})
    assert (study.study_name, change.kept) == ("s~1", 3)


def test_a_plan_stores_nothing(store, begun):
    """What a changed space would leave is known before anything is written."""
    narrow = study_with({**SPACE, "units": {"type": "int", "low": 8, "high": 40}})
    planned = plan_evolution(store, narrow, study_with(SPACE).space.to_dict())
    assert [(trial.number, trial.fits) for trial in planned.summaries] == [(0, True), (1, False), (2, True)]
    assert find_current_name(store.open_optuna_storage(), "s") == "s"


def test_a_generation_of_another_space_is_noticed(store, begun):
    """A kill can leave a generation that the study's record does not know of."""
    assert is_evolved_for(store, study_with(SPACE))
    evolved(store, units={"type": "int", "low": 8, "high": 512})
    assert not is_evolved_for(store, study_with(SPACE))
    assert is_evolved_for(store, study_with({**SPACE, "units": {"type": "int", "low": 8, "high": 512}}))


class MemoryStore:
    """A store whose Optuna tables are in memory."""

    def __init__(self):
        self._storage = optuna.storages.InMemoryStorage()

    def open_optuna_storage(self):
        return self._storage


VARIANTS = (
    SPACE,
    {**SPACE, "units": {"type": "int", "low": 40, "high": 512}},
    {**SPACE, "optimizer": {"choices": ["sgd", "lion"]}},
    {name: SPACE[name] for name in ("units", "epochs")},
    {**SPACE, "epochs": 5},
    {**SPACE, "dropout": {"type": "float", "low": 0.0, "high": 0.5}},
)


def train(store, study, number):
    """Train one more trial in the study's present space, for a score of its own."""
    current = optuna.load_study(study_name=find_current_name(store.open_optuna_storage(), "s"), storage=store._storage)
    current.sampler = optuna.samplers.RandomSampler(seed=number)
    trial = current.ask()
    params = suggest(study.space, trial)
    trial.set_user_attr(RESULT, {"state": "complete", "value": number / 8, "params": params})
    current.tell(trial, number / 8)
    return trial.number


def list_results(store):
    current = optuna.load_study(study_name=find_current_name(store.open_optuna_storage(), "s"), storage=store._storage)
    return [(each.number, each.state, each.values, each.params) for each in current.trials]


@settings(max_examples=40)
@given(st.lists(st.integers(0, len(VARIANTS) - 1), min_size=1, max_size=5), st.integers(0, len(VARIANTS) - 1))
def test_what_was_found_in_a_space_is_there_whenever_the_study_returns_to_it(path, aside):
    """On any way through spaces no trial is lost: each has its score in its own space, and a detour changes nothing."""
    store, trained = MemoryStore(), {}
    optuna.create_study(storage=store._storage, study_name="s", direction="maximize")
    present, optuna_verbosity = path[0], optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for variant in path:
        if variant != present:
            evolve_study(store, study_with(VARIANTS[variant]), study_with(VARIANTS[present]).space.to_dict())
        present = variant
        number = train(store, study_with(VARIANTS[variant]), len(trained))
        assert number == len(trained)
        trained[number] = variant
        complete = {number: values for number, state, values, _ in list_results(store) if values is not None}
        assert all(complete[number] == [number / 8] for number, home in trained.items() if home == variant)
    before = list_results(store)
    evolve_study(store, study_with(VARIANTS[aside]), study_with(VARIANTS[present]).space.to_dict())
    evolve_study(store, study_with(VARIANTS[present]), study_with(VARIANTS[aside]).space.to_dict())
    assert list_results(store) == before
    optuna.logging.set_verbosity(optuna_verbosity)


def test_points_of_the_old_space_are_not_tried_again(store):
    """In the new space only what no earlier trial had is tried, whether that trial had a score or failed."""

    def search(space, *, draws_on_request=False):
        storage = store.open_optuna_storage()
        spec = SearchSpec(sampler="random", pruner="none")
        settings = SearchSettings(study_with(space).space, ACCURACY, spec, 3, draws_on_request=draws_on_request)
        return OptunaSearch(storage, find_current_name(storage, "s"), settings)

    before, after = ({"units": units, "epochs": 3} for units in ([8, 16], [8, 16, 32]))
    old = search(before)
    for state, value in (("complete", 0.5), ("failed", None)):
        number, values = old.ask()
        old.tell(TrialSummary(number, state, value, values))
    evolve_study(store, study_with(after), study_with(before).space.to_dict())
    # A model's code may have requested more than the store has of a trial: its points count as not tried.
    assert not search(after, draws_on_request=True).is_exhausted
    new = search(after)
    assert new.ask()[1]["units"] == 32
    assert new.ask() is None
