"""A study with nothing left to run is found without reading its data; one that is checked outlasts its cluster."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest
from inline_engine import InlineEngine

from pipelines.engines.base import EngineLostError
from pipelines.operations import run
from pipelines.operations.control import request_control
from pipelines.operations.run import find_finished, supervise
from pipelines.study.check_listener import CheckListener
from pipelines.study.load import load_study
from pipelines.supervisor import lost_engine
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError
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


class LossyEngine(InlineEngine):
    """Engine that is lost at its call of a number, and for every further one until it has started again."""

    def __init__(self, lost_at):
        super().__init__()
        self._lost_at = lost_at
        self.calls = []
        self.restarts = 0

    def warm(self, backend):
        self._call("warm")

    def submit(self, job):
        self._call(job.name)
        super().submit(job)

    def events(self, timeout_s):
        self._call("events")
        return super().events(timeout_s)

    def restart(self, note, while_waiting):
        self.restarts += 1
        self._lost_at = None
        self._events.clear()

    def _call(self, name):
        if self._lost_at is not None and len(self.calls) >= self._lost_at:
            raise EngineLostError("the cluster was lost")
        self.calls.append(name)


class Lines(CheckListener):
    """Listener that keeps the lines that stay."""

    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


@pytest.fixture
def check_on(tmp_path, monkeypatch):
    """Return a function that checks a new study on an engine and returns the lines that it has noted."""
    monkeypatch.setattr(lost_engine, "_FIRST_PAUSE_S", 0.001)
    (tmp_path / "rows.csv").write_text("a,b,y\n" + "".join(f"{row},{row * 7 % 13},{row % 2}\n" for row in range(40)))

    def check(engine, reconnect="1h", name="new"):
        monkeypatch.setattr(run, "open_engine", lambda *arguments, **keys: engine)
        (tmp_path / "new.yaml").write_text(
            f"study: {name}\ndata: {{source: rows.csv, target: y}}\nmodel: mlp\n"
            f"resources: {{engine: ray, reconnect: {reconnect}}}\n"
        )
        heard = Lines()
        with supervise(
            load_study(tmp_path / "new.yaml"), Home(tmp_path / "home", str(tmp_path / "home")), listener=heard
        ) as made:
            assert made.study == name
        return heard.lines

    return check


def test_a_cluster_lost_at_any_moment_of_the_check_is_waited_for(check_on):
    """At each call of the engine, the preparation of the workers included: the check begins again, and is stated."""
    whole = LossyEngine(None)
    assert check_on(whole) == []
    assert {"warm", "data", "events"} <= set(whole.calls)
    for moment in range(len(whole.calls)):
        engine = LossyEngine(moment)
        lost, back = check_on(engine, name=f"new{moment}")
        assert engine.restarts == 1, moment
        assert lost == "the cluster was lost; waiting up to 1h00m for it to come back (resources.reconnect)"
        assert "the check of the study begins again" in back


def test_a_cluster_lost_in_the_check_ends_a_study_that_waits_for_nothing(check_on, tmp_path):
    """With `reconnect: off` nothing is left of a study that has not begun."""
    with pytest.raises(EngineLostError, match="run the same file again when it is back"):
        check_on(LossyEngine(1), reconnect="off")
    assert not (tmp_path / "home" / "studies").exists()


def test_a_study_that_is_paused_while_it_is_checked_does_not_go_on(check_on, tmp_path, monkeypatch):
    """Nobody holds it meanwhile, so its state is all that a pause changes; an earlier pause hinders nothing."""
    check_on(InlineEngine())
    home = Home(tmp_path / "home", str(tmp_path / "home"))
    request_control(home, "new", "pause")
    check_on(InlineEngine())
    check = run.check_study

    def check_slowly(*arguments, **keys):
        time.sleep(0.002)  # of the state a time in milliseconds is kept
        request_control(home, "new", "pause")
        return check(*arguments, **keys)

    monkeypatch.setattr(run, "check_study", check_slowly)
    with pytest.raises(ConflictError, match="new was paused while it was checked: kerastudy resume new resumes it"):
        check_on(InlineEngine())
    assert request_control(home, "new", "pause").state == "paused"
