"""Submission of a study: new, again, with a larger budget, in another space, after a failure or a cancellation."""

from __future__ import annotations

import json
import os
import platform

import pytest
from desk import FILE, SUMMARY, Desk, scores
from fake_engine import FakeEngine
from small_studies import STORED_STUDY, study_of

from pipelines.operations.submit import enqueue, submit_study
from pipelines.search.space_evolution import evolve_study, find_current_name
from pipelines.study.load import load_study
from pipelines.study.stored import is_unchecked
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError
from tracking.store import processes
from tracking.store.study_queue import StudyBusyError, StudyQueue


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


def test_a_study_that_another_process_works_on_stays_as_it_is(store, queue, tmp_path):
    """A second `run` of it, with another budget, is refused before the record changes."""
    desk = Desk(store, Home(tmp_path / "home", str(tmp_path / "home")))
    desk.run(FakeEngine(scores(0.5)), trials=1)
    began = processes._read_start_time(os.getppid())
    queue.claim("it", f"{platform.node()}/{os.getppid()}/{began}/{processes._read_pid_namespace()}", 60)
    before = queue.get("it").document
    with pytest.raises(StudyBusyError, match=f'study "it" is being worked on by process {os.getppid()} on '):
        enqueue(desk.study(trials=9), SUMMARY, desk.store)
    assert queue.get("it").document == before


def test_a_study_that_was_cancelled_while_it_was_checked_does_not_begin(store, queue, tmp_path):
    """A resumed one is checked for seconds before it is leased, and may be cancelled by then."""
    desk = Desk(store, Home(tmp_path / "home", str(tmp_path / "home")))
    desk.run(FakeEngine(scores(0.5)), trials=1)
    queue.set_state("it", "cancelled")
    with pytest.raises(InputError, match='study "it" was cancelled'):
        enqueue(desk.study(trials=9), SUMMARY, store)


@pytest.mark.parametrize("experiment", ["it", "elsewhere"])
def test_a_study_stays_in_its_experiment(store, tmp_path, experiment):
    """Its runs would be divided between two; the name of the study is the experiment that it has by default."""
    desk = Desk(store, Home(tmp_path / "home", str(tmp_path / "home")))
    desk.run(FakeEngine(scores(0.5)), trials=1)
    text = FILE.replace("tracking: {{", f"tracking: {{{{experiment: {experiment}, ")
    words = {"sampler": "random", "pruner": "none", "budget": "", "keep": 3, "fleet": "off", "selection": ""}
    moved = study_of(text.format(**words, trials=3))
    if experiment == "it":
        enqueue(moved, SUMMARY, store)
        return
    with pytest.raises(ConflictError, match='has its runs in the experiment "it" of MLflow, got "elsewhere"'):
        enqueue(moved, SUMMARY, store)


WIDE, ABOVE = "low: 1e-4, high: 1.0", "low: 2.0, high: 4.0"


def study_over(rates, trials=3, budget=""):
    words = {"sampler": "random", "pruner": "none", "budget": budget, "keep": 3, "fleet": "off", "selection": ""}
    return study_of(FILE.replace(WIDE, rates).format(**words, trials=trials))


@pytest.fixture
def searched(store, tmp_path):
    """A desk with a finished study of three trials, the first of them the best."""
    desk = Desk(store, Home(tmp_path / "home", str(tmp_path / "home")))
    desk.run(FakeEngine(scores(0.5, 0.7, 0.9)), study=study_over(WIDE))
    return desk


@pytest.mark.parametrize(
    ("trials", "budget", "refused"),
    [
        (3, "", "budget.trials: no trial of it fits the changed space, and its 3 trials use up a budget of 3"),
        (2, "", "its 3 trials use up a budget of 2; raise budget.trials to go on in it"),
        (9, ", time: 1e-9", "budget.time: .* its budget of 1e-09 s is used up; raise budget.time"),
    ],
)
def test_a_space_that_no_trial_fits_needs_a_budget(searched, trials, budget, refused):
    """A finished study stays as it is where its changed space would end it without a winner."""
    before = searched.queue.get("it")
    with pytest.raises(InputError, match=refused):
        enqueue(study_over(ABOVE, trials, budget), SUMMARY, searched.store, evolve=True)
    assert searched.queue.get("it") == before
    assert find_current_name(searched.store.open_optuna_storage(), "it") == "it"


def test_a_study_returns_to_a_space_with_all_that_it_found_there(searched):
    """A study whose space changes twice, there and back, has the winner and the scores of its first space."""
    enqueue(study_over(ABOVE, trials=4), SUMMARY, searched.store, evolve=True)
    [*_, away] = searched.run(FakeEngine(scores(0.8)), study=study_over(ABOVE, trials=4))
    assert (away.state, away.winner, away.value) == ("finished", 3, 0.8)
    enqueue(study_over(WIDE, trials=4), SUMMARY, searched.store, evolve=True)
    [*_, back] = searched.run(FakeEngine(scores(0.8)), study=study_over(WIDE, trials=4))
    assert (back.state, back.winner, back.value) == ("finished", 0, 0.5)
    assert back.trials == {"complete": 4}


def test_a_kill_while_the_space_changes_leaves_the_study_in_its_space(searched):
    """The record still names the old space: a run of it takes no trial of the generation that was left behind."""
    evolve_study(searched.store, study_over(ABOVE), json.loads(searched.queue.get("it").document)["space"])
    [*_, ended] = searched.run(FakeEngine(scores(0.5, 0.7, 0.9, 0.8)), study=study_over(WIDE, trials=4))
    assert (ended.state, ended.winner, ended.value) == ("finished", 0, 0.5)


@pytest.mark.parametrize("order", [(3, 9, 5), (9, 3, 5), (5, 3, 9)])
def test_the_largest_of_several_budgets_counts(submit, queue, order):
    """In whatever order they come: twenty at once must not leave a smaller one."""
    for trials in order:
        submit(f"budget.trials={trials}")
    [record] = queue.list()
    assert json.loads(record.document)["budget"]["trials"] == 9


def test_names_that_differ_in_capital_letters_are_one(submit, queue):
    """Some file systems would have one folder for both studies."""
    submit()
    name = queue.list()[0].name
    with pytest.raises(ConflictError, match="differs in capital letters only"):
        submit(f"study={name.upper()}")
    assert [record.name for record in queue.list()] == [name]
