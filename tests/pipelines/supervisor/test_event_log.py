"""Events on disk: whole lines, in order, whatever is killed, and found again by their ids."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from study_events import search_started

from pipelines.baselines.results import Baseline, Baselines
from pipelines.supervisor.event_log import (
    EVENTS_FILE,
    LOG_FILE,
    StoredEvent,
    parse_event,
    read_events_after,
    record_events,
)
from pipelines.supervisor.events import BaselinesReady, EpochEnded, StudyEnded, TrialBegan, TrialEnded
from pipelines.workspace.home import Home

ENDED = StudyEnded("s", "finished", "1 trial", "val_loss", 0, 0.5, {}, {"complete": 1}, 1.0, 0, "")
STORY = [TrialBegan(0, {"units": 8}), TrialEnded(0, "complete", 0.5, "", 1.0, is_best=True), ENDED]


@pytest.fixture
def home(tmp_path):
    return Home.find(str(tmp_path), {})


def tell(home, *events):
    return list(record_events(home, "s", events))


def test_what_happens_is_passed_on_and_kept(home):
    """Names as in the code, and every attribute; the log for people ends with how it ended."""
    assert tell(home, *STORY) == STORY
    kept = read_events_after(home, "s", 0)
    assert [each.kind for each in kept] == ["trial-began", "trial-ended", "study-ended"]
    assert kept[1].content["value"] == 0.5
    assert kept[1].content["is_best"] is True
    assert (home.locate_study("s") / LOG_FILE).read_text().endswith("s finished: 1 trial\n")


def test_scores_that_are_not_finite(home):
    """A line is JSON that any program reads: null for a number that is not finite."""
    tell(home, replace(ENDED, test={"test_loss": float("inf"), "test_auc": 0.5}))
    assert read_events_after(home, "s", 0)[0].content["test"] == {"test_loss": None, "test_auc": 0.5}
    assert "Infinity" not in (home.locate_study("s") / EVENTS_FILE).read_text()


def test_a_reader_goes_on_after_any_id(home):
    """Nothing is missed and nothing read twice, wherever it was cut off."""
    tell(home, *STORY)
    kept = read_events_after(home, "s", 0)
    for index, each in enumerate(kept):
        assert read_events_after(home, "s", each.id) == kept[index + 1 :]


def test_a_torn_line_is_left_out_and_mended(home):
    """A kill in the middle of a line costs that line; the next life begins a new one."""
    tell(home, STORY[0])
    file = home.locate_study("s") / EVENTS_FILE
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"event": "trial-en')
    assert len(read_events_after(home, "s", 0)) == 1
    tell(home, STORY[1])
    assert [each.kind for each in read_events_after(home, "s", 0)] == ["trial-began", "trial-ended"]
    assert file.read_bytes().startswith(whole)


@pytest.mark.parametrize("position", [1, 7, 10**12])
def test_an_id_that_was_never_given_does_no_harm(home, position):
    """It begins at the next whole line, or finds nothing."""
    tell(home, *STORY)
    kinds = [each.kind for each in read_events_after(home, "s", position)]
    assert kinds == (["trial-ended", "study-ended"] if position < 10**6 else [])


def test_epochs_are_thinned(home):
    """Of a thousand epochs in a moment a reader gets one, and the caller gets all."""
    epochs = [EpochEnded(0, epoch, 1000, 0.5) for epoch in range(1, 1001)]
    assert tell(home, *epochs) == epochs
    assert len(read_events_after(home, "s", 0)) == 1


def test_short_epochs_are_recorded_once_a_second(home):
    """Epochs of half a second do not hide each other for ever."""
    clock = itertools.count(100.0, 0.5)
    epochs = [EpochEnded(0, epoch, 20, 0.5) for epoch in range(1, 21)]
    list(record_events(home, "s", epochs, lambda: next(clock)))
    assert 5 <= len(read_events_after(home, "s", 0)) <= 10


def test_there_is_nothing_before_the_beginning(home):
    """A study that waits has no events."""
    assert read_events_after(home, "s", 0) == ()


def test_stored_events_are_parsed(home):
    """An event comes back as it was; the start of a search as its plain facts; what is unknown is left out."""
    started = search_started(done=1, best=0.5)
    baselines = BaselinesReady(Baselines("val_loss", "minimize", "d", (Baseline("mean", "predicting the mean", 0.25),)))
    tell(home, started, baselines, *STORY)
    parsed = [parse_event(each) for each in read_events_after(home, "s", 0)]
    assert parsed == [started.summarize(), baselines, *STORY]
    assert parse_event(StoredEvent(1, "of-another-release", {})) is None
    assert parse_event(StoredEvent(1, "trial-began", {"number": "many"})) is None
