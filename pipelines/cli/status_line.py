"""Status of a command that takes a while, as a line on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.status import Status

from pipelines.cli.safe_console import make_console
from pipelines.study.check_listener import CheckListener

INTERRUPTED = 130  # 128 and the number of SIGINT, as shells count


class StatusListener(CheckListener):
    """Listener that shows the steps of a check beside a spinner."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def describe(self, step: str) -> None:
        """Show the step beside the spinner."""
        self._status.update(escape(step))

    def note(self, line: str) -> None:
        """Print the line, on a terminal or not."""
        self._status.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def show_status(text: str) -> Iterator[Callable[[str], None]]:
    """Show a line on standard error, if it is a terminal; yield a function that replaces the line."""
    # On standard error, so that `--json` output can be read by another program.
    with make_console(stderr=True).status(text) as line:
        # rich reads square brackets as markup, and steps may hold file names.
        yield lambda step: line.update(escape(step))
