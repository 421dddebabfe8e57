"""Errors of the user's code in one line: what was raised, then its file and line.

TensorFlow puts the stack of a graph's node before the reason, and Keras the arguments of a layer behind it.
"""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from pipelines.spec.installed_code import is_installed

_MOST_CHARACTERS = 500
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # Keras colours parts of its messages for a terminal
_ARGUMENTS = "\n\nArguments received by"
_STACK_LINE = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')
_NO_REASON = re.compile(r"Graph execution error:|Detected at node |\s*\[\[\{\{node |Stack trace for op definition|\s*$")
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_TYPED = frozenset({"<stdin>", "<string>"})
"""Names of files that Python gives to code of standard input and to text that is run."""


def describe_error(error: BaseException, path: Path) -> str:
    """Return `ValueError: message (loader.py, line 12)` for an error raised by the code in `path`, or beside it."""
    if isinstance(error, SyntaxError):
        file = Path(error.filename).name if error.filename else path.name
        return f"{type(error).__name__}: {error.msg} ({file}, line {error.lineno})"
    message = _shorten(str(error))
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    place = _find_place(error, path)
    return f"{what} ({place})" if place else what


def _shorten(text: str) -> str:
    """Return a message in one line; of a long one its beginning and its last line, which has the reason."""
    lines = [" ".join(line.split()) for line in _COLOURS.sub("", text).partition(_ARGUMENTS)[0].splitlines()]
    telling = [line for line in lines if not _STACK_LINE.match(line) and not _NO_REASON.match(line)]
    whole = " ".join(telling or lines).strip()
    if len(whole) <= _MOST_CHARACTERS:
        return whole
    last = telling[-1] if telling else lines[-1]
    begin = _MOST_CHARACTERS - len(last)
    return f"{whole[:begin]} ... {last}" if begin > 0 else f"{last[:_MOST_CHARACTERS]} ..."


def _find_place(error: BaseException, path: Path) -> str:
    """Return file and line of the innermost frame in the user's folder: those below it are in libraries.

    Code that came as an object, and has a pickle, has its frames elsewhere: in a script, a notebook, standard input.
    """
    frames = [(Path(frame.filename), frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    # A layer's call runs inside a graph: its frames are in the message alone.
    frames += [(Path(found["file"]), int(found["line"])) for found in _STACK_LINE.finditer(str(error))]
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
