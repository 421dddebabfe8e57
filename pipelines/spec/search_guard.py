"""Guard against searches that a file starts while it is imported.

A script from a notebook calls `tuner.search(...)` at its top level. Imported for its `build`, it would search once in
each worker. The guard ends the import at that line: what a search needs stands above it, and what follows uses its
result.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_depth = 0


class SearchStarted(BaseException):  # no error: `except Exception` in the user's file must not catch it
    """A search that started while a user's file was being imported."""


class StoppedImport(NamedTuple):
    """Place where the import of a file ended, because a search started there."""

    file: Path
    line: int
    call: str

    def __str__(self) -> str:
        """Return what was not run, and where to write it."""
        place = f"{self.file.name}, line {self.line} calls {self.call}"
        return f'{place}: neither that nor what follows is run; put it below `if __name__ == "__main__":`'


def stop_if_importing(call: str) -> None:
    """End the import of the user's file that makes a call such as `kerastudy.run_study`.

    Raises:
        SearchStarted: if a user's file is being imported; nothing happens otherwise.
    """
    if _depth:
        raise SearchStarted(call)


@contextmanager
def guard_import() -> Iterator[None]:
    """Let searches of KerasTuner and of kerastudy raise `SearchStarted` in this block.

    KerasTuner's are guarded where it is loaded, as in every worker.
    """
    global _depth  # noqa: PLW0603  # a process imports one file after the other
    tuner = _find_tuner()
    search = getattr(tuner, "search", None)
    _depth += 1
    try:
        if tuner is not None:
            tuner.search = _refuse_search
        yield
    finally:
        _depth -= 1
        if tuner is not None:
            tuner.search = search


def locate_search(started: SearchStarted) -> StoppedImport:
    """Return the file and the line at whose top level a search started."""
    frames = [each for each in traceback.extract_tb(started.__traceback__) if each.name == "<module>"]
    return StoppedImport(Path(frames[-1].filename), frames[-1].lineno or 0, str(started))


def _find_tuner() -> Any:
    """Return the class of KerasTuner that defines `search`; None where KerasTuner is not loaded."""
    loaded = sys.modules.get("keras_tuner")
    bases = getattr(getattr(loaded, "Tuner", None), "__mro__", ())
    return next((each for each in bases if "search" in vars(each)), None)


def _refuse_search(tuner: Any, *_args: Any, **_options: Any) -> NoReturn:
    raise SearchStarted(f"{type(tuner).__name__}.search")
