"""Fleets as the supervisor runs them, with scripted trials on a real database, and the choice of who goes in one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from desk import SUMMARY, Desk, scores
from fake_engine import Ends, FakeEngine, training
from small_studies import study_of

from pipelines.supervisor.events import TrialBegan, TrialEnded
from pipelines.supervisor.fleet_planner import FleetPlanner, find_ineligible_reason
from pipelines.training.fleet.envelope import find_envelope, merge_envelopes
from pipelines.training.fleet.grouping import (
    Sizes,
    count_fleets_at_once,
    estimate_alone_s,
    estimate_fleet_s,
    plan_programs,
)
from pipelines.training.fleet.member import build_member
from pipelines.workspace.home import Home
from tracking.outbox.records import TrialFinished, TrialStarted

MEMORY = 10**10


@pytest.fixture
def desk(store, tmp_path):
    return Desk(store, Home(tmp_path / "home", str(tmp_path / "home")))


@pytest.fixture(autouse=True)
def _skip_plots(monkeypatch):
    """Leave the report unwritten: its pictures take longer than the studies here."""
    monkeypatch.setattr("pipelines.recording.recorder.draw_plots", lambda folder, report: ())


def study(space="", *, resources="fleet: 4", extra=""):
    return study_of(
        "study: it\ndata: {source: data.csv, target: y}\nmodel: mlp\n"
        f"space: {{epochs: 3{space}}}\nresources: {{{resources}}}\n{extra}"
    )


def make_planner(study, *, trials=50, workers=2, summary=SUMMARY, memory=MEMORY):
    return FleetPlanner(study, summary, trials=trials, workers=workers, memory_bytes=memory)


# The supervisor ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_budget_gives_exactly_that_many_trials(desk, workers):
    """N trials of budget are N trials, each started and ended once, at most as many at a time as there are slots."""
    engine = FakeEngine(scores(3.0, 2.0, 1.0, 4.0), workers=workers)
    events = desk.run(engine, trials=11, fleet="3")
    assert [trial.number for trial in desk.trials()] == list(range(11))
    assert sorted(event.number for event in events if isinstance(event, TrialBegan)) == list(range(11))
    assert sorted(event.number for event in events if isinstance(event, TrialEnded)) == list(range(11))
    assert (events[-1].state, events[-1].winner, events[-1].trials) == ("finished", 2, {"complete": 11})
    assert {fleet.slots for fleet in engine.fleets} == {3}
    assert len(desk.records(TrialStarted)) == len(desk.records(TrialFinished)) == 11


def test_a_free_slot_is_filled_at_once(desk):
    """A trial that ends early makes room for the next one while the others of its fleet go on."""
    heard = []

    def script(job):
        heard.append(f"begin {job.number}")
        result = yield from training(job, [1.0] * (2 if job.number == 1 else 6))
        heard.append(f"end {job.number}")
        return result

    engine = FakeEngine(script)
    desk.run(engine, trials=3, fleet="2")
    assert len(engine.fleets) == 1
    assert heard == ["begin 0", "begin 1", "end 1", "begin 2", "end 0", "end 2"]


def test_pruning_reaches_the_members_of_a_fleet(desk):
    """The pruner ends trials in a fleet as it ends others, and the rest goes on."""
    engine = FakeEngine(scores(1.0, 1.1, 9.0, 9.0, 9.0, 9.0))
    last = desk.run(engine, trials=6, fleet="1", pruner="median")[-1]
    assert last.trials.get("pruned", 0) >= 1
    assert sum(last.trials.values()) == 6


def test_a_fleet_that_dies_loses_no_trial(desk):
    """A fleet whose worker dies is tried again in smaller ones, and the guilty trial in the end alone."""
    engine = FakeEngine(_deadly(3))
    events = desk.run(engine, trials=6, fleet="4")
    assert events[-1].trials == {"complete": 5, "failed": 1}
    assert [trial.number for trial in desk.trials() if trial.state == "failed"] == [3]
    assert [fleet.slots for fleet in engine.fleets][:2] == [4, 2]
    assert sorted(event.number for event in events if isinstance(event, TrialEnded)) == list(range(6))


def _deadly(number):
    def script(job):
        if job.number == number:
            raise Ends("died", "the worker process was killed by SIGSEGV")
        return (yield from training(job, [2.0, 1.0]))

    return script


def test_trials_of_a_fleet_continue_after_a_pause(desk):
    """A study that is paused while a fleet trains runs its trials again, under their own numbers."""
    supervisor = None

    def on_event(event):
        if len(desk.trials()) >= 2:
            supervisor.pause()

    engine = FakeEngine(scores(1.0), on_event=on_event)
    supervisor = desk.supervisor(engine, trials=5, fleet="2")
    assert list(supervisor.run())[-1].state == "paused"
    assert engine.stopped == ["fleet-1"]
    again = FakeEngine(scores(1.0))
    last = desk.run(again, trials=5, fleet="2")[-1]
    assert last.trials == {"complete": 5}
    assert [trial.number for trial in desk.trials()] == list(range(5))


# Who trains together -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (study(resources="fleet: off"), "resources.fleet is off"),
        (study(extra="training: {loss: dice}\n"), "whole batch"),
        (study(extra="limits: {model_memory: 1GB}\n"), "limits.model_memory"),
        (study(", optimizer: [lamb, muon]"), "each weight by itself"),
        (study(resources="fleet: auto", extra="budget: {trials: 1}\n"), "one by one"),
    ],
    ids=["off", "loss", "memory", "optimizers", "few"],
)
def test_a_study_without_fleets_has_a_reason(made, reason):
    """Where no trial can train in a fleet, or none should, the reason is known."""
    found = make_planner(made, trials=made.spec.budget.trials)
    assert reason in found.ineligible_reason
    assert reason in found.describe()
    found.add(0, {"epochs": 3})
    assert found.choose_fleet() is None
    assert found.pop_single() == ((0, {"epochs": 3}), found.ineligible_reason)


def test_folds_and_large_data_train_alone():
    """Each fold has other data, and data beyond memory is read batch by batch."""
    assert "fold" in make_planner(study(), summary=replace(SUMMARY, folds=3)).ineligible_reason
    many = replace(SUMMARY, rows={"train": 10**9, "validation": 4, "test": 0})
    assert "memory" in make_planner(study(), summary=many).ineligible_reason


def test_other_families_and_code_train_alone():
    """Only the `mlp` family has programs."""
    assert find_ineligible_reason(study()) == ""
    assert "mlp" in find_ineligible_reason(study_of("study: it\ndata: {source: sklearn:digits}\nmodel: cnn\n"))


def test_a_trial_that_does_not_fit_goes_alone_and_the_others_together():
    """One optimizer that looks at whole layers keeps its trials out, and no others."""
    found = make_planner(study(", optimizer: [adam, lamb]"))
    found.add(0, {"epochs": 3, "optimizer": "lamb"})
    found.add(1, {"epochs": 3, "optimizer": "adam"})
    (trial, reason) = found.pop_single()
    assert trial[0] == 0
    assert "lamb" in reason
    envelope, _ = found.choose_fleet()
    assert [number for number, _ in found.take(envelope, 5)] == [1]


def test_a_trial_outside_the_sample_gets_a_new_program():
    """A trial that no program fits is not refused."""
    found = make_planner(study(", units: 16"))
    found.add(0, {"epochs": 3, "units": 700, "activation": "gelu"})
    envelope, slots = found.choose_fleet()
    assert envelope.width >= 700
    assert "gelu" in envelope.activations
    assert slots >= 1


def test_slots_follow_the_sampler_and_the_memory():
    """TPE has few trials under way, random search many, a number is taken as it is, and memory bounds all."""
    slots = {}
    for sampler in ("tpe", "random"):
        found = make_planner(study(resources="fleet: auto", extra=f"search: {{sampler: {sampler}}}\n"))
        found.add(0, {"epochs": 3})
        slots[sampler] = found.choose_fleet()[1]
    assert slots["tpe"] < slots["random"]
    found = make_planner(study(resources="fleet: 64"))
    found.add(0, {"epochs": 3})
    assert found.choose_fleet()[1] == 64
    found = make_planner(study(resources="fleet: 64"), memory=10**6)
    found.add(0, {"epochs": 3})
    assert 1 <= found.choose_fleet()[1] < 64


# Programs ----------------------------------------------------------------------------------------------------


def members(**choices):
    widths, batches = choices.get("units", [16]), choices.get("batch_size", [32])
    return [
        build_member({"units": width, "batch_size": batch, "depth": 2, "epochs": 50}, frozenset())
        for width in widths
        for batch in batches
    ]


def test_every_trial_has_a_program_that_holds_it():
    """Whatever the division, no trial of the space is without a program."""
    some = members(units=[8, 16, 60, 130, 512], batch_size=[16, 64, 256])
    programs = plan_programs(some, Sizes(rows=20_000, inputs=30, outputs=2, trials=500))
    assert 1 < len(programs) <= 4
    assert all(any(program.holds(member) for program in programs) for member in some)


def test_a_program_more_has_to_pay():
    """A short study shares one program; a long one over wide networks gets several."""
    some = members(units=[16, 256])
    short, long = (Sizes(rows=200, inputs=30, outputs=1, trials=trials) for trials in (4, 2000))
    assert len(plan_programs(some, short)) == 1
    assert len(plan_programs(some, long)) > 1


def test_fleets_pay_for_many_small_trials_and_not_for_one():
    """What decides is the time of one core, compiling included."""
    some = members()
    many, one = (Sizes(rows=400, inputs=30, outputs=1, trials=trials) for trials in (64, 1))
    assert estimate_fleet_s(some, many) < estimate_alone_s(some, many)
    assert estimate_fleet_s(some, one) > estimate_alone_s(some, one)


def test_a_second_fleet_has_to_train_for_as_long_as_it_takes_to_compile():
    """A short study stays with one fleet, however many workers there are; a long one uses them all."""
    some = members()
    short, long = (Sizes(rows=400, inputs=30, outputs=1, trials=trials) for trials in (8, 5000))
    assert [count_fleets_at_once(some, sizes, 4) for sizes in (short, long)] == [1, 4]


def test_workers_beyond_the_fleets_that_pay_stay_idle(desk):
    """With `auto`, trials are not spread over more fleets than are worth their compiling."""
    engine = FakeEngine(scores(1.0), workers=4)
    desk.run(engine, trials=30, fleet="auto")
    assert len(engine.fleets) == 1


def test_joined_envelopes_hold_what_either_holds():
    """A program made larger still trains what it trained before."""
    one, other = (
        build_member({"units": u, "activation": a, "depth": d}, frozenset())
        for u, a, d in ((16, "relu", 3), (128, "tanh", 0))
    )
    both = merge_envelopes(find_envelope([one]), find_envelope([other]))
    assert both.holds(one)
    assert both.holds(other)
    assert both == find_envelope([one, other])
