"""Kills of a deletion at each of its steps: it goes on, and leaves nothing."""

from __future__ import annotations

import os
import signal

import pytest
from desk import Desk, scores
from fake_engine import FakeEngine

from pipelines.operations.delete import delete_study
from pipelines.operations.sync import SyncMonitor, sync
from pipelines.workspace.home import Home
from tracking.store.database import Store
from tracking.store.deletions import Deletions
from tracking.testing import failpoints

STEPS = [name for name in failpoints.FAILPOINTS if name.startswith("deletion-")]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with a delivered study."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())
    made = Home.find(str(tmp_path / "home"), {})
    with Store.open(made.store) as store:
        Desk(store, made).run(FakeEngine(scores(3.0, 2.0)), trials=2)
    (done,) = sync(made, ("it",), 60, SyncMonitor())
    assert not done.left
    return made


def _die_at(step, home):
    """Delete the study in a forked process that is killed at a step; return how it ended."""
    pid = os.fork()
    if pid == 0:
        failpoints.arm(step)
        delete_study(home, "it", force=True)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# A fork with the threads of libraries: the child only deletes, and ends.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_deletion_killed_at_each_step_is_completed(home):
    """Killed once at every step, the deletion stays stored until the next call has completed it."""
    for step in STEPS:
        assert _die_at(step, home) == -signal.SIGKILL, step
        with Store.open(home.store) as store:
            left = [deletion.study for deletion in Deletions(store).list()]
            assert left == ([] if step == "deletion-rows-removed" else ["it"]), step
    assert not home.locate_study("it").exists()
