"""Requests to pause, stop or cancel, and full disks: the supervisor on a real database."""

from __future__ import annotations

import errno
import shutil
import threading

import pytest
import sqlalchemy as sa
from desk import SUMMARY, Desk, FakeDelivery, scores
from fake_engine import Ends, FakeEngine, training

from pipelines.operations import control
from pipelines.recording.recorder import Recorder
from pipelines.supervisor.events import EpochEnded, Noted, TrialBegan, TrialEnded
from pipelines.supervisor.supervisor import Supervisor
from pipelines.workspace import quota
from pipelines.workspace.disk_reserve import DiskReserve
from pipelines.workspace.home import Home
from pipelines.workspace.quota import HomeQuota
from search_spaces.errors import KerastudyError
from tracking.outbox.records import StudyClosed, TrialFinished
from tracking.store.database import Store
from tracking.store.tables import studies

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


@pytest.mark.parametrize("later", ["Ctrl-C", "pause"])
def test_a_pause_takes_no_cancellation_back(desk, later):
    """A person who cancels and then presses Ctrl-C, or pauses, has a cancelled study: its trials end so already."""
    supervisor = desk.supervisor(FakeEngine(scores(1.0)), trials=5)
    for event in supervisor.run():
        if isinstance(event, EpochEnded):
            supervisor._control.obey("cancel")
            if later == "Ctrl-C":
                supervisor.pause()
            else:
                supervisor._control.obey("pause")
    assert (event.state, set(event.trials)) == ("cancelled", {"cancelled"})


@pytest.mark.parametrize("end", ["kill", "Ctrl-C", "pause"])
def test_a_stop_holds_until_the_end_of_the_study(desk, end):
    """Whoever goes on with a study that is being stopped stops it too; run once more after its end, it goes on."""
    supervisor, is_requested = desk.supervisor(FakeEngine(scores(2.0)), trials=5), False
    events = supervisor.run()
    for event in events:
        if isinstance(event, EpochEnded) and not is_requested:
            is_requested = True
            desk.queue.set_control_request("it", "stop")
        elif isinstance(event, EpochEnded):
            if end == "kill":
                break
            desk.queue.set_control_request("it", "pause") if end == "pause" else supervisor.pause()
    events.close()
    assert [trial.state for trial in desk.trials()] == ["running"]
    events = desk.run(FakeEngine(scores(2.0)), trials=5)
    assert (events[-1].state, events[-1].reason, events[-1].trials) == (
        "finished",
        "stopped on request",
        {"complete": 1},
    )
    assert [event.note.partition(":")[0] for event in events if isinstance(event, Noted)] == [
        "kerastudy stop was requested before"
    ]
    assert desk.run(FakeEngine(scores(2.0)), trials=5)[-1].trials == {"complete": 5}


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
    requester.join(120)
    assert statuses == [control.StudyStatus("it", "paused", "resume it to go on")]


def test_a_pause_after_a_kill_closes_what_the_kill_left(desk, tmp_path):
    """The counts, the best trial and MLflow's run are those of a study that was paused as it trained."""
    folder = tmp_path / "killed"
    for event in desk.supervisor(FakeEngine(scores(1.0)), trials=3).run():
        if isinstance(event, TrialEnded) and not folder.exists():
            shutil.copytree(desk.home.folder, folder, ignore=shutil.ignore_patterns("*-shm", "killed"))
    with Store.open(folder) as store:
        killed = Desk(store, Home(folder, str(folder)))
        with store.write() as connection:  # its holder would be dead
            connection.execute(sa.update(studies).values(lease_token=None))
        assert (killed.queue.get("it").state, killed.queue.get("it").winner) == ("running", None)
        engine, delivery = FakeEngine(scores(1.0)), FakeDelivery(killed.outbox)
        study = killed.study(trials=3)
        last = list(Supervisor(study, SUMMARY, killed.home, store, engine, delivery, control_request="pause").run())[-1]
        record = killed.queue.get("it")
        assert (last.state, record.state, record.winner, record.counts["complete"]) == ("paused", "paused", 0, 1)
        assert killed.records(StudyClosed)[-1].state == "paused"
        assert not engine.jobs


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


def test_a_full_home_pauses_the_study(desk, monkeypatch):
    """At the home's quota the study is paused with the reason, as at a full disk, and goes on when there is room."""
    monkeypatch.setattr(quota, "_LEAST_S", 0.0)
    monkeypatch.setattr(quota, "_SHARE", 0)
    supervisor = desk.supervisor(FakeEngine(scores(3.0, 2.0)), trials=3)
    watched = HomeQuota(desk.home.folder, 50_000_000)
    supervisor._control._quota = watched
    ended = None
    for event in supervisor.run():
        if isinstance(event, TrialEnded):
            (desk.home.folder / "large").write_bytes(bytes(50_000_000))
        ended = event
    assert (ended.state, "quotas.home is 0.05 GB" in ended.reason) == ("paused", True)
    assert desk.queue.get("it").state == "paused"
    (desk.home.folder / "large").unlink()
    assert desk.run(FakeEngine(scores(3.0, 2.0)), trials=3)[-1].state == "finished"
