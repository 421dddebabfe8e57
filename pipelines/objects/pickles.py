"""Pickles of user code, for the folder of a study; `kerastudy_pickle` loads them."""

from __future__ import annotations

import io
import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle

from pipelines.objects.captured import is_user_code, list_imports, list_parts, list_user_folders, list_user_modules
from pipelines.objects.keras_settings import read_keras_settings
from search_spaces.errors import InputError

_DEEPEST = 12  # chosen: levels of an object that are searched for what cannot be pickled


@dataclass(frozen=True)
class PickledCode:
    """A pickle of code.

    Attributes:
        content: the pickle, for `load_pickle`.
        modules: modules that the code imports: installed ones, and the user's that a function imports when it runs.
    """

    content: bytes
    modules: tuple[str, ...]


def pickle_code(name: str, value: Any) -> PickledCode:
    """Return the pickle of a function, class or instance, with all user code that it uses.

    Args:
        name: the name that `load_pickle` returns it under.
        value: the object.

    Raises:
        InputError: if it uses what cannot be pickled.
    """
    with _pickle_user_modules_by_value():
        pickler, _ = _dump(value, name)
        # Once more, now that the classes are known: Keras loads a model's layers by their names.
        classes = {each.__name__: each for each in reversed(pickler.found) if each.__name__.isidentifier()}
        content = {
            "names": {**classes, name: value},
            "registered": _list_registered(pickler.found),
            "settings": read_keras_settings(),
            # Of modules that the code imports only when it runs.
            "folders": list_user_folders(),
            # TensorFlow compiles functions from their source, and the script may be edited later.
            "sources": _read_sources(pickler.found),
        }
        return PickledCode(_dump(content, name)[1], _list_modules(pickler))


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickler that lists what it pickles: by value functions and classes, by name what comes from modules."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.found: list[Any] = []
        self.modules: set[str] = set()

    def reducer_override(self, value: Any) -> Any:
        """Return how to pickle a value."""
        # cloudpickle would send what is left to read of an open text file.
        if isinstance(value, io.TextIOWrapper) and value not in (sys.stdout, sys.stderr):
            raise TypeError("cannot pickle an open file")
        if isinstance(value, type | FunctionType | ModuleType):
            if not is_user_code(value):
                self.modules.add(value.__name__ if isinstance(value, ModuleType) else str(value.__module__))
            elif not isinstance(value, ModuleType) and value not in self.found:
                self.found.append(value)
        return super().reducer_override(value)


def _dump(value: Any, name: str) -> tuple[_Pickler, bytes]:
    file = io.BytesIO()
    pickler = _Pickler(file)
    try:
        pickler.dump(value)
    # Whatever an object's own `__reduce__` raises.
    except Exception as error:
        path, found = _find_unsendable(value, name)
        raise _explain(path, found, error) from error
    return pickler, file.getvalue()


def _explain(path: list[str], found: Any, error: Exception) -> InputError:
    kind = type(found)
    name = kind.__name__ if kind.__module__ in ("builtins", "_thread", "_io") else f"{kind.__module__}.{kind.__name__}"
    what = f"{path[0]} uses {path[-1]}, of type {name}," if len(path) > 1 else f"{path[0]}, of type {name},"
    # The names on the way, where the last one alone may be anything's.
    way = f" (by way of {', '.join(path[1:-1])})" if len(path) > 2 else ""
    hint = f'make it inside {path[0]}, or write the code to a file and pass "file.py:{path[0]}"'
    return InputError(f"{what} which cannot be sent to a worker process{way}: {error}; {hint}")


def _find_unsendable(value: Any, name: str) -> tuple[list[str], Any]:
    """Return the way to the deepest part of a value that cannot be pickled, and that part."""
    path, seen = [name], {id(value)}
    while len(path) < _DEEPEST:
        parts = [(word, each) for word, each in list_parts(value) if id(each) not in seen and not _is_sendable(each)]
        if not parts:
            break
        word, value = parts[0]
        seen.add(id(value))
        if word.startswith((".", "[")):
            path[-1] += word
        else:
            path.append(word)
    return path, value


def _is_sendable(value: Any) -> bool:
    try:
        _Pickler(io.BytesIO()).dump(value)
    except Exception:
        return False
    return True


def _list_registered(found: list[Any]) -> list[tuple[str, Any]]:
    """Return the classes and functions that the user has registered with Keras, with their names there."""
    # Without Keras in this process nothing can be registered, and importing it takes seconds.
    if "keras" not in sys.modules:
        return []
    import keras

    registered = keras.saving.get_custom_objects().items()
    return [(name, each) for each in found for name, value in registered if value is each]


def _list_modules(pickler: _Pickler) -> tuple[str, ...]:
    """Return the top-level names of the modules that pickled code imports, without Python's own."""
    functions = [each for each in pickler.found if isinstance(each, FunctionType)]
    names = {*pickler.modules, *(name for each in functions for name in list_imports(each.__code__))}
    return tuple(sorted({name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"__main__"}))


def _read_sources(found: list[Any]) -> dict[str, list[str]]:
    """Return the lines of the files and notebook cells that functions were defined in, as far as they are known."""
    files = {each.__code__.co_filename for each in found if isinstance(each, FunctionType)}
    return {file: lines for file in sorted(files) if (lines := linecache.getlines(file))}


@contextmanager
def _pickle_user_modules_by_value() -> Iterator[None]:
    known = cloudpickle.list_registry_pickle_by_value()
    added: list[ModuleType] = [each for each in list_user_modules() if each.__name__ not in known]
    for each in added:
        cloudpickle.register_pickle_by_value(each)
    try:
        yield
    finally:
        for each in added:
            cloudpickle.unregister_pickle_by_value(each)
