"""The study that `search.start_from` names: copied once, or refused with the place in the file."""

from __future__ import annotations

import pytest

from pipelines.data.prepared import Task
from pipelines.queries.earlier_study import keep_earlier_trials
from pipelines.search.earlier_trials import read_earlier_trials
from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.trial_summaries import TrialSummary
from pipelines.study.load import load_study
from search_spaces.errors import InputError
from tracking.store.study_queue import StudyQueue

BINARY = Task("binary", 1)


def make_study(study, name="later", earlier="s", objective="val_accuracy"):
    text = study.document.data
    return load_study(
        {**text, "study": name, "search": {"start_from": {"study": earlier}}, "objective": {"metric": objective}}
    )


@pytest.fixture
def finished(study, store):
    """The study `s` of this home with one complete trial."""
    search = OptunaSearch(
        store.open_optuna_storage(),
        "s",
        SearchSettings(study.space, study.resolve_objective("binary"), study.spec.search, epochs=20),
    )
    number, values = search.ask()
    search.tell(TrialSummary(number, "complete", 0.75, values))
    return search


def test_its_trials_are_copied_once(home, study, store, finished):
    objective = study.resolve_objective("binary").metric
    later = make_study(study, objective=objective)
    keep_earlier_trials(later, BINARY, home, store)
    kept = read_earlier_trials(home.locate_study("later"))
    assert [trial.score for trial in kept.trials] == [0.75]
    number, values = finished.ask()
    finished.tell(TrialSummary(number, "complete", 0.9, values))
    keep_earlier_trials(later, BINARY, home, store)
    assert read_earlier_trials(home.locate_study("later")) == kept


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"earlier": "S"}, 'there is no study "S"'),
        ({"name": "s"}, "a study cannot start from itself"),
        ({"objective": "val_loss"}, "expected a study that is to minimize val_loss, and s is to"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(home, study, store, finished, changed, message):
    later = make_study(study, **{"objective": study.resolve_objective("binary").metric, **changed})
    with pytest.raises(InputError, match=message) as refused:
        keep_earlier_trials(later, BINARY, home, store)
    assert refused.value.problems[0].path == "search.start_from.study"
    assert not read_earlier_trials(home.locate_study(later.name)).trials


@pytest.mark.parametrize(
    ("state", "message"),
    [("running", "is complete yet; wait for its end"), ("failed", r"it has ended \(failed\): there is nothing")],
)
def test_a_study_without_a_complete_trial_teaches_nothing(home, study, store, state, message):
    """One that has ended has no end to wait for."""
    StudyQueue(store).set_state("s", state)
    later = make_study(study, objective=study.resolve_objective("binary").metric)
    with pytest.raises(InputError, match=message):
        keep_earlier_trials(later, BINARY, home, store)
