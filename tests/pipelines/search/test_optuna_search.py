"""One study in Optuna: slots, resumed trials, initial values, grids and pruning; on a real database."""

from __future__ import annotations

import random

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from small_studies import space_of

from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.trial_summaries import TrialSummary, summarize_trials
from pipelines.spec.schema import SearchSpec
from pipelines.study.objective import Objective
from search_spaces.errors import KerastudyError
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.suggest import ConstraintViolation
from tracking.store.database import Store

LOSS = Objective("val_loss", "minimize")
RATE = {"type": "float", "low": 1e-4, "high": 1.0, "log": True}


@pytest.fixture
def storage(store):
    return store.open_optuna_storage()


@pytest.fixture
def search(storage):
    """Return a function that opens the study as a supervisor does; called again, it is the next supervisor."""

    def open_it(space=None, objective=LOSS, epochs=10, **spec):
        spec = {"sampler": "random", "pruner": "none", "seed": 1, **spec}
        return OptunaSearch(
            storage, "it", SearchSettings(space or space_of(rate=RATE), objective, SearchSpec(**spec), epochs)
        )

    return open_it


@pytest.fixture
def in_optuna(storage):
    """Return a function that reads the trials as Optuna has them."""
    return lambda: optuna.load_study(study_name="it", storage=storage).get_trials()


def complete(number, value, params=None):
    return TrialSummary(number, "complete", value, params or {}, best_epoch=1)


def ask_all(search):
    asked = []
    while (next_one := search.ask()) is not None:
        asked.append(next_one)
        search.tell(complete(next_one[0], 1.0))
    return asked


class Cut(Exception):  # noqa: N818  # what a kill would do
    """The process ends here."""


def cut_at(monkeypatch, owner, name, call=1, after=False):
    """Let the process end in the n-th call of a function: before it does anything, or after."""
    real = getattr(owner, name)
    calls = iter(range(1, 1000))

    def cut(*args, **kwargs):
        if next(calls) != call:
            return real(*args, **kwargs)
        monkeypatch.setattr(owner, name, real)
        if after:
            real(*args, **kwargs)
        raise Cut

    monkeypatch.setattr(owner, name, cut)


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


# First points ------------------------------------------------------------------------------------------------


def with_points(*start_from):
    return space_of(
        rate={**RATE, "default": 0.01}, units={"type": "int", "low": 1, "high": 64}, start_from=list(start_from)
    )


def test_defaults_come_first_then_start_from(search):
    """The first trial takes the defaults, the next ones the points of `start_from`; what they leave open is drawn."""
    it = search(with_points({"rate": 0.5, "units": 3}, {"rate": 0.25, "units": 7}))
    first, second, third = (it.ask()[1] for _ in range(3))
    assert first["rate"] == 0.01
    assert 1 <= first["units"] <= 64
    assert [second, third] == [{"rate": 0.5, "units": 3}, {"rate": 0.25, "units": 7}]


def test_first_points_are_not_repeated_by_a_resume(search):
    """Opening a study again enqueues nothing that it has: neither what waits nor what was asked."""
    space = with_points({"rate": 0.5, "units": 3})
    search(space).ask()
    later = search(space)
    values = [later.ask()[1] for _ in range(4)]
    assert values[0] == {"rate": 0.5, "units": 3}
    assert all(each["rate"] not in (0.01, 0.5) for each in values[1:])


def test_first_points_survive_a_kill_while_they_are_enqueued(search, monkeypatch):
    """A kill between two first points loses none."""
    space = with_points({"rate": 0.5, "units": 3}, {"rate": 0.25, "units": 7})
    cut_at(monkeypatch, optuna.Study, "enqueue_trial", call=2)
    with pytest.raises(Cut):
        search(space)
    it = search(space)
    assert [it.ask()[1]["rate"] for _ in range(3)] == [0.01, 0.5, 0.25]


def test_equal_points_are_each_tried(search):
    """A point that `start_from` has twice is tried twice, before and after a resume."""
    space = with_points({"rate": 0.5, "units": 3}, {"rate": 0.5, "units": 3})
    asked = [search(space).ask()[1] for _ in range(4)]  # each from a process of its own
    assert [each["rate"] == 0.5 for each in asked] == [False, True, True, False]


def test_points_that_wait_in_the_store_are_used(search, storage):
    """An earlier version left points waiting in the store: they are tried under their numbers, and not once more."""
    space = with_points({"rate": 0.5, "units": 3})
    search(space)
    waiting = optuna.load_study(study_name="it", storage=storage)
    waiting.enqueue_trial({"rate": 0.01})
    waiting.enqueue_trial({"rate": 0.5, "units": 3})
    it = search(space)
    asked = [it.ask() for _ in range(3)]
    assert [number for number, _ in asked] == [0, 1, 2]
    assert [values["rate"] for _, values in asked[:2]] == [0.01, 0.5]
    assert asked[2][1]["rate"] not in (0.01, 0.5)
    assert search(space).trials == it.trials


def test_points_that_wait_take_up_no_budget(search):
    """A point counts once it is drawn, not once it is enqueued."""
    assert len(search(with_points({"rate": 0.5, "units": 3})).trials) == 0


# Constraints -------------------------------------------------------------------------------------------------


def ordered(constraint="first < second"):
    return space_of(
        first={"type": "int", "low": 1, "high": 9},
        second={"type": "int", "low": 1, "high": 9},
        constraints=[constraint],
    )


def test_rejected_points_take_up_no_budget(search):
    """A point that breaks a constraint is drawn again; it is in no list of trials and in no budget."""
    it = search(ordered())
    asked = [it.ask() for _ in range(8)]
    assert all(values["first"] < values["second"] for _, values in asked)
    assert asked[-1][0] > 7, "this seed was to draw a point that breaks the constraint"
    assert len(it.trials) == len(it.trials) == 8
    assert len(search(ordered()).trials) == 8


def test_a_kill_while_a_point_is_rejected_costs_nothing(search, monkeypatch):
    """A rejected point that a kill left half recorded is rejected once, and is no interrupted trial."""
    cut_at(monkeypatch, optuna.Study, "tell")
    with pytest.raises(Cut):
        [search(ordered()).ask() for _ in range(30)]
    it = search(ordered())
    before = len(it.trials)
    kept = list(it.resume_interrupted())
    assert len(kept) == len(it.trials) == before
    it.ask()
    assert len(it.trials) == len(it.trials) == before + 1


def test_a_constraint_that_no_point_satisfies_is_reported(search, monkeypatch):
    """After many rejected draws the search gives up, and leaves no trial under way."""
    monkeypatch.setattr("pipelines.search.optuna_search._REDRAWS", 5)
    it = search(ordered("first > second + 8"))
    with pytest.raises(ConstraintViolation, match="first > second"):
        it.ask()
    assert len(it.trials) == 0
    assert it.trials == ()
    assert list(search(ordered("first > second + 8")).resume_interrupted()) == []


# Finite spaces -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["random", "tpe", "grid"])
def test_no_combination_is_tried_twice(search, sampler):
    """Every sampler tries each combination that keeps the constraints once, over a restart too, and then ends."""
    space = space_of(
        kind=["a", "b"],
        units={"type": "int", "low": 8, "high": 64, "log": True, "step": 2, "when": {"kind": "a"}},
        share={"type": "float", "low": 0.1, "high": 0.5, "step": 0.2},
        constraints=["units < 64 or share < 0.2"],
        epochs=3,
    )
    asked = ask_up_to(search(space, sampler=sampler, startup_trials=2), 5)
    again = search(space, sampler=sampler, startup_trials=2)
    asked += ask_all(again)
    assert len(asked) == len(set(as_texts(asked))) == 4 * 3 - 2 + 3
    assert again.is_exhausted
    assert search(space, sampler=sampler).ask() is None


def test_trials_that_share_their_structure_differ(search):
    """Where no real number can differ, the structure does."""
    asked = ask_all(search(space_of(units=[8, 16], depth=[1, 2, 3]), share_structure=4))
    assert len(asked) == len(set(as_texts(asked))) == 6


def test_known_points_are_tried_as_often_as_they_are_listed(search):
    """A point that `start_from` lists twice is trained twice; the sampler adds none of them again."""
    asked = ask_all(search(space_of(units=[8, 16, 32], start_from=[{"units": 16}, {"units": 16}])))
    assert [values["units"] for _, values in asked[:2]] == [16, 16]
    assert sorted(values["units"] for _, values in asked[2:]) == [8, 32]


def test_only_a_study_that_searches_nothing_repeats_its_point(storage):
    """Its trials differ by their seeds, if that is wanted; without it the first trial is the last."""

    def count(name, *, repeats):
        settings = SearchSettings(space_of(units=8), LOSS, SearchSpec(sampler="random"), 3, repeats=repeats)
        search = OptunaSearch(storage, name, settings)
        return sum(search.ask() is not None for _ in range(3))

    assert (count("a", repeats=True), count("b", repeats=False)) == (3, 1)


def test_values_that_code_requests_are_not_repeated(storage):
    """Points that only the code shows are tried once each, by several trials at a time, and in a grid in order."""

    def run(name, **spec):
        settings = SearchSettings(space_of(epochs=3), LOSS, SearchSpec(**spec), 3, draws_on_request=True)
        search = OptunaSearch(storage, name, settings)
        points = []
        while (asked := search.ask()) is not None:
            kind = search.suggest_value(asked[0], HyperparameterRequest("kind", "choice", "a", choices=("a", "b")))
            other = search.ask()
            if kind == "a":
                units = search.suggest_value(asked[0], HyperparameterRequest("units", "int", 4, 4, 8, step=2))
            points.append((kind, units if kind == "a" else None))
            search.tell(complete(asked[0], 1.0))
            if other is not None:
                search.tell(TrialSummary(other[0], "failed", None, {}))
        assert search.is_exhausted
        return points

    expected = [("a", 4), ("a", 6), ("a", 8), ("b", None)]
    assert sorted(run("r", sampler="random"), key=str) == sorted(expected, key=str)
    assert run("g", sampler="grid") == expected


# Grid --------------------------------------------------------------------------------------------------------


def grid_space():
    return space_of(
        rate={"type": "float", "low": 0.001, "high": 0.1, "log": True, "step": 10},
        kind=["a", "b", None],
        share={"type": "float", "low": 0.1, "high": 0.3, "step": 0.1, "when": {"kind": "a"}},
        constraints=["rate < 0.05 or share < 0.25"],
        fixed=3,
    )


def as_texts(asked):
    return sorted(repr(sorted(values.items())) for _, values in asked)


def test_a_grid_is_tried_once_and_ends(search):
    """Every combination of active values that keeps the constraints is tried once, and then there is none left."""
    asked = ask_all(search(grid_space(), sampler="grid"))
    assert len(as_texts(asked)) == len(set(as_texts(asked))) == 3 * 3 + 2 * 3 - 1
    assert sorted({round(values["rate"], 9) for _, values in asked}) == [0.001, 0.01, 0.1]
    assert sorted({round(values["share"], 9) for _, values in asked if "share" in values}) == [0.1, 0.2, 0.3]
    assert all(values["fixed"] == 3 for _, values in asked)


@pytest.mark.parametrize("after", [False, True])
def test_a_grid_survives_a_resume(search, monkeypatch, after):
    """Resumed after some points, and after a kill around the enqueuing of one, a grid still tries each point once."""
    whole = search(grid_space(), sampler="grid")
    asked = []
    for _ in range(4):
        asked.append(whole.ask())
        whole.tell(complete(asked[-1][0], 1.0))
    cut_at(monkeypatch, optuna.Study, "enqueue_trial", after=after)
    with pytest.raises(Cut):
        whole.ask()
    asked += ask_all(search(grid_space(), sampler="grid"))
    assert len(asked) == len(set(as_texts(asked))) == 14
    assert [number for number, _ in asked] == list(range(14))


# Rungs and pruning -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("direction", "bad"), [("minimize", 9.0), ("maximize", -9.0)])
def test_the_median_pruner_ends_the_worse_half(search, direction, bad):
    """A trial worse than the median at a rung is pruned; one that is better goes on."""
    it = search(objective=Objective("m", direction), pruner="median", startup_trials=8)
    for score in (1.0, 2.0, 3.0, 4.0):
        number, _ = it.ask()
        assert it.decide_at_rung(number, 9, score) == "go_on", "nothing is pruned before there are some to compare with"
        it.tell(complete(number, score))
    good, _ = it.ask()
    assert it.decide_at_rung(good, 9, 2.4 if direction == "minimize" else 2.6) == "go_on"
    poor, _ = it.ask()
    assert it.decide_at_rung(poor, 9, bad) == "prune"


def test_hyperband_ends_bad_trials_and_no_good_one(search):
    """Of many trials Hyperband lets the best go to the end and cuts most of the bad ones short."""
    it = search(pruner="hyperband", epochs=27)
    steps = sorted(it.rungs)
    pruned_at = {}
    for number in range(30):
        it.ask()
        score = 1.0 if number in (0, 29) else 2.0 + number
        for epoch in steps[:-1]:
            if it.decide_at_rung(number, epoch, score) == "prune":
                pruned_at[number] = epoch
                it.tell(TrialSummary(number, "pruned", score, {}))
                break
        else:
            it.tell(complete(number, score))
    assert 0 not in pruned_at
    assert 29 not in pruned_at
    assert len(pruned_at) > 10


def test_no_pruner_prunes_nothing(search):
    """`pruner: none` lets every trial go on."""
    it = search(pruner="none")
    for _ in range(6):
        number, _values = it.ask()
        assert it.decide_at_rung(number, 9, 1.0) == "go_on"
        it.tell(complete(number, 1.0))
    worst, _ = it.ask()
    assert it.decide_at_rung(worst, 9, 1e9) == "go_on"


def test_a_rung_may_be_reached_again_after_a_crash(search):
    """The second attempt of a trial repeats its reports; Optuna keeps the first."""
    it = search(pruner="median", startup_trials=2)
    it.ask()
    it.decide_at_rung(0, 9, 1.0)
    again = search(pruner="median", startup_trials=2)
    list(again.resume_interrupted())
    assert again.decide_at_rung(0, 9, 1.0) == "go_on"


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


# Shared structure --------------------------------------------------------------------------------------------

SHAPED = {
    "rate": RATE,
    "units": {"type": "int", "low": 1, "high": 512},
    "activation": [f"a{n}" for n in range(50)],
    "optimizer": ["sgd", "adam"],
    "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
}


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_trials_in_a_row_share_their_structure(search, sampler):
    """Of four trials in a row choices and whole numbers are the same and real numbers are not."""
    spec = {"sampler": sampler, "share_structure": 4, "startup_trials": 5}
    asked = [values for _, values in ask_up_to(search(space_of(**SHAPED), **spec), 9)]
    asked += [values for _, values in ask_up_to(search(space_of(**SHAPED), **spec), 7)]  # a row goes on over a restart
    rows = [asked[start : start + 4] for start in range(0, 16, 4)]
    structures = [{(each["units"], each["activation"], each["optimizer"]) for each in row} for row in rows]
    assert [len(each) for each in structures] == [1, 1, 1, 1]
    assert len(set.union(*structures)) > 1
    assert all(len({each["rate"] for each in row}) == 4 for row in rows)


def test_structure_is_not_shared_by_default(search):
    """By default each trial draws everything."""
    asked = ask_up_to(search(space_of(**SHAPED)), 6)
    assert len({values["units"] for _, values in asked}) > 3


def ask_up_to(search, most):
    asked = []
    for _ in range(most):
        asked.append(search.ask())
        search.tell(complete(asked[-1][0], 1.0))
    return asked
