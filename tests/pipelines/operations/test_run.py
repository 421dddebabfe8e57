"""A study with nothing left to run: found without reading its data."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from pipelines.operations.run import find_finished
from pipelines.study.load import load_study
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import TrialStarted
from tracking.store.study_queue import StudyQueue


def finish(store, trials=5):
    """Put the study into the state that its supervisor leaves it in."""
    StudyQueue(store).set_state("s", "finished", "5 trials")
    StudyQueue(store).set_result("s", winner=0, best_value=0.75, counts={"complete": trials - 1, "failed": 1})


def test_a_finished_study_has_nothing_left(home, study, store):
    """A study whose budget is used up gives its end."""
    finish(store)
    (home.locate_trial("s", 0)).mkdir(parents=True)
    (home.locate_trial("s", 0) / "test.json").write_text('{"test_auc": 0.5}')
    ended = find_finished(study, home)
    assert ended is not None
    assert (ended.state, ended.winner, ended.value, ended.metric) == ("finished", 0, 0.75, "val_accuracy")
    assert (ended.trials, ended.test, ended.undelivered) == ({"complete": 4, "failed": 1}, {"test_auc": 0.5}, 0)


def test_a_study_may_have_something_left(home, study, store, tmp_path):
    """Trials to do, a changed file or newer data: each may leave something to do; undelivered records do not."""
    assert find_finished(study, home) is None
    finish(store, trials=4)
    assert find_finished(study, home) is None
    finish(store)
    assert find_finished(study, home) is not None
    assert find_finished(load_study(tmp_path / "s.yaml", ["budget.trials=6"]), home) is None
    assert find_finished(load_study(tmp_path / "s.yaml", ["export.alias=other"]), home) is None
    newer = (home.locate_data("s") / "summary.json").stat().st_mtime + 5
    os.utime(tmp_path / "d.csv", (newer, newer))
    assert find_finished(study, home) is None
    os.utime(tmp_path / "d.csv", (1, 1))
    Outbox(store).add([TrialStarted("s", 0, {}, 1)])
    assert find_finished(study, home).undelivered == 1


def test_an_unknown_study_has_everything_left(study, tmp_path):
    """A home that does not exist is not created."""
    assert find_finished(study, Home(tmp_path / "new", str(tmp_path / "new"))) is None
    assert not (tmp_path / "new").exists()


def test_another_study_of_the_name_is_refused(home, study):
    """A study that searches something else is an error."""
    other = replace(study, spec=study.spec.model_copy(update={"model": "cnn"}))
    with pytest.raises(InputError, match='study "s" exists already'):
        find_finished(other, home)
