"""Entry point of `kerastudy` and of `python -m kerastudy`: the command line."""

from __future__ import annotations

import gc
import sys

_OBJECTS = 20_000  # chosen: by default Python looks for garbage after each 700 new ones


def command() -> None:
    """Run the command line as the only work of a process, and end the process."""
    # Libraries make next to no garbage while they are imported, and looking for it takes a sixth of that time.
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    from pipelines.cli import command as run

    run()


if __name__ == "__main__":
    # `python -m` searches the current folder first, where any file may have the name of a library.
    if not sys.flags.safe_path:
        sys.path.append(sys.path.pop(0))
    command()
