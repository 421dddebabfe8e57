"""Several objectives: their front, their bounds, and what a study with them tells and hands over."""

import json

import optuna
import pytest
from desk import FILE, Desk
from fake_engine import FakeEngine, training
from hypothesis import given
from hypothesis import strategies as st
from small_studies import study_of

from pipelines.queries.study_reader import StudyReader
from pipelines.queries.views import find_pareto_trial
from pipelines.search.trial_summaries import TrialSummary, find_best, find_pareto_front
from pipelines.study.objective import Goal, Objective
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError
from tracking.outbox.records import StudyClosed, StudyOpened, TrialFinished
from tracking.store.database import Store

LOSS_AND_SIZE = Objective(
    "val_loss", "minimize", (Goal("val_loss", "minimize"), Goal("size_mb", "minimize", "litert", at_most=5.0))
)
BOTH_WAYS = Objective("val_auc", "maximize", (Goal("val_auc", "maximize"), Goal("parameters", "minimize")))


def trial(number, value, *goals, state="complete"):
    return TrialSummary(number, state, value, {}, 1, goals=goals)


# The front ----------------------------------------------------------------------------------------------------

points = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12)


@given(points)
def test_no_other_equals_or_betters_a_trial_of_the_front(found):
    """The front is what Optuna takes for it, each point once, and the best by the first objective leads it."""
    trials = [trial(number, float(auc), float(size)) for number, (auc, size) in enumerate(found)]
    study = optuna.create_study(directions=BOTH_WAYS.directions)
    study.add_trials([optuna.trial.create_trial(values=list(map(float, point))) for point in found])
    ours = find_pareto_front(trials, BOTH_WAYS)
    assert {each.values for each in ours} == {tuple(each.values) for each in study.best_trials}
    assert len({each.values for each in ours}) == len(ours)
    assert [each.value for each in ours] == sorted((each.value for each in ours), reverse=True)
    if trials:
        assert ours[0] == find_best(trials, BOTH_WAYS)


def test_what_breaks_a_bound_cannot_win():
    """However good it is otherwise; where none keeps the bounds there is no winner."""
    trials = [trial(0, 0.1, 6.0), trial(1, 0.3, 5.0), trial(2, 0.2, 4.0), trial(3, None, state="failed")]
    assert [each.number for each in find_pareto_front(trials, LOSS_AND_SIZE)] == [2]
    assert find_best(trials, LOSS_AND_SIZE).number == 2
    assert find_best(trials[:1], LOSS_AND_SIZE) is None
    at_least = Objective("a", "maximize", (Goal("a", "maximize", at_least=0.5), Goal("parameters", "minimize")))
    assert find_best([trial(0, 0.4, 1.0)], at_least) is None
    assert find_best([trial(0, 0.5, 1.0)], at_least).number == 0


def test_of_equal_scores_the_next_objective_decides():
    """A smaller model of the same score wins, the earlier one where they are equal in all."""
    trials = [trial(0, 0.2, 4.0), trial(1, 0.2, 3.0), trial(2, 0.2, 3.0)]
    assert find_best(trials, LOSS_AND_SIZE).number == 1


# A study ------------------------------------------------------------------------------------------------------

SEVERAL = """objectives:
  - {metric: val_loss, direction: minimize}
  - {metric: parameters, at_most: 50}
  - {metric: size_mb, format: litert}
"""
VALUES = [(0.1, 90, 0.9), (0.2, 50, 0.5), (0.3, 20, 0.2), (0.4, 30, 0.3)]
"""Loss, parameters and size of each trial: the first breaks a bound, the last is worse than the third."""


@pytest.fixture
def desk(tmp_path):
    with Store.open(tmp_path) as store:
        yield Desk(store, Home(tmp_path, str(tmp_path)))


def study(trials=4, sampler="random"):
    text = FILE.format(
        sampler=sampler, pruner="none", trials=trials, budget="", fleet="off", keep=2, selection=""
    ).replace("objective: {metric: val_loss, direction: minimize}\n", SEVERAL)
    return study_of(text)


def script(job):
    loss, parameters, size = VALUES[job.number % len(VALUES)]
    measures = {"size_mb_litert": size}
    return (yield from training(job, [loss + 1, loss], parameters=parameters, measures=measures))


def test_a_study_with_several_objectives(desk):
    """Optuna has all values and the bounds, MLflow the measures and the front; the best within bounds wins."""
    engine = FakeEngine(script, test_scores={})
    ended = desk.run(engine, study=study())[-1]
    assert (ended.state, ended.winner, ended.value) == ("finished", 1, 0.2)
    assert set(engine.functions) == {"pipelines.export.deployment_metrics:train_and_measure"}
    assert not any(job.rungs for job in engine.jobs)
    with StudyReader(desk.home, desk.store) as reader:
        best = reader.find_best_trial("it")
        rows = reader.list_trials("it")
    assert [row.values for row in rows] == [(loss, float(count), size) for loss, count, size in VALUES]
    assert [each.name for each in best.objectives] == ["val_loss", "parameters", "size_mb_litert"]
    assert [each.number for each in best.pareto_front] == [1, 2]
    assert [each.number for each in desk.trials()] == [0, 1, 2, 3]
    stored = optuna.load_study(study_name="it", storage=desk._storage)
    assert [each.values for each in stored.trials] == [list(map(float, each)) for each in VALUES]
    assert [each.constraints for each in stored.trials] == [{"parameters": each[1] - 50.0} for each in VALUES]
    assert {each.number for each in stored.best_trials} == {1, 2}
    [opened] = desk.records(StudyOpened)
    assert opened.columns == ("parameters", "size_mb_litert")
    assert desk.records(TrialFinished)[1].metrics["size_mb_litert"] == 0.5
    assert desk.records(TrialFinished)[1].metrics["parameters"] == 50
    [closed] = desk.records(StudyClosed)
    assert closed.pareto_front == (1, 2)
    assert desk.models() == [1, 2]


def test_a_study_goes_on(desk):
    """One that is run again with a larger budget has its values, front and winner still."""
    desk.run(FakeEngine(script, test_scores={}), study=study(2, "tpe"))
    ended = desk.run(FakeEngine(script, test_scores={}), study=study(4, "tpe"))[-1]
    assert (ended.winner, ended.trials) == (1, {"complete": 4})
    assert desk.records(StudyClosed)[-1].pareto_front == (1, 2)


def test_where_no_trial_keeps_the_bounds_there_is_no_winner(desk):
    """The study says so."""
    ended = desk.run(FakeEngine(script, test_scores={}), study=study(1))[-1]
    assert (ended.state, ended.winner) == ("failed", None)
    lacking = "the only complete one breaks a bound of the objectives"
    assert ended.reason == f"1 trial, and {lacking}"
    with (
        StudyReader(desk.home, desk.store) as reader,
        pytest.raises(ConflictError, match=f"has no best trial: {lacking}"),
    ):
        reader.find_best_trial("it")


def test_a_point_of_the_front_is_chosen_by_bounds(desk):
    """The best by the first objective that keeps them; unknown names and impossible bounds are said."""
    desk.run(FakeEngine(script, test_scores={}), study=study())
    with StudyReader(desk.home, desk.store) as reader:
        best = reader.find_best_trial("it")
    assert find_pareto_trial(best, {"parameters": 50}, {}) == 1
    assert find_pareto_trial(best, {"size_mb_litert": 0.4}, {}) == 2
    assert find_pareto_trial(best, {}, {"val_loss": 0.25}) == 2
    with pytest.raises(ConflictError, match="no trial of the Pareto front"):
        find_pareto_trial(best, {"parameters": 1}, {})
    with pytest.raises(InputError, match='no objective "size_mb"; did you mean "size_mb_litert"'):
        find_pareto_trial(best, {"size_mb": 1}, {})


def test_one_objective_has_no_front(desk):
    """Bounds are refused where there is nothing to choose from."""
    desk.run(FakeEngine(script, test_scores={}), trials=2)
    with StudyReader(desk.home, desk.store) as reader:
        best = reader.find_best_trial("it")
    assert (best.pareto_front, best.objectives) == ((), ())
    with pytest.raises(InputError, match="has one objective"):
        find_pareto_trial(best, {"val_loss": 1.0}, {})


def test_objectives_are_part_of_what_a_study_is():
    """Another set of objectives is another study; a study without them is what it was before there were any."""
    one = study_of(FILE.format(
        sampler="random", pruner="none", trials=4, budget="", fleet="off", keep=2, selection=""
    ))  # fmt: skip
    assert study().compute_fingerprint() != one.compute_fingerprint()
    assert json.loads(json.dumps([goal.name for goal in study().resolve_objective("regression").goals])) == [
        "val_loss", "parameters", "size_mb_litert"
    ]  # fmt: skip
