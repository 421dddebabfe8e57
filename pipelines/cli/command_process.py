"""Fact about this process: whether it is the one that a person or a program has started for one command."""

from __future__ import annotations

import os

_environ: dict[str, str] | None = None


def mark_command_process() -> None:
    """Note that this process runs one command and nothing else, and the environment that it was started with."""
    global _environ  # noqa: PLW0603  # of the process
    _environ = dict(os.environ)


def get_command_environment() -> dict[str, str] | None:
    """Return the environment that the command was started with; None in a process that runs more, or another's."""
    return _environ
