"""A console draws what is its own, and shows the rest."""

import io
import sys

from rich.table import Table

from pipelines.cli.safe_console import make_console, make_text
from pipelines.cli.safe_stream import guard_output

ATTACK = "a\x1b[2J\x1b]0;owned\x07\x9bm\rb"


def test_consoles_draw_only_what_is_theirs(monkeypatch):
    """Cells of tables, printed strings and texts have no escapes of their own on a terminal."""
    raw = io.StringIO()
    monkeypatch.setattr(sys, "stdout", raw)
    guard_output()
    console = make_console(force_terminal=True, color_system="standard", width=200)
    table = Table("name")
    table.add_row(ATTACK)
    console.print(table, ATTACK, make_text(ATTACK, "red"))
    shown = raw.getvalue()
    assert "\x1b[31m" in shown  # its own colour
    assert not any(part in shown for part in ("\x1b[2J", "\x1b]0", "\x07", "\x9b", "\r"))
