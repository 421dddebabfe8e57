"""What `kerastudy run` shows: lines in a log, bars on a terminal."""

import doctest
from io import StringIO

import pytest
from rich.console import Console

from pipelines.cli import progress_bars as module
from pipelines.cli.progress_bars import Bars, Lines, Pace, display, duration, opening, table_cell, trial_line
from pipelines.data.prepared import DataSummary, Features, Task
from pipelines.study.objective import Objective
from pipelines.supervisor.events import Delivering, EpochEnded, SearchStarted, TrialBegan, TrialEnded

DATA = DataSummary(
    source="d.csv",
    task=Task("binary", ("y",), ("no", "yes")),
    features=Features(dense=2),
    raw=(),
    rows={"train": 70, "validation": 20, "test": 0},
    folds=1,
    digest="d",
    encodings={},
)


def begun(budget=4, done=0, best=None) -> SearchStarted:
    return SearchStarted("s", DATA, Objective("val_accuracy", "maximize"), budget, done, best, workers=2)


def ended(number, value=0.5, state="complete", reason="", is_best=False) -> TrialEnded:
    return TrialEnded(number, state, value, reason, 75.0, is_best)


def shown(shows, events, **console) -> str:
    """Return what a display prints about events."""
    out = StringIO()
    with shows(Console(file=out, width=console.pop("width", 80), **console)) as screen:
        for event in events:
            screen.show(event)
    return out.getvalue()


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is put forward."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_lines_tell_a_study_from_beginning_to_end():
    """A log has the opening, a line for each trial with the standing behind it, and what goes to MLflow."""
    events = [
        begun(),
        TrialBegan(0, {"epochs": 3}),
        EpochEnded(0, 1, 3, 0.4),
        ended(0, 0.5, is_best=True),
        ended(1, None, "failed", "out of memory"),
        Delivering(1, ""),
    ]
    lines = [line.partition(", 0.0s left")[0] for line in shown(Lines, events).splitlines()]
    assert lines == [
        "s: binary, rows: 70 train, 20 validation",
        "maximize val_accuracy over 4 trials, 2 workers",
        "t000 complete 0.5 in 1m15s  *best*  [1 of 4 trials",
        "t001 failed in 1m15s: out of memory  [2 of 4 trials",
        "sending 1 record to MLflow",
    ]


def test_a_long_epoch_is_heard_of_now_and_then(clock):
    """A log shows an epoch once nothing was said for a while, and not every epoch."""
    out = StringIO()
    screen = Lines(Console(file=out))
    screen.show(begun())
    for epoch in (1, 2, 3):
        clock[0] += 6
        screen.show(EpochEnded(7, epoch, 9, 0.25))
    assert out.getvalue().splitlines()[2:] == ["t007 epoch 2/9: 0.25"]


def test_a_reason_is_shown_as_it_is():
    """Brackets in a reason are no markup, and a long line is not broken."""
    reason = "[bold]shape [3, 4][/bold] " + "x" * 200
    assert reason in shown(Lines, [begun(), ended(0, None, "failed", reason)])


def test_bars_show_trials_and_epochs():
    """A terminal shows the study's bar with the standing below it, and a bar for each running trial."""
    events = [begun(), TrialBegan(0, {"epochs": 9}), TrialBegan(1, {}), EpochEnded(1, 3, 12, 0.75)]
    out = StringIO()
    with Bars(Console(file=out, width=100, force_terminal=True, color_system=None)) as screen:
        for event in [*events, ended(2, 0.9, is_best=True), ended(3, None, "failed", "gone")]:
            screen.show(event)
        screen._live.refresh()
        text = out.getvalue()
    for part in ("2 of 4 trials", "best val_accuracy 0.9 (t002), 1 failed", "epoch 0/9", "epoch 3/12  0.75"):
        assert part in text
    assert "t003 failed in 1m15s: gone" in text


@pytest.mark.parametrize("width", [60, 90, 140])
def test_bars_fit_the_terminal(width):
    """No line of the bars is wider than the terminal, so that redrawing leaves nothing behind."""
    terminal = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    paper = Console(file=StringIO(), width=200)
    with Bars(terminal) as screen:
        for event in [begun(1000), TrialBegan(123, {"epochs": 100}), EpochEnded(123, 99, 100, 0.123456)]:
            screen.show(event)
        screen.show(ended(122, 0.98765, is_best=True))
        paper.print(screen._live.get_renderable())
    lines = [line.rstrip() for line in paper.file.getvalue().splitlines()]
    assert "1 of 1000 trials" in lines[0]
    assert "left" in lines[0]
    assert "best val_accuracy 0.98765 (t122)" in lines[1]
    assert "epoch 99/100  0.12346" in lines[2]
    assert max(map(len, lines)) <= width


def test_bars_keep_quiet_about_ordinary_trials():
    """On a terminal only a new best and a failure leave a line; the bars tell the rest."""
    text = shown(
        Bars, [begun(), TrialBegan(0, {}), ended(0, 0.1)], force_terminal=True, color_system=None
    )  # fmt: skip
    assert "t000 complete" not in text


def test_bars_are_for_terminals():
    """A file or a pipe gets lines."""
    assert isinstance(display(Console(file=StringIO())), Lines)
    assert isinstance(display(Console(file=StringIO(), force_terminal=True)), Bars)


def test_time_left_follows_the_pace_of_this_run(clock):
    """Trials of earlier runs count for the distance and not for the pace."""
    pace = Pace(begun(budget=10, done=4, best=0.8))
    assert pace.left_s() is None
    assert pace.describe() == "4 of 10 trials, best val_accuracy 0.8"
    clock[0] += 30
    pace.count(ended(4, 0.7))
    assert pace.left_s() == 150
    assert pace.describe() == "5 of 10 trials, 2m30s left, best val_accuracy 0.8"


def test_the_standing_names_the_best_trial_and_the_lost_ones():
    """Pruned and failed trials are counted beside the best."""
    pace = Pace(begun())
    assert pace.standing() == ""
    for event in (ended(0, None, "pruned"), ended(1, 0.6, is_best=True), ended(2, None, "failed"), ended(3, 0.5)):
        pace.count(event)
    assert pace.standing() == "best val_accuracy 0.6 (t001), 1 failed, 1 pruned"
    assert pace.distance() == "4 of 4 trials"


def test_a_resumed_study_says_so():
    """The opening tells how much of the budget earlier runs have used."""
    assert opening(begun(4, done=1)).endswith("maximize val_accuracy going on after 1 of 4 trials, 2 workers")


def test_a_trial_may_have_neither_value_nor_time():
    """What is not known of a trial is left out of its line."""
    assert trial_line(TrialEnded(3, "failed", None, "", None, is_best=False)) == "t003 failed"


def test_values_in_tables():
    """Booleans read as in a study file, nothing is empty, floats have five digits."""
    values = (True, False, None, 0.123456789, 1e-7, 12, "relu")
    assert [table_cell(value) for value in values] == ["true", "false", "", "0.12346", "1e-07", "12", "relu"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0.0s"), (59.94, "59.9s"), (60, "1m00s"), (3599.6, "1h00m")])
def test_durations_at_their_edges(seconds, text):
    """Units change where the smaller one is full."""
    assert duration(seconds) == text


def test_the_examples_hold():
    """The examples in the docstrings say what the functions do."""
    assert doctest.testmod(module).failed == 0
