"""Progress of a study in Python: in place in a notebook and on a terminal, lines elsewhere."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from study_events import search_started, trial_ended

from pipelines.api import progress
from pipelines.api.progress import InPlace, Lines, choose_display, render_progress
from pipelines.supervisor.events import FinalistsChosen, TrialBegan
from pipelines.supervisor.study_progress import StudyProgress

EVENTS = [
    search_started(4),
    TrialBegan(0, {"epochs": 3}),
    trial_ended(0, 0.5, is_best=True),
    trial_ended(1, 0.25),
    trial_ended(2, None, "failed", "bad\x1b[31m luck"),
]


@pytest.fixture(autouse=True)
def every_event(monkeypatch):
    """Draw after each event, and not now and then."""
    monkeypatch.setattr(progress, "_REDRAWN_S", -1.0)


def show(display):
    with display:
        for event in EVENTS:
            display.show(event)


def test_a_pipe_gets_lines(capsys):
    """Every trial has a line, and control characters of a reason are text."""
    show(choose_display())
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["t000", "t001", "t002"]
    assert "\\u001b[31m" in lines[-1]


def test_a_terminal_gets_one_line(capsys, monkeypatch):
    """It is rewritten in place and cut to the width; new best trials and failures stay, and it vanishes at the end."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    show(choose_display())
    pieces = capsys.readouterr().out.split("\r\x1b[2K")
    stay = [piece.strip() for piece in pieces if piece.endswith("\n")]
    assert [line.split(":")[0] for line in stay] == ["s", "t000 complete 0.5 in 1m15s  *best*", "t002 failed in 1m15s"]
    assert all(len(piece) < 40 for piece in pieces if not piece.endswith("\n"))
    assert pieces[-1] == ""
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose_display(), Lines)


def test_a_notebook_gets_one_output(monkeypatch, capsys):
    """The cell's output is replaced, not repeated."""
    shown = []

    class ZMQInteractiveShell:
        pass

    def display(content, display_id):
        shown.append(content)
        return SimpleNamespace(update=shown.append)

    module = ModuleType("IPython.display")
    module.HTML, module.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=ZMQInteractiveShell))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    assert isinstance(choose_display(), InPlace)
    show(choose_display())
    assert len(shown) == len(EVENTS)
    assert '<progress value="3" max="4">' in shown[-1]
    assert "t000 complete 0.5" in capsys.readouterr().out


def test_a_plain_shell_is_no_notebook(monkeypatch):
    """IPython in a terminal has a terminal."""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=SimpleNamespace))
    assert not progress.is_notebook()


def test_the_progress_as_html():
    """Counts, best score, curve and phase; what could be markup is text."""
    state = StudyProgress(search_started().summarize(), 0.0)
    for event in (trial_ended(0, 0.5, is_best=True), trial_ended(1, 0.7, is_best=True), FinalistsChosen((1,), 6)):
        state.update(event)
    state.phase = state.phase.__class__("<b>choosing</b>", 1, 6)
    page = render_progress(state)
    assert "best val_accuracy 0.7 (t001)" in page
    assert "▁█" in page
    assert "&lt;b&gt;choosing&lt;/b&gt;: 1 of 6" in page
