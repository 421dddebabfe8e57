"""Lost workers, requests to pause, stop or cancel, and full disks: the supervisor on a real database."""

from __future__ import annotations

import errno
import threading

import pytest
import sqlalchemy as sa
from desk import Desk, scores
from fake_engine import Ends, FakeEngine, training
from small_studies import study_of

from pipelines.engines.base import Job
from pipelines.operations import control
from pipelines.recording.recorder import Recorder
from pipelines.supervisor.events import EpochEnded, FleetDivided, TrialBegan, TrialEnded, TrialTriedAgain
from pipelines.training.trial_folder import WEIGHTS_FILE
from pipelines.workspace.disk_reserve import DiskReserve
from pipelines.workspace.home import Home
from search_spaces.errors import KerastudyError
from tracking.outbox.records import EpochsRecorded, ModelKept, StudyClosed, TrialFinished

LIMITED = """
study: it
data: {{source: data.csv, target: y}}
model: mlp
space: {{epochs: 3}}
objective: {{metric: val_loss, direction: minimize}}
search: {{sampler: random, pruner: none}}
budget: {{trials: {trials}}}
limits: {{{limits}}}
resources: {{workers: 1, fleet: "off"}}
"""


@pytest.fixture
def desk(store, tmp_path):
    return Desk(store, Home(tmp_path / "home", str(tmp_path / "home")))


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """Leave the report unwritten: its pictures take longer than the studies here."""
    monkeypatch.setattr("pipelines.recording.recorder.draw_plots", lambda folder, report: ())


def limited(limits, trials=2):
    return study_of(LIMITED.format(limits=limits, trials=trials))


def dies(times, kind="died"):
    """Script a worker that dies so often in trial 0 after an epoch, before the trial succeeds."""
    tries = []

    def script(job):
        tries.append(job.number)
        going = training(job, [3.0, 2.0, 1.0])
        if job.number == 0 and tries.count(0) <= times:
            yield next(going)
            raise Ends(kind, f"lost\nin try {tries.count(0)}")
        return (yield from going)

    return script


class Timed(FakeEngine):
    """Notes the time that each job is given."""

    def submit(self, job: Job) -> None:
        self.times = [*getattr(self, "times", []), job.time_s]
        super().submit(job)


# Attempts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["died", "stall", "memory"])
def test_a_lost_worker_costs_an_attempt_and_no_trial(desk, kind):
    """The trial is tried again under its number, with its values and seed; its reason is recorded everywhere."""
    engine = FakeEngine(dies(2, kind))
    events = desk.run(engine, trials=2)
    assert [job.number for job in engine.jobs] == [0, 0, 0, 1]
    assert engine.jobs[0] == engine.jobs[1] == engine.jobs[2]
    again = [event for event in events if isinstance(event, TrialTriedAgain)]
    assert [(event.reason, event.attempt, event.of) for event in again] == [
        ("lost; in try 1", 2, 3),
        ("lost; in try 2", 3, 3),
    ]
    trial = desk.trials()[0]
    assert (trial.state, trial.value, trial.reason) == ("complete", 1.0, "after 2 failed attempts: lost; in try 2")
    assert [attempt.reason for attempt in trial.failed_attempts] == ["lost; in try 1", "lost; in try 2"]
    assert events[-1].trials == {"complete": 2}
    [record] = [record for record in desk.records(TrialFinished) if record.number == 0]
    assert record.reason == trial.reason


def test_the_last_attempt_fails_the_trial(desk):
    """After `limits.attempts` tries the trial has failed, with the last reason, and the study goes on."""
    engine = FakeEngine(dies(99))
    events = desk.run(engine, study=limited("attempts: 2"))
    assert [job.number for job in engine.jobs] == [0, 0, 1]
    assert [trial.state for trial in desk.trials()] == ["failed", "complete"]
    assert desk.trials()[0].reason == "lost; in try 2 (attempt 2 of 2)"
    assert events[-1].state == "finished"


def test_one_attempt_is_no_retry(desk):
    """With one attempt a lost worker is the trial's end."""
    desk.run(FakeEngine(dies(1)), study=limited("attempts: 1"))
    assert (desk.trials()[0].state, desk.trials()[0].reason) == ("failed", "lost; in try 1")


def test_an_error_is_not_tried_again(desk):
    """Code that raises an error raises it again: no attempt is spent on it."""
    engine = FakeEngine(dies(1, "error"))
    desk.run(engine, trials=2)
    assert [job.number for job in engine.jobs] == [0, 1]


def test_attempts_are_counted_over_a_kill_of_the_supervisor(desk):
    """A trial that kills its worker each time comes to its end, however often the study is started again."""

    class KilledError(BaseException):
        pass

    for _ in range(2):
        with pytest.raises(KilledError):
            for event in desk.supervisor(FakeEngine(dies(99)), study=limited("attempts: 3", trials=1)).run():
                if isinstance(event, TrialTriedAgain):
                    raise KilledError
    engine = FakeEngine(dies(99))
    last = desk.run(engine, study=limited("attempts: 3", trials=1))[-1]
    assert len(engine.jobs) == 1
    assert last.trials == {"failed": 1}


def test_the_time_limit_is_one_for_all_attempts(desk, monkeypatch):
    """A second attempt has what the first one left of the time; where nothing is left there is none."""
    monkeypatch.setattr("pipelines.supervisor.running_trials.RunningTrial.seconds", property(lambda self: 40.0))
    engine = Timed(dies(99))
    desk.run(engine, study=limited("attempts: 5, trial_time: 100s", trials=1))
    assert engine.times == [100.0, 60.0, 20.0]
    assert desk.trials()[0].state == "failed"


def test_an_attempt_records_no_epoch_twice(desk):
    """Epochs that an earlier attempt reported are sent with the same time, so that MLflow stores them once."""
    desk.run(FakeEngine(dies(2)), trials=1)
    points = {(epoch, at_ms) for record in desk.records(EpochsRecorded) for epoch, at_ms, _ in record.epochs}
    assert sorted(epoch for epoch, _ in points) == [0, 1, 2]


def test_a_fleet_that_dies_has_an_event(desk):
    """Its trials continue in smaller fleets, and the event has the reason."""
    tries = []

    def script(job):
        tries.append(job.number)
        going = training(job, [1.0, 1.0])
        yield next(going)
        if len(tries) == 2:
            raise Ends("memory", "over its memory limit")
        return (yield from going)

    events = desk.run(FakeEngine(script), trials=4, fleet="2")
    assert [event for event in events if isinstance(event, FleetDivided)] == [FleetDivided(2, "over its memory limit")]
    assert events[-1].trials == {"complete": 4}


# Pause, stop, cancel -----------------------------------------------------------------------------------------


def request_at_first_epoch(desk, supervisor, control_request):
    """Request an action as another process does, when the first trial has trained an epoch; return the events."""
    events, is_requested = [], False
    for event in supervisor.run():
        events.append(event)
        if isinstance(event, EpochEnded) and not is_requested:
            is_requested = True
            desk.queue.set_control_request("it", control_request)
    return events


@pytest.fixture(autouse=True)
def _read_requests_at_once(monkeypatch):
    """Let the supervisor read requests whenever it can, and not once a second: trials here end at once."""
    monkeypatch.setattr("pipelines.supervisor.study_control._READ_REQUESTS_EVERY_S", -1.0)


@pytest.mark.parametrize("fleet", ["off", "2"])
def test_a_pause_puts_running_trials_back(desk, fleet):
    """The study is paused at once; running it again goes on with the same trials and the same budget."""
    engine = FakeEngine(scores(1.0))
    last = request_at_first_epoch(desk, desk.supervisor(engine, trials=5, fleet=fleet), "pause")[-1]
    assert (last.state, last.is_requested) == ("paused", True)
    assert last.trials["running"] == len(engine.stopped) * (1 if fleet == "off" else 2)
    assert desk.queue.get("it").state == "paused"
    assert desk.run(FakeEngine(scores(1.0)), trials=5, fleet=fleet)[-1].trials == {"complete": 5}


@pytest.mark.parametrize("fleet", ["off", "2"])
def test_a_stop_lets_running_trials_finish(desk, fleet):
    """No further trial begins, those under way end well, and the study ends with its winner."""
    engine = FakeEngine(scores(2.0, 1.0))
    said = request_at_first_epoch(desk, desk.supervisor(engine, trials=9, fleet=fleet), "stop")
    begun = [event.number for event in said if isinstance(event, TrialBegan)]
    assert len(begun) < 9
    assert (said[-1].state, said[-1].reason) == ("finished", "stopped on request")
    assert said[-1].trials == {"complete": len(begun)}
    assert engine.stopped == []
    assert desk.queue.find_control_request("it") is None


def test_a_stop_is_obeyed_while_the_last_trials_run(desk):
    """The request is answered; the reason of the study's end does not change."""
    said = request_at_first_epoch(desk, desk.supervisor(FakeEngine(scores(1.0), workers=2), trials=1), "stop")
    assert desk.queue.find_control_request("it") is None
    assert said[-1].state == "finished"
    assert said[-1].reason != "stopped on request"


@pytest.mark.parametrize("fleet", ["off", "2"])
def test_a_cancel_ends_running_trials(desk, fleet):
    """What runs is cancelled, in Optuna, in the study's state and in MLflow; what was finished stays."""
    engine = FakeEngine(scores(1.0))
    supervisor = desk.supervisor(engine, trials=5, fleet=fleet)
    last = request_at_first_epoch(desk, supervisor, "cancel")[-1]
    assert (last.state, set(last.trials)) == ("cancelled", {"cancelled"})
    assert {trial.reason for trial in desk.trials()} == {"the study was cancelled"}
    assert {record.state for record in desk.records(TrialFinished)} == {"cancelled"}
    [closed] = desk.records(StudyClosed)
    assert (closed.state, closed.register) == ("cancelled", None)
    assert desk.queue.get("it").state == "cancelled"


def test_a_cancel_keeps_what_was_finished(desk):
    """A result that a worker wrote down before it was ended is the trial's result."""
    engine = FakeEngine(scores(1.0))
    supervisor = desk.supervisor(engine, trials=5)
    for event in supervisor.run():
        if isinstance(event, TrialEnded):
            desk.queue.set_control_request("it", "cancel")
        last = event
    assert last.trials["complete"] >= 1
    assert last.trials.get("running", 0) == 0
    assert (last.state, last.winner) == ("cancelled", 0)


def test_a_request_is_obeyed_while_models_are_written(desk, monkeypatch):
    """A pause that comes at the end, while the winner is scored, is no defect: the study is paused."""
    monkeypatch.setattr(Recorder, "find_missing_models", lambda self: (0,))
    monkeypatch.setattr(
        "pipelines.supervisor.study_end.make_models_job", lambda *given: Job("models", "", None, desk.home.folder)
    )
    supervisor = desk.supervisor(FakeEngine(scores(1.0), test_scores={}), trials=1)
    for event in supervisor.run():
        if isinstance(event, TrialEnded):
            desk.queue.set_control_request("it", "pause")
    assert (event.state, event.trials) == ("paused", {"complete": 1})


def test_models_that_were_written_before_a_kill_are_recorded(desk):
    """A kill between a fleet's models on disk and their rows leaves nothing to write, and something to record."""
    for event in desk.supervisor(FakeEngine(scores(1.0), test_scores={}), trials=1).run():
        if isinstance(event, TrialEnded):
            (desk.home.locate_trial("it", 0) / WEIGHTS_FILE).write_bytes(b"")
    assert [record.number for record in desk.records(ModelKept)] == [0]


def test_a_control_request_waits_until_it_is_done(desk, store, monkeypatch):
    """`request_control` returns when the supervisor has obeyed, with the status of the study."""
    monkeypatch.setattr(control.StudyReader, "load_study", lambda self, name: None)
    supervisor = desk.supervisor(FakeEngine(scores(1.0)), trials=5)
    statuses = []
    requester = None
    for event in supervisor.run():
        if isinstance(event, EpochEnded) and requester is None:
            requester = threading.Thread(
                target=lambda: statuses.append(control.request_control(desk.home, "it", "pause"))
            )
            requester.start()
            while desk.queue.find_control_request("it") is None:
                pass
    requester.join(10)
    assert statuses == [control.StudyStatus("it", "paused", "resume it to go on")]


# A full disk -------------------------------------------------------------------------------------------------


def test_a_worker_without_room_pauses_the_study(desk):
    """A full disk is no trial's fault: its trial is put back, and the study's reason names the way out."""

    def script(job):
        going = training(job, [1.0])
        yield next(going)
        if job.number == 1:
            raise Ends("disk", "OSError: [Errno 28] No space left on device")
        return (yield from going)

    engine = FakeEngine(script)
    last = desk.run(engine, trials=4)[-1]
    assert (last.state, last.is_requested, last.trials) == ("paused", False, {"complete": 1, "running": 1})
    assert "no room is left on the disk" in last.reason
    assert desk.queue.get("it").reason == last.reason
    assert desk.run(FakeEngine(scores(1.0)), trials=4)[-1].trials == {"complete": 4}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        sa.exc.OperationalError("INSERT", {}, Exception("database or disk is full")),
    ],
)
def test_a_supervisor_without_room_pauses_the_study(desk, monkeypatch, error):
    """Whatever could not be written, what was acknowledged before is kept and the study goes on later."""
    real, calls = Recorder.record_trial_end, []

    def full(self, *given, **more):
        calls.append(given)
        if len(calls) == 3:
            raise error
        real(self, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "record_trial_end", full)
        last = desk.run(FakeEngine(scores(3.0, 2.0, 1.0)), trials=4)[-1]
    assert (last.state, last.trials) == ("paused", {"complete": 2, "running": 1})
    assert desk.queue.get("it").state == "paused"
    assert not (desk.home.locate_study("it") / "reserve").exists()
    again = desk.run(FakeEngine(scores(3.0, 2.0, 1.0)), trials=4)[-1]
    assert (again.state, again.trials, again.value) == ("finished", {"complete": 4}, 1.0)


def test_a_disk_that_is_full_from_the_start_is_an_error(desk, monkeypatch):
    """Nothing starts where even the reserve cannot be filled, and the message has the reason."""

    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(DiskReserve, "fill", full)
        with pytest.raises(KerastudyError, match="no room is left on the disk of"):
            desk.run(FakeEngine(scores(1.0)), trials=2)
    assert desk.records() == []
    assert desk.run(FakeEngine(scores(1.0)), trials=2)[-1].trials == {"complete": 2}


def test_a_store_that_is_gone_is_an_error_without_a_traceback(desk, monkeypatch):
    """A database that cannot be reached ends the supervisor with what to do; the study goes on where it was."""

    def gone(self, *given, **more):
        raise sa.exc.OperationalError("INSERT", {}, Exception("server closed the connection"))

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "record_trial_end", gone)
        with pytest.raises(KerastudyError, match=r"cannot be used any more: .*run the same file again"):
            desk.run(FakeEngine(scores(1.0)), trials=2)
    assert desk.run(FakeEngine(scores(1.0)), trials=2)[-1].trials == {"complete": 2}
