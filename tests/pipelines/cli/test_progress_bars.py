"""Display of a running study: lines in a log, bars on a terminal."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from study_events import search_started, trial_ended

from pipelines.cli.progress_bars import PlainLines, ProgressBars, choose_display
from pipelines.supervisor import event_lines
from pipelines.supervisor.events import (
    Delivering,
    EpochEnded,
    FinalistsChosen,
    ImprovementEstimated,
    RetrainingEnded,
    TrialBegan,
)


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
    monkeypatch.setattr(event_lines.time, "monotonic", lambda: now[0])
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


def draw(events, width=80, height=24, **console):
    """Return the lines of the panel after some events, and all that the terminal got."""
    options = {"width": width, "height": height, "force_terminal": True, "color_system": None, **console}
    out, paper, now = StringIO(), Console(file=StringIO(), **options), [0.0]
    with ProgressBars(Console(file=out, **options), clock=lambda: now[0]) as screen:
        for event in events:
            screen.show(event)
        now[0] = 60.0
        paper.print(screen._live.get_renderable())
    return [line.rstrip() for line in paper.file.getvalue().splitlines()], out.getvalue()


def test_the_panel_shows_the_study_and_its_running_trials():
    """A terminal shows trials by state, the best so far with its curve, workers, and each running trial."""
    events = [
        search_started(10),
        *(trial_ended(number, 0.1 * number, is_best=True) for number in (1, 2, 3)),
        trial_ended(4, None, "failed", "gone"),
        TrialBegan(5, {"epochs": 9}),
        TrialBegan(6, {}, 0, "fleet-1"),
        EpochEnded(6, 3, 12, 0.75),
        ImprovementEstimated(0.25),
    ]
    lines, text = draw(events)
    assert lines[0].endswith("4 of 10")
    assert lines[1:3] == ["         2 running, 3 complete, 1 failed", "best     0.3 (t003)  ▁▄█ val_accuracy"]
    assert lines[3:5] == [
        "pace     240 trials an hour, about 1m30s left, expected gain 0.25",
        "workers  2: fleet-1 with 1 trial, t005",
    ]
    assert (lines[5].split()[0], lines[5].endswith("epoch 0/9")) == ("t005", True)
    assert lines[6].endswith("epoch 3/12  0.75")
    assert "t004 failed in 1m15s: gone" in text


def test_the_panel_of_a_search_that_is_over_expects_nothing():
    """While the last records are delivered, no time is left for trials."""
    lines, _ = draw([search_started(1), trial_ended(0, 0.5, is_best=True)])
    assert lines[3] == "pace     60 trials an hour"


def test_the_panel_shows_the_choice_of_the_winner():
    """After the search, the trainings that are done."""
    lines, _ = draw(
        [search_started(), FinalistsChosen((1, 2), 6), RetrainingEnded(1, "seed-1", "complete", 0.5, "", 1.0)]
    )
    assert lines[-1] == "now      choosing the winner: 1 of 6 trainings"


@pytest.mark.parametrize("width", [30, 50, 80, 140])
def test_the_panel_fits_the_terminal(width):
    """No line is wider than the terminal, so that redrawing leaves nothing behind."""
    events = [
        replace(search_started(1000), curve=tuple(range(200))),
        *(TrialBegan(number, {"epochs": 100}, 0, "fleet-12") for number in range(123, 133)),
        EpochEnded(123, 99, 100, 0.123456),
        trial_ended(122, 0.98765, is_best=True),
    ]
    lines, _ = draw(events, width)
    assert max(map(len, lines)) <= width
    assert "1 of 1000" in lines[0]
    assert "0.98765 (t122)" in lines[2]


def test_the_panel_fits_the_height():
    """Of many running trials the first are shown: a panel beyond the screen could not be redrawn."""
    lines, _ = draw([search_started(1000), *(TrialBegan(number, {}) for number in range(200))], height=24)
    assert len(lines) <= 24
    assert lines[-1] == "  and 188 more"


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


def test_a_dumb_terminal_gets_lines(monkeypatch):
    """It cannot move its cursor."""
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose_display(Console(file=StringIO(), force_terminal=True)), PlainLines)
