"""Output streams that show control characters instead of sending them to the terminal."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from search_spaces.safe_text import escape_controls


class SafeStream:
    """Text stream around another one; everything but `write` is the other's.

    Attributes:
        raw: the other stream, for what may colour and move: bars and tables.
    """

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write a text; a carriage return alone, which would overwrite a line, begins a new one."""
        self.raw.write(escape_controls(text.replace("\r\n", "\n").replace("\r", "\n"), keep="\n"))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def guard_output() -> None:
    """Let all that is printed pass through safe streams."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # `None` where a process has none.
        if stream is not None and not isinstance(stream, SafeStream):
            setattr(sys, name, SafeStream(stream))
