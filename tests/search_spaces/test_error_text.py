"""Texts of errors in one line."""

from __future__ import annotations

import pytest

from search_spaces.error_text import shorten_message

STACK = """Graph execution error:

Detected at node loss/x defined at (most recent call last):
  File "/venv/lib/keras/losses.py", line 2359, in crossentropy

Received a label value of 2
\t [[{{node loss/x}}]] [Op:__inference_step_575]
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no\n  such   file\n", "no such file"),
        (STACK, "Received a label value of 2"),
        ("calling Dense.\n\n\x1b[1mgot 5\x1b[0m\n\nArguments received by Dense:\n  x=1", "calling Dense. got 5"),
        ("", ""),
    ],
)
def test_the_reason_is_left(text, expected):
    """Neither a stack, nor colours, nor arguments."""
    assert shorten_message(text) == expected


@pytest.mark.parametrize("text", ["first\n" + "x " * 500 + "\nthe reason", "first\n" + "y" * 600])
def test_long_messages(text):
    """A long message is cut before its last line, or within it."""
    short = shorten_message(text)
    assert len(short) <= 510
    assert short.endswith((" ... the reason", "y ..."))
