"""Nothing that is printed controls the terminal, whoever wrote it."""

import io
import sys

from pipelines.cli.safe_stream import SafeStream, guard_output

ATTACK = "a\x1b[2J\x1b]0;owned\x07\x9bm\rb"


def test_printed_text_shows_what_it_holds(monkeypatch):
    """Lines and tabs stay, a carriage return is a new line, the rest is written out."""
    raw = io.StringIO()
    monkeypatch.setattr(sys, "stdout", raw)
    guard_output()
    guard_output()  # twice is once
    print("x\ty", ATTACK)
    assert raw.getvalue() == "x\ty a\\u001b[2J\\u001b]0;owned\\u0007\\u009bm\nb\n"
    assert isinstance(sys.stdout, SafeStream)
