"""One study in Optuna: its slots, resumed trials, and what is stored of them; on a real database."""

from __future__ import annotations

import random

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from search_bench import LOSS, RATE, Cut, complete, cut_at, ordered, with_points
from small_studies import space_of

from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.trial_summaries import TrialSummary, summarize_trials
from pipelines.spec.schema import SearchSpec
from search_spaces.errors import KerastudyError
from search_spaces.hypermodel_request import HyperparameterRequest
from tracking.store.database import Store

# Slots -------------------------------------------------------------------------------------------------------


def test_trials_are_numbered_from_zero_without_gaps(search):
    """A trial's number is its slot in the budget."""
    it = search()
    assert [it.ask()[0] for _ in range(3)] == [0, 1, 2]
    assert len(it.trials) == 3


def test_an_interrupted_trial_comes_back_with_its_number_and_values(search):
    """A trial that a crash interrupted runs again in its slot with the same values; one that ended does not."""
    it = search()
    asked = [it.ask() for _ in range(3)]
    it.tell(complete(1, 0.5))
    again = search()
    assert list(again.resume_interrupted()) == [asked[0], asked[2]]
    assert len(again.trials) == 3
    assert again.ask()[0] == 3


def test_an_interrupted_trial_can_end(search):
    """A trial that came back ends like any other."""
    search().ask()
    again = search()
    [(number, _)] = again.resume_interrupted()
    again.tell(complete(number, 0.25))
    assert [(trial.state, trial.value) for trial in again.trials] == [("complete", 0.25)]
    assert list(search().resume_interrupted()) == []


def test_a_kill_while_a_trial_starts_leaves_nothing(search, monkeypatch):
    """A kill between two values of a trial: nobody was given it, and its number goes to the next one."""
    space = space_of(first=RATE, second=RATE)
    cut_at(monkeypatch, optuna.Trial, "suggest_float", call=2, after=True)
    with pytest.raises(Cut):
        search(space).ask()
    again = search(space)
    assert list(again.resume_interrupted()) == []
    assert (len(again.trials), again.ask()[0]) == (0, 0)


def test_a_trial_half_drawn_keeps_what_was_drawn(search, storage):
    """Values that the store has of a trial stay, the others are drawn when it is run again, and then they stay too."""
    space = space_of(first=RATE, second=RATE)
    search(space)
    half = optuna.load_study(study_name="it", storage=storage).ask()
    drawn = half.suggest_float("first", 1e-4, 1.0, log=True)
    [(number, values)] = search(space).resume_interrupted()
    assert (number, values["first"]) == (0, drawn)
    assert set(values) == {"first", "second"}
    assert list(search(space).resume_interrupted()) == [(number, values)]


def test_requested_values_survive_a_kill(search):
    """An interrupted trial is run again with the values that its model got, whatever it requests first now."""
    units, layers = (
        HyperparameterRequest("units", "int", 8, 1, 4096),
        HyperparameterRequest("layers", "int", 2, 1, 4096),
    )
    it = search()
    number, _ = it.ask()
    answers = it.suggest_value(number, units), it.suggest_value(number, layers)
    again = search()
    assert [each[0] for each in again.resume_interrupted()] == [number]
    assert (again.suggest_value(number, layers), again.suggest_value(number, units)) == answers[::-1]


def test_a_trial_takes_two_transactions(search, storage):
    """Asking is one commit and telling is one, however many values, rejected points and rungs there are."""
    it = search(ordered(), pruner="median", epochs=10)
    commits = []
    sa.event.listen(storage.engine, "commit", commits.append)
    for _ in range(8):
        number, _values = it.ask()
        for epoch in range(10):
            it.decide_at_rung(number, epoch, 1.0)
        it.tell(complete(number, 1.0))
    assert number > 7, "this seed was to draw a point that breaks the constraint"
    assert len(commits) == 16


def test_a_second_writer_is_noticed(search):
    """Where another process has taken a number or ended a trial, nothing is written and the error names the remedy."""
    one, other = search(), search()
    other.tell(complete(other.ask()[0], 1.0))
    with pytest.raises(KerastudyError, match=r"trial 0 .* another process .* run the study again"):
        one.ask()
    two = search()
    number, _ = two.ask()
    three = search()
    list(three.resume_interrupted())
    two.tell(complete(number, 2.0))
    with pytest.raises(KerastudyError, match=f"trial {number} .* another process"):
        three.tell(complete(number, 3.0))
    assert [trial.value for trial in search().trials] == [1.0, 2.0]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_resumed_search_knows_what_the_first_knew(search, in_optuna, pruner):
    """Trials, rungs and what the pruner noted are the same in memory, in the store, and for the next supervisor."""
    it = search(ordered(), pruner=pruner, startup_trials=2)
    rng = random.Random(1)
    under_way = []
    for _ in range(30):
        if len(under_way) < 3:
            under_way.append(it.ask()[0])
        number = under_way.pop(rng.randrange(len(under_way)))
        score = rng.random()
        if any(it.decide_at_rung(number, epoch, score) == "prune" for epoch in sorted(it.rungs)):
            it.tell(TrialSummary(number, "pruned", score, {}))
        else:
            it.tell(complete(number, score) if rng.random() < 0.8 else TrialSummary(number, "failed", None, {}))
        assert it.trials == search(ordered(), pruner=pruner).trials
    assert {trial.state for trial in it.trials} >= {"complete", "pruned", "failed"}
    assert as_plain(it._study.get_trials()) == as_plain(in_optuna())


def as_plain(trials):
    return [
        (t.number, t.state, t.values, t.params, t.distributions, t.user_attrs, t.system_attrs, t.intermediate_values)
        for t in trials
    ]


def test_a_resumed_sampler_does_not_repeat_itself(search):
    """A seed gives one sequence; a resumed study goes on in another one instead of starting it again."""
    first = [search().ask()[1]["rate"] for _ in range(4)]  # each from a process of its own
    assert len(set(first)) == 4


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_gives_the_same_trials(tmp_path, sampler):
    """Two studies with one seed draw the same values; another seed draws others."""

    def drawn(name, seed):
        with Store.open(tmp_path / name) as store:
            spec = SearchSpec(sampler=sampler, seed=seed)
            it = OptunaSearch(store.open_optuna_storage(), "it", SearchSettings(space_of(rate=RATE), LOSS, spec, 3))
            return [it.ask()[1]["rate"] for _ in range(3)]

    assert drawn("one", 1) == drawn("two", 1) != drawn("three", 2)


def test_each_study_in_a_store_is_its_own(storage):
    """Two studies in one database do not see each other's trials."""
    one, two = (
        OptunaSearch(storage, name, SearchSettings(space_of(rate=RATE), LOSS, SearchSpec(), 3)) for name in ("a", "b")
    )
    one.ask()
    assert (len(one.trials), len(two.trials)) == (1, 0)


def test_tpe_needs_no_startup_trials(search):
    """`startup_trials: 0` is a legal study file: the first trial is drawn all the same."""
    it = search(sampler="tpe", pruner="median", startup_trials=0)
    for _ in range(3):
        number, _values = it.ask()
        it.tell(complete(number, float(number)))
    assert len(it.trials) == 3


# Telling and reading -----------------------------------------------------------------------------------------


def test_every_result_is_read_back(search, in_optuna):
    """The result of a trial is in the database in full, and Optuna has its state and value."""
    it = search()
    params = [it.ask()[1] for _ in range(3)]
    metrics = {"val_loss": 0.5, "loss": 0.25}
    ended = (
        TrialSummary(0, "complete", 0.5, params[0], 3, 1.5, "", metrics, 99),
        TrialSummary(1, "pruned", 0.9, params[1], 1, 0.5, "pruned after epoch 1", {"val_loss": 0.9}, 99),
        TrialSummary(2, "failed", None, params[2], None, 0.1, "loss became nan in epoch 1"),
    )
    for trial in (ended[2], ended[0], ended[1]):
        it.tell(trial)
    assert search().trials == ended
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert [trial.state for trial in in_optuna()] == states
    assert in_optuna()[0].value == 0.5


def test_the_result_is_stored_before_optunas_state(search, monkeypatch):
    """A kill between the two leaves a running trial, not one without a result."""
    it = search()
    number, values = it.ask()
    cut_at(monkeypatch, optuna.Study, "tell")
    with pytest.raises(Cut):
        it.tell(complete(number, 0.5, values))
    again = search()
    assert [trial.state for trial in again.trials] == ["running"]
    assert list(again.resume_interrupted()) == [(number, values)]


def test_running_trials_are_listed_and_waiting_points_are_not(search, storage):
    """A started trial is listed as running; a point that waits is not listed."""
    it = search(with_points({"rate": 0.5, "units": 3}))
    it.ask()
    study = optuna.load_study(study_name="it", storage=storage)
    assert [(trial.number, trial.state) for trial in summarize_trials(study)] == [(0, "running")]


def test_a_running_trial_is_listed_with_its_values_so_far(search, storage):
    """While a trial runs, other processes read its values under the names of the space, requested ones too."""
    space = space_of(rate={"type": "float", "low": 0.001, "high": 0.1, "log": True, "step": 10}, epochs=3)
    it = search(space)
    number, values = it.ask()
    units = it.suggest_value(number, HyperparameterRequest("units", "int", 8, 1, 64, step=2, sampling="log"))
    expected = {**values, "units": units}
    assert set(expected) == {"rate", "epochs", "units"}
    [seen] = summarize_trials(optuna.load_study(study_name="it", storage=storage))
    assert (seen.state, dict(seen.params)) == ("running", expected)
    assert it.trials == (seen,)
