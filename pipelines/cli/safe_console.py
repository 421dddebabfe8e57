"""Console of rich whose texts are text: what they hold never reaches the terminal as an escape."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from pipelines.cli.safe_stream import SafeStream
from search_spaces.safe_text import escape_controls


class SafeConsole(Console):
    """Console that colours and moves by itself where its stream is a terminal, and never for a text that it prints."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text, such as a cell of a table, as rich draws it."""
        return super().render_str(escape_controls(text, keep="\n"), **options)


def make_console(*, stderr: bool = False, **options: Any) -> SafeConsole:
    """Return a console; a `rich.Text` that it prints has to come from `make_text`."""
    stream = sys.stderr if stderr else sys.stdout
    if os.environ.get("TERM", "") in ("dumb", "unknown"):
        # rich takes 80 columns for these, and only where neither is given.
        size = shutil.get_terminal_size()
        options = {"width": size.columns, "height": size.lines, **options}
    return SafeConsole(file=stream.raw if isinstance(stream, SafeStream) else stream, **options)


def make_text(text: str, style: str = "") -> Text:
    """Return a text that is not read as markup."""
    return Text(escape_controls(text, keep="\n"), style=style)
