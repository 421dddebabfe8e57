"""Errors of the user's code in one line: what was raised, then its file and line."""

from __future__ import annotations

import traceback
from pathlib import Path

from pipelines.spec.installed_code import is_installed
from search_spaces.error_text import STACK_LINE, shorten_message

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_TYPED = frozenset({"<stdin>", "<string>"})
"""Names of files that Python gives to code of standard input and to text that is run."""


def describe_error(error: BaseException, path: Path) -> str:
    """Return `ValueError: message (loader.py, line 12)` for an error raised by the code in `path`, or beside it.

    Without a line where only libraries raised, as where Keras trains what the code has built.
    """
    if isinstance(error, SyntaxError):
        file = Path(error.filename).name if error.filename else path.name
        return f"{type(error).__name__}: {error.msg} ({file}, line {error.lineno})"
    message = shorten_message(str(error))
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{what} ({_find_place(error, path) or path.name})"


def _find_place(error: BaseException, path: Path) -> str:
    """Return file and line of the innermost frame in the user's folder: those below it are in libraries.

    Code that came as an object, and has a pickle, has its frames elsewhere: in a script, a notebook, standard input.
    """
    frames = [(Path(frame.filename), frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    # A layer's call runs inside a graph: its frames are in the message alone.
    frames += [(Path(found["file"]), int(found["line"])) for found in STACK_LINE.finditer(str(error))]
    if own := [(file, line) for file, line in frames if _is_own(file, path.parent)]:
        return f"{own[-1][0].relative_to(path.parent)}, line {own[-1][1]}"
    if not path.with_suffix(".pkl").exists():
        return ""
    sent = [(file, line) for file, line in frames if not _is_library(file)]
    return f"{_name_file(sent[-1][0])}, line {sent[-1][1]}" if sent else ""


def _is_own(file: Path, folder: Path) -> bool:
    return file.is_relative_to(folder) and _INSTALLED.isdisjoint(file.parts)


def _is_library(file: Path) -> bool:
    # Files without a path, such as `<__array_function__ internals>`, are Python's or a library's.
    if not file.is_absolute():
        return file.name not in _TYPED
    return is_installed(str(file)) or file.name.startswith("__autograph_generated")


def _name_file(file: Path) -> str:
    return "notebook cell" if "ipykernel" in str(file) else file.name
