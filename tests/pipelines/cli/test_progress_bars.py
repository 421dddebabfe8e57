"""Display of a running study: lines in a log, bars on a terminal."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console
from study_events import search_started, trial_ended

from pipelines.cli.progress_bars import PlainLines, ProgressBars, choose_display
from pipelines.supervisor import event_text
from pipelines.supervisor.events import Delivering, EpochEnded, TrialBegan


def show(make_display, events, **console) -> str:
    """Return the output of a display for events."""
    out = StringIO()
    with make_display(Console(file=out, width=console.pop("width", 80), **console)) as screen:
        for event in events:
            screen.show(event)
    return out.getvalue()


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [1000.0]
    monkeypatch.setattr(event_text.time, "monotonic", lambda: now[0])
    return now


def test_lines_show_a_study_from_start_to_end():
    """A log has the opening, a line for each trial with the study's progress, and the delivery to MLflow."""
    events = [
        search_started(),
        TrialBegan(0, {"epochs": 3}),
        EpochEnded(0, 1, 3, 0.4),
        trial_ended(0, 0.5, is_best=True),
        trial_ended(1, None, "failed", "out of memory"),
        Delivering(1, ""),
    ]
    lines = [line.partition(", 0.0s left")[0] for line in show(PlainLines, events).splitlines()]
    assert lines == [
        "s: binary, rows: 70 train, 20 validation",
        "maximize val_accuracy over 4 trials, 2 workers",
        "t000 complete 0.5 in 1m15s  *best*  [1 of 4 trials",
        "t001 failed in 1m15s: out of memory  [2 of 4 trials",
        "sending 1 record to MLflow",
    ]


def test_a_long_epoch_is_shown_now_and_then(clock):
    """A log shows an epoch after a while without a line, and not every epoch."""
    out = StringIO()
    screen = PlainLines(Console(file=out))
    screen.show(search_started())
    for epoch in (1, 2, 3):
        clock[0] += 6
        screen.show(EpochEnded(7, epoch, 9, 0.25))
    assert out.getvalue().splitlines()[2:] == ["t007 epoch 2/9: 0.25"]


def test_a_reason_is_shown_as_it_is():
    """Brackets in a reason are no markup, and a long line is not broken."""
    reason = "[bold]shape [3, 4][/bold] " + "x" * 200
    assert reason in show(PlainLines, [search_started(), trial_ended(0, None, "failed", reason)])


def test_bars_show_trials_and_epochs():
    """A terminal shows the study's bar with the score below it, and a bar for each running trial."""
    events = [search_started(), TrialBegan(0, {"epochs": 9}), TrialBegan(1, {}), EpochEnded(1, 3, 12, 0.75)]
    out = StringIO()
    with ProgressBars(Console(file=out, width=100, force_terminal=True, color_system=None)) as screen:
        for event in [*events, trial_ended(2, 0.9, is_best=True), trial_ended(3, None, "failed", "gone")]:
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
    with ProgressBars(terminal) as screen:
        for event in [search_started(1000), TrialBegan(123, {"epochs": 100}), EpochEnded(123, 99, 100, 0.123456)]:
            screen.show(event)
        screen.show(trial_ended(122, 0.98765, is_best=True))
        paper.print(screen._live.get_renderable())
    lines = [line.rstrip() for line in paper.file.getvalue().splitlines()]
    assert "1 of 1000 trials" in lines[0]
    assert "left" in lines[0]
    assert "best val_accuracy 0.98765 (t122)" in lines[1]
    assert "epoch 99/100  0.12346" in lines[2]
    assert max(map(len, lines)) <= width


def test_bars_keep_quiet_about_ordinary_trials():
    """On a terminal only a new best and a failure leave a line; the bars show the rest."""
    text = show(
        ProgressBars, [search_started(), TrialBegan(0, {}), trial_ended(0, 0.1)], force_terminal=True, color_system=None
    )  # fmt: skip
    assert "t000 complete" not in text


def test_bars_are_for_terminals():
    """A file or a pipe gets lines."""
    assert isinstance(choose_display(Console(file=StringIO())), PlainLines)
    assert isinstance(choose_display(Console(file=StringIO(), force_terminal=True)), ProgressBars)
