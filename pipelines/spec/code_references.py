"""References to the user's Python code: `file.py:function`, loaded by path.

The name of the loaded module depends on path and content. So two studies may both have a `loader.py`, and an edited
file is loaded again. The file's folder is appended to `sys.path`: an import that would find another module than the one
beside the file is refused. A search that the file starts while it is imported is not run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from pipelines.spec.code_errors import describe_error
from pipelines.spec.import_conflicts import find_import_conflict
from pipelines.spec.import_settings import record_policy, restore_policy
from pipelines.spec.search_guard import SearchStarted, StoppedImport, guard_import, locate_search
from search_spaces.errors import InputError, Problem, suggest_choice

# By the name of the module.
_stopped: dict[str, StoppedImport] = {}


def load_function(reference: str, base: Path, key: str) -> Callable[..., Any]:
    """Return the function or class of `reference`; see `load_object`.

    Raises:
        InputError: as `load_object` does, and if it is no function.
    """
    function = load_object(reference, base, key)
    if not callable(function):
        message = f"expected {reference} to be a function, got {type(function).__name__}"
        raise InputError(Problem(message, key))
    return function  # type: ignore[no-any-return]


def load_object(reference: str, base: Path, key: str) -> Any:
    """Return the object of a reference such as `loader.py:load`.

    Args:
        reference: path of a Python file, a colon, and a name that the file defines at its top level.
        base: folder that the path is relative to.
        key: dotted key of the study file that holds the reference, for the error.

    Raises:
        InputError: if the file or the name is not there, the file cannot be imported, or one of its imports would
            find another module than the one beside it.
    """
    path, name = split_reference(reference, base, key)
    module = _load_module(path, reference, key)
    if not hasattr(module, name):
        public = [word for word, value in vars(module).items() if callable(value) and not word.startswith("_")]
        advice = f"; {stop}" if (stop := _stopped.get(module.__name__)) else f"; {suggest_choice(name, public)}"
        raise InputError(Problem(f'{path.name} defines no "{name}"{advice}', key))
    return getattr(module, name)


def find_stopped_import(reference: str, base: Path, key: str) -> StoppedImport | None:
    """Return where a file started a search while it was imported, so that the rest of it was not run.

    Raises:
        InputError: as `load_object` does.
    """
    path, _ = split_reference(reference, base, key)
    return _stopped.get(_load_module(path, reference, key).__name__)


def load_callables_beside(reference: str, base: Path, key: str) -> dict[str, Any]:
    """Return all functions and classes of the file in `reference`, by name; see `load_object`.

    Raises:
        InputError: as `load_object` does.
    """
    module = _load_module(split_reference(reference, base, key)[0], reference, key)
    return {name: value for name, value in vars(module).items() if callable(value)}


def is_reference(written: object) -> bool:
    """Return whether a value of a study file is a reference to code, such as `file.py:function`."""
    return isinstance(written, str) and ":" in written


def split_reference(reference: str, base: Path | None, key: str) -> tuple[Path, str]:
    """Return the file and the name in `file.py:name`.

    Args:
        reference: see `load_object`.
        base: see `load_object`; with None the file is not checked, and its path stays relative.
        key: see `load_object`.

    Raises:
        InputError: if it is not written like that, or there is no such file.
    """
    written, _, name = reference.rpartition(":")
    if not written.endswith(".py") or not name.isidentifier():
        raise InputError(Problem(f'expected "file.py:function", got "{reference}"', key))
    if base is None:
        return Path(written), name
    path = (base / written).resolve()
    if not path.is_file():
        beside = [file.name for file in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise InputError(Problem(f"there is no file {written}; {suggest_choice(path.name, beside)}", key))
    return path, name


def _load_module(path: Path, reference: str, key: str) -> ModuleType:
    content = hashlib.sha256(str(path).encode() + b"\0" + path.read_bytes()).hexdigest()
    name = f"kerastudy_user_{content[:16]}"
    if name in sys.modules:
        restore_policy(name)
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=_SourceLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise InputError(Problem(f"{reference} cannot be imported", key))
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    if (conflict := find_import_conflict(path)) is not None:
        raise InputError(Problem(str(conflict), key))
    module = importlib.util.module_from_spec(spec)
    # Before it runs: dataclasses look up their module while they are defined.
    sys.modules[name] = module
    try:
        with record_policy(name), guard_import():
            spec.loader.exec_module(module)
    except SearchStarted as started:
        stop = locate_search(started)
        if stop.file != path:  # a module that it imports, which Python discards
            del sys.modules[name]
            raise InputError(Problem(f"{path.name} cannot be imported: {stop}", key)) from None
        _stopped[name] = stop
    # A user's module may fail in any way, `sys.exit()` at its top level included.
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(Problem(f"{path.name} cannot be imported: {describe_error(error, path)}", key)) from error
    return module


class _SourceLoader(SourceFileLoader):
    """Loader that compiles the source each time.

    Cached bytecode counts as fresh where time in seconds and size are equal: an edit within a second that keeps the
    size would go unnoticed. It would also be written into the user's folder.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Return the compiled source."""
        return self.source_to_code(self.get_data(self.path), self.path)
