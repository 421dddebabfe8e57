"""Submission of an unchecked study: new, again, with a larger budget, after a failure, after a cancellation."""

from __future__ import annotations

import pytest
from small_studies import STORED_STUDY

from pipelines.operations.submit import submit_study
from pipelines.study.load import load_study
from pipelines.study.stored import is_unchecked
from search_spaces.errors import ConflictError
from tracking.store.study_queue import StudyQueue


@pytest.fixture
def queue(store):
    return StudyQueue(store)


@pytest.fixture
def submit(store, queue, tmp_path):
    """Submit the study of a file, with overrides; return whether there is something new to run."""
    (tmp_path / "d.csv").write_text("a,y\n1,0\n")
    (tmp_path / "s.yaml").write_text(STORED_STUDY)

    def submit(*overrides):
        with store.write() as connection:
            return submit_study(load_study(tmp_path / "s.yaml", overrides), queue, connection)

    return submit


def test_a_new_study_is_queued_unchecked(submit, queue):
    """A new study waits in the queue; the same one again changes nothing."""
    assert submit()
    assert is_unchecked(queue.get("s"))
    assert not submit()
    assert queue.get("s").state == "queued"


def test_a_larger_budget_queues_a_finished_study(submit, queue):
    """A finished study is queued again if its file has changed, and only then."""
    submit()
    queue.set_state("s", "finished")
    queue.amend("s", queue.get("s").document, f"{queue.get('s').digest}data")
    assert not submit()
    assert submit("budget.trials=9")
    assert queue.get("s").state == "queued"


def test_a_study_that_failed_before_its_start_is_replaced(submit, queue):
    """A study whose data could not be used makes room for another one of its name."""
    submit()
    queue.set_state("s", "failed", "no such file")
    assert submit("model=cnn")
    assert '"cnn"' in queue.get("s").document


def test_conflicts_are_refused(submit, queue):
    """Another study of the name, other settings of a running one, and a cancelled one are conflicts."""
    submit()
    with pytest.raises(ConflictError, match="exists already with another model"):
        submit("model=cnn")
    queue.set_state("s", "running")
    assert not submit()
    with pytest.raises(ConflictError, match="running with other settings: pause it first"):
        submit("budget.trials=9")
    queue.set_state("s", "cancelled")
    with pytest.raises(ConflictError, match="was cancelled"):
        submit()
