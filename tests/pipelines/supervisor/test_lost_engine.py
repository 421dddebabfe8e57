"""A study whose engine is lost: it waits, goes on by itself, and can be paused or cancelled meanwhile."""

from __future__ import annotations

import pytest
from desk import FILE, scores
from fake_engine import FakeEngine
from small_studies import study_of

from pipelines.engines.base import EngineLostError, Reported
from pipelines.supervisor import lost_engine
from pipelines.supervisor.events import EngineLost, EngineRestored, SearchStarted, StudyEnded, TrialBegan
from tracking.outbox.records import TrialFinished

LOST = "the cluster was lost"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """Let no test wait."""
    monkeypatch.setattr(lost_engine, "_FIRST_PAUSE_S", 0.001)


def is_epoch(event, number):
    return isinstance(event, Reported) and event.job == f"trial-{number}"


class Clock:
    """A clock that goes on by a millisecond a look, and by as much as is added."""

    def __init__(self):
        self._now_s = 0.0

    def __call__(self):
        self.add(0.001)
        return self._now_s

    def add(self, seconds):
        self._now_s += seconds


class Losses:
    """Losses of an engine at chosen events, each for a number of failed restarts of 1,000 s."""

    def __init__(self, choose, *, failed_restarts=0, times=1, passes=lambda seconds: None):
        self._passes = passes
        self._choose = choose
        self._times = times
        self._failed_restarts = failed_restarts
        self.restarts = 0

    def on_event(self, event):
        if self._times and self._choose(event):
            self._times -= 1
            raise EngineLostError(LOST)

    def on_restart(self):
        self.restarts += 1
        self._passes(1000.0)
        if self._failed_restarts:
            self._failed_restarts -= 1
            raise EngineLostError("nothing answers there")

    def engine(self, **choices):
        return FakeEngine(scores(3.0, 2.0, 1.0), on_event=self.on_event, on_restart=self.on_restart, **choices)


def study_with(reconnect, trials=3):
    words = {"fleet": "off", "trials": trials, "pruner": "none", "sampler": "random", "budget": "", "keep": 1}
    text = FILE.format(**words, selection="")
    return study_of(text.replace("workers: 1", f"workers: 1, engine: ray, reconnect: {reconnect}"))


def names_of(events):
    return [type(event) for event in events]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_study_goes_on_when_its_engine_is_back(desk, workers):
    """Exactly the trials of the budget end, none twice, at the cost of no attempt; only those that ran start again."""
    losses = Losses(lambda event: is_epoch(event, 1), failed_restarts=3)
    engine = losses.engine(workers=workers)
    events = desk.run(engine, trials=5)
    assert (events[-1].state, events[-1].reason, events[-1].trials) == ("finished", "5 trials", {"complete": 5})
    assert losses.restarts == 4
    lost = names_of(events).index(EngineLost)
    assert (names_of(events).count(EngineLost), events[lost].reason) == (1, LOST)
    assert events[lost].seconds == pytest.approx(3600.0, abs=1.0)
    assert names_of(events)[lost + 1 : lost + 3] == [EngineRestored, SearchStarted]
    started = [job.number for job in engine.jobs]
    again = [number for number in range(5) if started.count(number) > 1]
    running = {event.number for event in events[:lost] if isinstance(event, TrialBegan)}
    assert set(again) <= running
    assert 1 in again
    assert [record.number for record in desk.records(TrialFinished)].count(1) == 1
    assert not any("attempt" in trial.reason for trial in desk.trials())


def test_what_it_waits_for_can_be_read_meanwhile(desk):
    """The queue has the reason of the wait while it lasts, and none afterwards."""
    seen = []
    losses = Losses(lambda event: is_epoch(event, 0), failed_restarts=1)
    engine = FakeEngine(
        scores(1.0),
        on_event=losses.on_event,
        on_restart=lambda: (seen.append(desk.queue.get("it")), losses.on_restart()),
    )
    for event in desk.supervisor(engine, trials=1).run():
        if isinstance(event, TrialBegan) and seen:
            assert desk.queue.get("it").reason == ""
    assert [(record.state, record.reason) for record in seen] == [
        ("running", f"waiting for it to come back: {LOST}"),
        ("running", "waiting for it to come back: nothing answers there"),
    ]


def test_a_wait_that_lasts_too_long_pauses_the_study(desk):
    """The reason names the key; the same study run again trains what is left."""
    losses = Losses(lambda event: is_epoch(event, 1), failed_restarts=10**6)
    last = desk.run(losses.engine(), study=study_with("100ms"))[-1]
    assert (last.state, last.trials) == ("paused", {"complete": 1, "running": 1})
    reason = "nothing answers there, and not within 0.1s (resources.reconnect); run the same file again when it is back"
    assert last.reason == f"{reason}: no trial is lost"
    assert (desk.queue.get("it").state, desk.queue.get("it").reason) == ("paused", last.reason)
    engine = FakeEngine(scores(3.0, 2.0, 1.0))
    assert desk.run(engine, study=study_with("100ms"))[-1].trials == {"complete": 3}
    assert [job.number for job in engine.jobs] == [1, 2]


def test_a_study_may_wait_for_nothing(desk):
    """With `off` the loss pauses the study at once."""
    losses = Losses(lambda event: is_epoch(event, 1))
    events = desk.run(losses.engine(), study=study_with("off"))
    assert EngineLost not in names_of(events)
    assert losses.restarts == 0
    assert events[-1].state == "paused"
    assert events[-1].reason == f"{LOST}; run the same file again when it is back: no trial is lost"


def test_an_engine_that_is_always_lost_before_a_result_is_given_up(desk):
    """The limit counts from the first loss to the next result, however often the engine is back in between."""
    clock = Clock()
    losses = Losses(lambda event: is_epoch(event, 1), times=10**6, passes=clock.add)
    events = list(desk.supervisor(losses.engine(), study=study_with("1h"), clock=clock).run())
    assert losses.restarts == 4
    assert events[-1].state == "paused"
    assert events[-1].reason.startswith(f"{LOST}, and not within 1h00m (resources.reconnect)")
    assert events[-1].trials == {"complete": 1, "running": 1}


@pytest.mark.parametrize(("request_", "state"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_request_ends_the_wait(desk, monkeypatch, request_, state):
    """`pause` and `cancel` do during the wait what they do at any other time."""
    monkeypatch.setattr("pipelines.supervisor.study_control._READ_REQUESTS_EVERY_S", 0.0)
    losses = Losses(lambda event: is_epoch(event, 1), failed_restarts=10**6)

    def on_restart():
        desk.queue.set_control_request("it", request_)
        losses.on_restart()

    engine = FakeEngine(scores(3.0, 2.0, 1.0), on_event=losses.on_event, on_restart=on_restart)
    last = desk.run(engine, trials=3)[-1]
    assert (last.state, last.is_requested) == (state, True)
    assert losses.restarts == 1
    assert [trial.state for trial in desk.trials()] == ["complete", "running" if state == "paused" else "cancelled"]


def test_ctrl_c_ends_the_wait(desk):
    """What a signal handler calls pauses the study; nothing is restarted."""
    losses = Losses(lambda event: is_epoch(event, 1), failed_restarts=10**6)
    supervisor = desk.supervisor(losses.engine(), trials=3)
    for event in supervisor.run():
        if isinstance(event, EngineLost):
            supervisor.pause()
    assert isinstance(event, StudyEnded)
    assert (event.state, event.reason, losses.restarts) == ("paused", "resume it to go on", 0)


def test_the_wait_is_no_working_time(desk):
    """A budget of time counts what was worked: an hour without a cluster takes nothing of it."""
    clock = Clock()
    losses = Losses(lambda event: is_epoch(event, 1), failed_restarts=2, passes=clock.add)
    last = list(desk.supervisor(losses.engine(), trials=3, clock=clock).run())[-1]
    assert last.state == "finished"
    assert last.seconds > 3000
    assert 0 < desk.queue.get("it").elapsed_s < 100


def test_a_loss_while_the_winner_is_scored_trains_nothing_again(desk):
    """The search has ended: after the wait only what was interrupted is done again."""
    losses = Losses(lambda event: not event.job.startswith("trial-"))
    engine = losses.engine(test_scores={"loss": 1.0})
    events = desk.run(engine, trials=3)
    assert names_of(events).count(EngineRestored) == 1
    assert [job.number for job in engine.jobs] == [0, 1, 2]
    assert events[-1].state == "finished"
