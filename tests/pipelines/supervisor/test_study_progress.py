"""Progress of a study, from its events."""

from dataclasses import replace

import pytest
from study_events import search_started, trial_ended

from pipelines.supervisor.events import (
    EpochEnded,
    FinalistsChosen,
    ImprovementEstimated,
    RetrainingEnded,
    TrialBegan,
    TrialPaused,
    TrialTriedAgain,
)
from pipelines.supervisor.study_progress import Phase, RunningProgress, StudyProgress


def make_progress(*events, now_s=0.0, **started):
    """Return the progress after some events."""
    progress = StudyProgress(search_started(**started).summarize(), now_s)
    for event in events:
        progress.update(event)
    return progress


def test_time_left_follows_the_pace_of_this_run():
    """Trials of earlier runs count as ended, and not for the expected time."""
    progress = make_progress(budget=10, done=4, best=0.8)
    assert progress.estimate_left_s(30) is None
    assert progress.format_distance(30) == "4 of 10 trials"
    progress.update(trial_ended(4, 0.7))
    assert progress.estimate_left_s(30) == 150
    assert progress.compute_pace(30) == 120
    assert progress.format_distance(30) == "5 of 10 trials, 2m30s left"
    assert progress.format_score() == "best val_accuracy 0.8"


@pytest.mark.parametrize(("budget_s", "left_s"), [(1000.0, 150), (100.0, 70), (10.0, 0)])
def test_a_time_budget_ends_the_wait(budget_s, left_s):
    """The expected time is never more than what the budget leaves."""
    started = replace(search_started(budget=6).summarize(), left_s=budget_s)
    progress = StudyProgress(started, 0.0)
    progress.update(trial_ended(0))
    assert progress.estimate_left_s(30) == left_s


def test_the_score_line_names_the_best_trial_and_counts_the_others():
    """Pruned and failed trials are counted beside the best."""
    progress = make_progress()
    assert progress.format_score() == ""
    for event in (
        trial_ended(0, None, "pruned"),
        trial_ended(1, 0.6, is_best=True),
        trial_ended(2, None, "failed"),
        trial_ended(3, 0.5),
    ):
        progress.update(event)
    assert progress.format_score() == "best val_accuracy 0.6 (t001), 1 failed, 1 pruned"
    assert progress.format_distance() == "4 of 4 trials"
    assert progress.curve == [0.6, 0.6]


@pytest.mark.parametrize(
    ("gain", "shown"),
    [(None, ""), (0.0123, "0.012"), (1e-5, "1e-05"), (5e-6, "next to nothing"), (0.0, "next to nothing")],
)
def test_a_gain_that_the_best_score_would_not_show_is_no_number(gain, shown):
    """The score line has five digits of the best score."""
    progress = make_progress()
    progress.update(trial_ended(0, 0.6, is_best=True))
    if gain is not None:
        progress.update(ImprovementEstimated(gain))
    assert progress.format_gain() == shown
    assert (f"expected to gain {shown}" in progress.format_score()) == bool(shown)


def test_more_trials_than_the_budget_are_a_count():
    """The study continues after an earlier run with a larger budget."""
    assert make_progress(budget=1, done=4, best=0.8).format_distance() == "4 trials"


def test_paused_trials_are_counted_beside_the_best():
    """They are nearly done, as the expected time has it, until they go on."""
    progress = make_progress(trial_ended(0, 0.6, is_best=True), budget=10)
    for number in (1, 2):
        progress.update(TrialPaused(number, 0.5, "paused after epoch 3 of 9"))
    assert progress.estimate_left_s(30) == 70
    assert progress.format_score() == "best val_accuracy 0.6 (t000), 2 paused"
    progress.update(TrialBegan(1, {}, 3))
    assert progress.format_score() == "best val_accuracy 0.6 (t000), 1 paused"
    assert progress.running == {1: RunningProgress("", 3)}


def test_running_trials_have_their_epochs_and_fleets():
    """A trial leaves when it ends, pauses, or loses its worker; a promoted one goes on after its epochs."""
    progress = make_progress(
        TrialBegan(0, {"epochs": 9}),
        TrialBegan(1, {}, 3, "fleet-1"),
        TrialBegan(2, {}, 0, "fleet-1"),
        EpochEnded(0, 2, 9, 0.25),
        EpochEnded(1, 4, 12, 0.5),
    )
    assert progress.running[0] == RunningProgress("", 2, 9, 0.25)
    assert progress.running[1] == RunningProgress("fleet-1", 4, 12, 0.5)
    assert progress.group_running() == {"": [0], "fleet-1": [1, 2]}
    progress.update(TrialTriedAgain(0, {}, "gone", 2, 3))
    progress.update(trial_ended(1))
    progress.update(TrialPaused(2, 0.5, ""))
    assert not progress.running
    assert progress.count_by_state() == {"complete": 1, "paused": 1}


def test_the_states_of_earlier_runs_count():
    """A display shows the study as a whole, its curve included."""
    of_before = replace(search_started(done=3, best=0.2), states={"complete": 2, "failed": 1}, best_trial=1)
    started = replace(of_before.summarize(), curve=(0.1, 0.2))
    progress = StudyProgress(started, 0.0)
    assert progress.format_score() == "best val_accuracy 0.2 (t001), 1 failed"
    progress.update(trial_ended(3, 0.3, is_best=True))
    assert progress.count_by_state() == {"complete": 3, "failed": 1}
    assert progress.curve == [0.1, 0.2, 0.3]


def test_the_choice_of_the_winner_is_a_phase():
    """Its trainings count, and never beyond those that were announced."""
    ended = RetrainingEnded(1, "seed-1", "complete", 0.5, "", 1.0)
    progress = make_progress(FinalistsChosen((1,), 2), ended, ended, ended)
    assert progress.phase == Phase("choosing the winner", 2, 2)
    assert make_progress(FinalistsChosen((1, 2), 0)).phase is None
