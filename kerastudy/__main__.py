"""Entry point of `kerastudy` and of `python -m kerastudy`: the command line."""

from __future__ import annotations

import sys


def command() -> None:
    """Run the command line as the only work of a process, and end the process."""
    from pipelines.cli import command as run

    run()


if __name__ == "__main__":
    # `python -m` searches the current folder first, where any file may have the name of a library.
    if not sys.flags.safe_path:
        sys.path.append(sys.path.pop(0))
    command()
