"""Paused trials of a study: promotion, the end of those that stay paused, kills; with scripted trials."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from desk import FILE, Desk, scores
from fake_engine import FakeEngine, training
from small_studies import study_of

from pipelines.engines.base import Finished
from pipelines.supervisor import search_loop
from pipelines.supervisor.events import Noted, TrialBegan, TrialEnded, TrialPaused
from pipelines.training.messages import RungReached, TrialOutcome
from pipelines.workspace.home import Home
from tracking.outbox.records import EpochsRecorded, TrialFinished, TrialStarted
from tracking.outbox.records import TrialPaused as PauseRecorded
from tracking.store.database import Store

EPOCHS = 9
SCORES = [0.5, 0.9, 0.2, 0.7, 0.4, 0.8, 0.1, 0.6, 0.3]


def asha(trials=9, budget="", fleet="off", epochs=EPOCHS, seeds=1):
    text = FILE.format(fleet=fleet, trials=trials, pruner="asha", sampler="random", budget=budget, keep=3, selection="")
    return study_of(text.replace("epochs: 3", f"epochs: {epochs}") + f"training: {{seeds: {seeds}}}\n")


def curve(number, epochs=EPOCHS):
    """Return the scores of a trial: its own one, better by a little with each epoch."""
    return [SCORES[number % 9] + number // 9 - 0.001 * epoch for epoch in range(epochs)]


def script(job):
    return (yield from training(job, curve(job.number, int(job.values["epochs"]))))


def with_trainer(name):
    """Return the script of trials with results of a trainer."""

    def trained_so(job):
        outcome = yield from training(job, curve(job.number, int(job.values["epochs"])))
        if isinstance(outcome, TrialOutcome):
            return replace(outcome, result=replace(outcome.result, trainer=name))
        return replace(outcome, trainer=name)

    return trained_so


def find(events, kind):
    return [event for event in events if isinstance(event, kind)]


def trained(engine):
    """Return how often each trial was started."""
    return Counter(job.number for job in engine.jobs)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_best_third_of_a_rung_goes_on(desk, workers):
    """Of nine trials that pause after three epochs the best ones train to the end; the others end as pruned."""
    engine = FakeEngine(script, workers=workers, test_scores={})
    events = desk.run(engine, study=asha())
    trials = desk.trials()
    complete = {trial.number for trial in trials if trial.state == "complete"}
    assert {6, 2} <= complete
    assert len(complete) <= 4 + workers
    assert Counter(trial.state for trial in trials) == {"complete": len(complete), "pruned": 9 - len(complete)}
    assert {trial.epochs for trial in trials if trial.state == "pruned"} == {3}
    assert {trial.epochs for trial in trials if trial.state == "complete"} == {EPOCHS}
    assert events[-1].winner == 6
    assert len(find(events, TrialEnded)) == 9
    resumed = [event.number for event in find(events, TrialBegan) if event.resumed_after]
    assert {event.resumed_after for event in find(events, TrialBegan)} <= {0, 3}
    assert set(resumed) <= {event.number for event in find(events, TrialPaused)}
    assert not list(desk.home.locate_study("it").glob("trials/*/*.checkpoint*"))
    assert not list(desk.home.locate_study("it").glob("trials/*/paused.json"))


def test_what_a_trial_reached_is_stored_while_it_is_paused(desk):
    """Its row has the state, the score, the epochs and the curve; MLflow has its epochs once."""
    supervisor = desk.supervisor(FakeEngine(script), study=asha())
    for event in supervisor.run():
        if isinstance(event, TrialPaused) and event.number == 1:
            supervisor.pause()
    paused = desk.trials()[1]
    assert (paused.state, paused.value, paused.epochs, paused.best_epoch) == ("paused", 0.9 - 0.002, 3, 3)
    assert paused.reason == "paused after epoch 3 of 9"
    assert event.trials == {"paused": 2}
    assert [record.number for record in desk.records(PauseRecorded)] == [0, 1]
    desk.run(FakeEngine(script, test_scores={}), study=asha())
    assert not [trial for trial in desk.trials() if not trial.has_ended]
    for number in range(9):
        of_trial = [record.epochs for record in desk.records(EpochsRecorded) if record.number == number]
        numbers = [epoch for epochs in of_trial for epoch, _, _ in epochs]
        assert numbers == sorted(set(numbers)), "no epoch is recorded twice"
    ends = Counter(record.number for record in desk.records(TrialFinished))
    assert ends == dict.fromkeys(range(9), 1)
    started = [record for record in desk.records(TrialStarted) if record.resumed]
    assert {record.number for record in started} <= {record.number for record in desk.records(PauseRecorded)}


def test_a_study_of_one_trial_completes_it(desk):
    """The number that goes on is rounded up at the end: at least one trial is complete."""
    desk.run(FakeEngine(script, test_scores={}), study=asha(trials=1))
    assert [(trial.state, trial.epochs) for trial in desk.trials()] == [("complete", EPOCHS)]


def test_a_target_ends_paused_trials(desk):
    """Once the target is reached nothing more is trained."""
    engine = FakeEngine(script, test_scores={})
    last = desk.run(engine, study=asha(trials=9, budget=", target: 0.2"))[-1]
    assert last.reason == "target 0.2 reached"
    assert Counter(trial.state for trial in desk.trials())["complete"] == 1
    assert not [trial for trial in desk.trials() if not trial.has_ended]


def test_a_paused_trial_reaches_the_target(desk):
    """It trains to its end, where it has no worse a score, and no other trial begins or goes on."""
    engine = FakeEngine(script, test_scores={})
    last = desk.run(engine, study=asha(trials=9, budget=", target: 0.6"))[-1]
    assert (last.reason, last.winner) == ("target 0.6 reached", 0)
    assert [(trial.state, trial.epochs) for trial in desk.trials()] == [("complete", EPOCHS)]


def test_a_stopped_study_completes_one_trial(desk):
    """A stop lets the best paused trial go on where none is complete, and ends all others."""
    supervisor = desk.supervisor(FakeEngine(script, test_scores={}), study=asha())
    for event in supervisor.run():
        if isinstance(event, TrialPaused) and event.number == 1:
            supervisor.stop()
    assert [(trial.state, trial.epochs) for trial in desk.trials()] == [("complete", EPOCHS), ("pruned", 3)]
    assert event.winner == 0


@pytest.mark.parametrize("ends", ["stop", "time"])
def test_a_paused_leader_trains_to_its_end(desk, ends):
    """A worse trial that is complete when the search ends early does not win by that."""

    def stops_early(job):  # trial 0 ends by itself before the rung
        return (yield from training(job, [0.5, 0.4] if job.number == 0 else [0.2 + job.number / 10] * EPOCHS))

    now = [0.0]
    study = asha(budget=", time: 1000s" if ends == "time" else "")
    supervisor = desk.supervisor(FakeEngine(stops_early, test_scores={}), study=study, clock=lambda: now[0])
    notes = []
    for event in supervisor.run():
        notes += [event.note] if isinstance(event, Noted) else []
        if isinstance(event, TrialPaused) and event.number == 1:
            now[0] += 2000
            if ends == "stop":
                supervisor.stop()
    assert [(trial.state, trial.epochs) for trial in desk.trials()] == [("complete", 2), ("complete", EPOCHS)]
    assert event.winner == 1
    assert notes == ["t001 leads and is paused, and only a complete trial can win: it trains to its end"]


def test_a_leader_pauses_no_more(desk):
    """Also where rungs are still to come; nor does a trial that goes on in the last of the time."""
    supervisor = desk.supervisor(FakeEngine(script, test_scores={}), study=asha(epochs=27))
    paused = []
    for event in supervisor.run():
        if isinstance(event, TrialPaused):
            paused.append(event.number)
            supervisor.stop()
    assert paused == [0]
    assert [(trial.state, trial.epochs) for trial in desk.trials()] == [("complete", 27)]


def test_a_paused_trial_that_is_no_leader_ends(desk):
    """Nothing more is trained after an early end where the best trial is complete."""

    def stops_early(job):
        return (yield from training(job, [0.1, 0.1] if job.number == 0 else [0.2 + job.number / 10] * EPOCHS))

    supervisor = desk.supervisor(FakeEngine(stops_early, test_scores={}), study=asha())
    for event in supervisor.run():
        if isinstance(event, TrialPaused) and event.number == 1:
            supervisor.stop()
    assert [(trial.state, trial.epochs) for trial in desk.trials()] == [("complete", 2), ("pruned", 3)]
    assert event.winner == 0


def in_seconds(job, scores=None):
    """Train as `script` does, with a second from epoch to epoch, and a minute before the first."""
    ended = yield from training(job, scores or curve(job.number))
    result = ended.result if isinstance(ended, TrialOutcome) else ended
    epochs = tuple(replace(done, at_ms=1000 * (60 + done.epoch)) for done in result.epochs)
    timed = replace(result, epochs=epochs, seconds=60.0 + len(epochs))
    return replace(ended, result=timed) if isinstance(ended, TrialOutcome) else timed


@pytest.mark.parametrize(("seeds", "at_s", "trials"), [(1, 993.5, 3), (1, 994.5, 2), (2, 984.5, 3), (2, 985.5, 2)])
def test_the_last_of_the_time_is_for_the_best_paused_trials(desk, seeds, at_s, trials):
    """Where a new trial would not get to its end, the best paused one goes on instead.

    It lacks six epochs, 6 s; with a second seed nine more.
    """
    now, notes = [0.0], []
    study = asha(budget=", time: 1000s", seeds=seeds)
    for event in desk.supervisor(FakeEngine(in_seconds, test_scores={}), study=study, clock=lambda: now[0]).run():
        notes += [event.note] if isinstance(event, Noted) else []
        if isinstance(event, TrialPaused) and event.number == 1:
            now[0] = at_s
        if isinstance(event, TrialEnded) and event.state == "complete":
            now[0] = 1001.0
    assert len(desk.trials()) == trials
    assert [note.partition(":")[0] for note in notes] == ["budget.time is nearly used up"] * (trials == 2)
    assert Counter(trial.state for trial in desk.trials()) == {"complete": 1, "pruned": trials - 1}


def test_the_last_of_the_time_is_for_contenders_alone(desk):
    """A paused trial that was behind the best complete one after as many epochs goes on for no other reason."""

    def of_two(job):  # trial 0 ends early, better at the rung than all that pause
        scores = [0.1, 0.1] if job.number == 0 else [0.2 + job.number / 10] * EPOCHS
        return (yield from in_seconds(job, scores))

    now = [0.0]
    study = asha(trials=4, budget=", time: 1000s")
    for event in desk.supervisor(FakeEngine(of_two, test_scores={}), study=study, clock=lambda: now[0]).run():
        if isinstance(event, TrialPaused) and event.number == 1:
            now[0] = 999.5
        assert not isinstance(event, Noted)
    assert len(desk.trials()) == 4


def stamp(desk):
    """Let the epochs that trials have left take a second each."""
    for file in desk.home.locate_study("it").glob("trials/*/fold-0-epochs.jsonl"):
        epochs = [json.loads(line) for line in file.read_text().splitlines()]
        for done in epochs:
            done["at_ms"] = 1000 * (60 + done["epoch"])
        file.write_text("".join(json.dumps(done) + "\n" for done in epochs))


def test_a_study_that_goes_on_knows_how_long_its_epochs_take(desk):
    """At the end of the time it need not train another trial to find out, as one that was never paused need not."""
    now, study = [0.0], asha(budget=", time: 1000s")
    supervisor = desk.supervisor(FakeEngine(in_seconds), study=study, clock=lambda: now[0])
    for event in supervisor.run():
        if isinstance(event, TrialPaused) and event.number == 1:
            now[0] = 994.5
            supervisor.pause()
    stamp(desk)
    events = desk.run(FakeEngine(in_seconds, test_scores={}), study=study, clock=lambda: now[0])
    assert find(events, TrialBegan)[0].number == 0, "the best paused trial, and no new one"
    assert [event.note.partition(":")[0] for event in find(events, Noted)] == ["budget.time is nearly used up"]


@pytest.mark.parametrize("night_after", [0, 1])
def test_a_night_between_two_epochs_is_no_long_epoch(desk, night_after):
    """A study that was paused overnight goes on with new trials, though its first epochs lie hours apart."""

    def overnight(job):
        ended = yield from in_seconds(job)
        result = ended.result if isinstance(ended, TrialOutcome) else ended
        late = [replace(done, at_ms=done.at_ms + 30_000_000 * (done.epoch > night_after)) for done in result.epochs]
        slept = replace(result, epochs=tuple(late))
        return replace(ended, result=slept) if isinstance(ended, TrialOutcome) else slept

    events = desk.run(FakeEngine(overnight, test_scores={}), study=asha(budget=", time: 1000s"), clock=lambda: 0.0)
    assert find(events, Noted) == []
    assert len(desk.trials()) == 9


def test_a_cancelled_study_cancels_paused_trials(desk):
    """Paused trials end with their study."""
    supervisor = desk.supervisor(FakeEngine(script), study=asha())
    for event in supervisor.run():
        if isinstance(event, TrialPaused) and event.number == 1:
            supervisor._control.halt = "cancel"
    assert {trial.state for trial in desk.trials()} == {"cancelled"}
    assert all(trial.seconds >= 0.5 for trial in desk.trials()), "as long as until the pause"
    assert event.trials == {"cancelled": 2}


@pytest.fixture
def _requests_at_once(monkeypatch):
    """Let the supervisor read requests whenever it can, and not once a second: trials here end at once."""
    monkeypatch.setattr("pipelines.supervisor.study_control._READ_REQUESTS_EVERY_S", -1.0)


@pytest.mark.usefixtures("_requests_at_once")
@pytest.mark.parametrize("cut", [1, 4])
def test_a_pause_between_two_trials_ends_no_paused_trial(desk, tmp_path_factory, cut):
    """Read when no trial runs, it leaves all as it is: the study goes on as one that was never paused."""
    for event in desk.supervisor(FakeEngine(script), study=asha()).run():
        if isinstance(event, TrialPaused) and event.number == cut:
            desk.queue.set_control_request("it", "pause")
    assert event.state == "paused"
    assert event.trials["paused"] == 2
    desk.run(FakeEngine(script, test_scores={}), study=asha())
    with Store.open(folder := tmp_path_factory.mktemp("whole")) as store:
        whole = Desk(store, Home(folder, str(folder)))
        whole.run(FakeEngine(script, test_scores={}), study=asha())
        assert [(trial.state, trial.epochs) for trial in desk.trials()] == [
            (trial.state, trial.epochs) for trial in whole.trials()
        ]


@pytest.mark.usefixtures("_requests_at_once")
def test_a_cancellation_between_two_trials_cancels_what_is_paused(desk):
    """Also where it is read when no trial runs."""
    for event in desk.supervisor(FakeEngine(script), study=asha()).run():
        if isinstance(event, TrialPaused) and event.number == 1:
            desk.queue.set_control_request("it", "cancel")
    assert event.trials == {"cancelled": 2}
    assert {trial.state for trial in desk.trials()} == {"cancelled"}
    assert all(trial.seconds >= 0.5 for trial in desk.trials()), "as long as until the pause"


def test_a_larger_budget_goes_on_after_the_end(desk):
    """The trials of the first run count at the rungs of the second."""
    desk.run(FakeEngine(script, test_scores={}), study=asha(trials=9))
    before = {trial.number: trial.state for trial in desk.trials()}
    desk.run(FakeEngine(script, test_scores={}), study=asha(trials=12))
    states = {trial.number: trial.state for trial in desk.trials()}
    assert {number: states[number] for number in before} == before
    assert len(states) == 12
    assert all(trial.has_ended for trial in desk.trials())


def test_without_a_pruner_that_pauses_every_paused_trial_goes_on(desk):
    """A study that goes on with another pruner trains its paused trials to their ends."""
    supervisor = desk.supervisor(FakeEngine(script), study=asha())
    for event in supervisor.run():
        if isinstance(event, TrialPaused) and event.number == 1:
            supervisor.pause()
    desk.run(FakeEngine(script, test_scores={}), trials=3, epochs=EPOCHS)
    assert [(trial.state, trial.epochs) for trial in desk.trials()] == [("complete", EPOCHS)] * 3


def test_a_trial_that_cannot_be_paused_falls_back_to_the_median(desk):
    """A model's own training keeps its state to itself; a note says what happens instead."""

    def without_checkpoint(job):
        trial = script(job)
        answer = None
        while True:
            try:
                message = trial.send(answer)
            except StopIteration as end:
                return end.value
            if isinstance(message, RungReached):
                message = RungReached(message.epoch, message.best, can_pause=False)
            answer = yield message

    events = desk.run(FakeEngine(without_checkpoint, test_scores={}), study=asha())
    assert not find(events, TrialPaused)
    notes = [event.note for event in events if type(event).__name__ == "Noted"]
    assert len(notes) == 1
    assert "cannot be paused" in notes[0]
    assert Counter(trial.state for trial in desk.trials())["complete"] >= 2


@pytest.mark.long
def test_paused_trials_survive_a_kill_at_any_moment(desk):
    """A supervisor that ends at any event leaves a study whose next one trains no epoch again."""
    starts = Counter()
    for cut in range(1, 60):
        engine = FakeEngine(script, workers=2, test_scores={})
        events = desk.supervisor(engine, study=asha()).run()
        ended = None
        for index, event in enumerate(events):
            ended = event
            if index >= 2 and index >= cut % 7 + 3 and cut < 40:
                break
        events.close()
        starts += trained(engine)
        if type(ended).__name__ == "StudyEnded":
            break
    trials = desk.trials()
    assert len(trials) == 9
    assert all(trial.has_ended for trial in trials)
    assert 6 in {trial.number for trial in trials if trial.state == "complete"}
    assert Counter(record.number for record in desk.records(TrialFinished)) == dict.fromkeys(range(9), 1)


class _KilledError(Exception):
    """The supervisor is killed."""


@pytest.mark.parametrize("number", [0, 6])
def test_a_kill_before_the_end_is_recorded_costs_no_curve(desk, tmp_path_factory, number):
    """What a worker left when nobody listened ranks at the rungs, and informs the sampler, as it would have."""

    def kill(event):
        if isinstance(event, Finished) and event.job == f"trial-{number}":
            raise _KilledError

    with pytest.raises(_KilledError):
        desk.run(FakeEngine(script, on_event=kill), study=asha())
    desk.run(FakeEngine(script, test_scores={}), study=asha())
    with Store.open(folder := tmp_path_factory.mktemp("whole")) as store:
        whole = Desk(store, Home(folder, str(folder)))
        whole.run(FakeEngine(script, test_scores={}), study=asha())
        assert desk.curves() == whole.curves()
    assert all(desk.curves())


@pytest.fixture
def planned(monkeypatch):
    """Return a list that gets the number of trials of each plan of fleets."""
    found = []
    real = search_loop.FleetPlanner

    def plan(*args, trials, **settings):
        found.append(trials)
        return real(*args, trials=trials, **settings)

    monkeypatch.setattr(search_loop, "FleetPlanner", plan)
    return found


def test_a_paused_fleet_keeps_its_plan(desk, planned):
    """A checkpoint is of one program: with a larger budget the programs are planned as for the first one."""
    fleet_script = with_trainer("fleet")
    supervisor = desk.supervisor(FakeEngine(fleet_script), study=asha(fleet=2))
    for event in supervisor.run():
        if isinstance(event, TrialPaused):
            supervisor.pause()
    desk.run(FakeEngine(fleet_script, test_scores={}), study=asha(trials=30, fleet=2))
    assert planned == [9, 9]
    assert len(desk.trials()) == 30


def test_an_interrupted_study_keeps_its_plan(desk, planned):
    """Its trials train in the programs of their checkpoints; only a new budget is planned for anew."""
    supervisor = desk.supervisor(FakeEngine(scores(1.0)), trials=9, fleet="2")
    for event in supervisor.run():
        if isinstance(event, TrialEnded):
            supervisor.pause()
    desk.run(FakeEngine(scores(1.0)), trials=9, fleet="2")
    desk.run(FakeEngine(scores(1.0)), trials=12, fleet="2")
    assert planned == [9, 9, 3]


@pytest.mark.parametrize("slots", [2, 4])
def test_fleets_take_paused_trials(desk, slots):
    """A slot is given to a paused trial or to a new one; the result is that of workers."""
    engine = FakeEngine(script, test_scores={})
    desk.run(engine, study=asha(fleet=slots))
    assert engine.fleets
    assert all(trial.has_ended for trial in desk.trials())
    assert {6, 2} <= {trial.number for trial in desk.trials() if trial.state == "complete"}
