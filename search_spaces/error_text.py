"""Text of an error in one line: the reason, without the stack before it and the arguments behind it.

TensorFlow puts the stack of a graph's node before the reason, and Keras the arguments of a layer behind it.
"""

from __future__ import annotations

import re
from typing import Final

from search_spaces.safe_text import escape_controls

STACK_LINE: Final = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')
_MOST_CHARACTERS: Final = 500
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")  # Keras colours parts of its messages for a terminal
_ARGUMENTS: Final = "\n\nArguments received by"
_NO_REASON: Final = re.compile(
    r"Graph execution error:|Detected at node |\s*\[\[\{\{node |Stack trace for op definition|\s*$"
)


def shorten_message(text: str) -> str:
    """Return a message in one line; of a long one its beginning and its last line, which has the reason."""
    plain = _COLOURS.sub("", text).partition(_ARGUMENTS)[0]
    lines = [escape_controls(" ".join(line.split())) for line in plain.splitlines()]
    reasons = [line for line in lines if not STACK_LINE.match(line) and not _NO_REASON.match(line)] or lines
    whole = " ".join(reasons).strip()
    if len(whole) <= _MOST_CHARACTERS:
        return whole
    begin = _MOST_CHARACTERS - len(reasons[-1])
    return f"{whole[:begin]} ... {reasons[-1]}" if begin > 0 else f"{reasons[-1][:_MOST_CHARACTERS]} ..."
