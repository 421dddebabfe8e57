"""Text of a study's events: lines, counts, durations, values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study_events import search_started

from pipelines.supervisor.event_text import (
    format_cell,
    format_duration,
    format_event,
    format_opening,
    format_trial_end,
)
from pipelines.supervisor.events import FinalistsChosen, FleetDivided, TrialEnded


def test_the_opening_of_a_resumed_study_counts_earlier_trials():
    """The opening states the part of the budget that earlier runs have used."""
    assert format_opening(search_started(4, done=1)).endswith(
        "maximize val_accuracy going on after 1 of 4 trials, 2 workers"
    )


def test_a_budget_below_the_trials_of_an_earlier_run_is_no_share():
    """More trials than the budget are a count: the study continues after none of its trials."""
    started = search_started(budget=1, done=4, best=0.8)
    assert format_opening(started).endswith("maximize val_accuracy over 1 trial: 4 have ended already, 2 workers")


def test_the_opening_has_the_notes_of_a_new_studys_data():
    """What was chosen for the user is in the opening once, of data and model: a study that continues has shown it."""
    started = search_started()
    noted = replace(started, data=replace(started.data, notes=('"empty" is left out: it has no value',)))
    noted = replace(noted, notes=("early stopping is off",))
    expected = ['note: "empty" is left out: it has no value', "note: early stopping is off"]
    assert format_opening(noted).splitlines()[1:3] == expected
    assert "note:" not in format_opening(replace(noted, done=1))
    unreached = replace(noted, done=1, data=replace(noted.data, unreached=("s3://a/b could not be reached",)))
    assert format_opening(unreached).count("note:") == 1


def test_a_trial_may_have_neither_value_nor_time():
    """A line leaves out an unknown value or duration."""
    assert format_trial_end(TrialEnded(3, "failed", None, "", None, is_best=False)) == "t003 failed"


def test_values_in_tables():
    """Booleans read as in a study file, nothing is empty, floats have five digits."""
    values = (True, False, None, 0.123456789, 1e-7, 12, "relu")
    assert [format_cell(value) for value in values] == ["true", "false", "", "0.12346", "1e-07", "12", "relu"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0.0s"), (59.94, "59.9s"), (60, "1m00s"), (3599.6, "1h00m")])
def test_durations_at_their_edges(seconds, text):
    """Units change where the smaller one is full."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("trials", "alone", "says"),
    [
        (0, 0, "a fleet failed after its trials had ended: died"),
        (1, 0, "a fleet of 1 trial failed: died; it goes on in another one"),
        (1, 1, "a fleet of 1 trial failed: died; it trains alone, from the beginning"),
        (2, 2, "a fleet of 2 trials failed: died; they train alone, from the beginning"),
        (4, 0, "a fleet of 4 trials failed: died; they go on in smaller ones"),
        (4, 1, "a fleet of 4 trials failed: died; they go on in smaller ones, 1 of them alone"),
    ],
)
def test_the_line_of_a_failed_fleet_has_what_becomes_of_its_trials(trials, alone, says):
    """A fleet of one trial is not divided, and one without trials loses nothing."""
    assert format_event(FleetDivided(trials, "died", alone)) == says


@pytest.mark.parametrize(
    ("numbers", "reason", "purpose"),
    [
        ((3, 1), "", "t003, t001 are trained again to choose the winner: 2 trainings to go"),
        ((3,), "", "t003 is trained again to show how reliable its score is: 2 trainings to go"),
        ((3,), "why", "t003 is trained again to choose the winner: at most 2 trainings to go (why)"),
    ],
)
def test_further_trainings_have_a_purpose(numbers, reason, purpose):
    """A single finalist changes no winner; with `selection: auto` the rivals may have been trained before."""
    assert format_event(FinalistsChosen(numbers, 2, reason=reason)) == purpose
