"""Trials as our reader returns them: equal to Optuna's own, by as many statements for any number of trials."""

from __future__ import annotations

import math

import optuna
import pytest
import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from tracking.store.optuna_storage import TrialStorage


@pytest.fixture
def storage(store):
    found = store.open_optuna_storage()
    assert isinstance(found, TrialStorage)
    return found


def make_study(storage, directions=("minimize",)):
    study = optuna.create_study(storage=storage, directions=directions, sampler=optuna.samplers.RandomSampler(seed=1))
    for number in range(12):
        trial = study.ask()
        trial.suggest_float("rate", 1e-4, 1.0, log=True)
        trial.suggest_int("units", 8, 64, step=8)
        trial.suggest_categorical("act", ["relu", None, 1, 2.5, True])
        trial.set_user_attr("a", {"nested": [1, "x"]})
        trial.set_constraint("size", float(number))
        if len(directions) == 1:
            for step, value in enumerate([1.0, math.inf, math.nan, -math.inf]):
                trial.report(value, step)
        if number % 4 == 0:
            study.tell(trial, [float(number)] * len(directions))
        elif number % 4 == 1:
            study.tell(trial, state=TrialState.FAIL)
        elif number % 4 == 2 and len(directions) == 1:
            study.tell(trial, state=TrialState.PRUNED)
    study.enqueue_trial({"rate": 0.5})
    return study


@pytest.mark.parametrize("directions", [("minimize",), ("minimize", "maximize")])
def test_trials_are_those_that_optuna_reads(storage, directions):
    """In every field, of all trials or some, and for the cache that asks for new and unfinished ones only."""
    study = make_study(storage, directions)
    make_study(storage)  # another study, whose trials are none of ours
    for asked in ((None, set(), -1), ((TrialState.COMPLETE, TrialState.FAIL), set(), -1), (None, {2, 3, 99}, 8)):
        expected = RDBStorage._get_trials(storage, study._study_id, *asked)
        found = storage._get_trials(study._study_id, *asked)
        assert [repr(trial) for trial in found] == [repr(trial) for trial in expected]  # NaN equals nothing
        assert found
    assert [trial.number for trial in study.get_trials(deepcopy=False)] == list(range(13))


def test_a_study_that_is_not_there_is_an_error(storage):
    """As with Optuna's own reader; a study without trials is none."""
    with pytest.raises(KeyError):
        storage.get_all_trials(99)
    assert storage.get_all_trials(optuna.create_study(storage=storage)._study_id) == []


def test_statements_do_not_grow_with_the_trials(storage):
    """Six statements read a study, and the changes of a study that was read before."""
    study, statements = make_study(storage), []
    sa.event.listen(storage.engine, "before_cursor_execute", lambda _c, _cursor, text, *_more: statements.append(text))
    counts = []
    for _ in range(3):
        statements.clear()
        storage._get_trials(study._study_id, None, set(), -1)
        counts.append(len(statements))
        study.add_trials(study.get_trials())
    assert counts == [6, 6, 6]
