"""Parts of Python objects, by name: what a function captures, what a class or an instance holds.

User code is what no package manager installed: the main script, a notebook, a module beside it. Workers get it by
value; of installed modules they get the name.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from pipelines.spec.installed_code import is_installed

_GLOBAL_OPERATIONS = frozenset({"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME"})
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that a `class` statement made; not all others have a public name
_NOT_CONTENT = frozenset(
    {
        *("__dict__", "__weakref__", "__module__", "__doc__", "__qualname__", "__firstlineno__"),
        *("__static_attributes__", "_abc_impl", "__abstractmethods__"),
    }
)
"""Attributes of a class that follow from others, or from the place of its text."""


def list_user_modules() -> list[ModuleType]:
    """Return the imported modules of the user besides the main script."""
    modules = [module for name, module in list(sys.modules.items()) if getattr(module, "__name__", "") == name]
    return [module for module in modules if module.__name__ != "__main__" and is_user_code(module)]


def list_user_folders() -> list[str]:
    """Return the full paths of the folders that the user's modules are imported from."""
    # An empty entry is the current folder.
    folders = [str(Path(entry).resolve()) for entry in sys.path]
    return [folder for folder in dict.fromkeys(folders) if Path(folder).is_dir() and _is_user_path(folder)]


def is_user_code(value: Any) -> bool:
    """Return whether a function, class or module is the user's, so that its content counts and not its name."""
    if isinstance(value, ModuleType):
        return value.__name__ == "__main__" or _is_user_path(_locate_module(value))
    if isinstance(value, type) and not value.__flags__ & _HEAP_TYPE:
        return False
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or is_user_code(module):
        return True
    found: Any = module
    # A function inside another one, or one that was replaced, cannot be imported by its name.
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is not value


def list_captured(function: FunctionType) -> dict[str, Any]:
    """Return what a function uses from outside of it: its defaults, enclosing variables and globals, by name."""
    code = function.__code__
    arguments = code.co_varnames[: code.co_argcount]
    defaults = function.__defaults__ or ()
    captured = dict(zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True))
    captured |= function.__kwdefaults__ or {}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            captured[name] = cell.cell_contents
        except ValueError:  # assigned later, or never
            continue
    names = sorted(_list_global_names(code))
    return captured | {name: function.__globals__[name] for name in names if name in function.__globals__}


def list_members(value: type | ModuleType) -> dict[str, Any]:
    """Return the content of a class or a module, by name."""
    if isinstance(value, ModuleType):
        return {name: each for name, each in sorted(vars(value).items()) if not name.startswith("__")}
    return {name: each for name, each in sorted(vars(value).items()) if name not in _NOT_CONTENT}


def list_parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a value with what each is called in an error; a library's object is one part."""
    if isinstance(value, FunctionType | type | ModuleType):
        if is_user_code(value):
            yield from (list_captured(value) if isinstance(value, FunctionType) else list_members(value)).items()
    elif isinstance(value, Mapping):
        yield from ((f"[{key!r}]", each) for key, each in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{index}]", each) for index, each in enumerate(value))
    elif isinstance(value, partial):
        yield from (("func", value.func), ("args", value.args), ("keywords", value.keywords))
    elif isinstance(value, MethodType | staticmethod | classmethod):
        yield from ((f".{name}", part) for name in ("__self__", "__func__") if (part := getattr(value, name, None)))
    elif isinstance(value, property):
        yield from ((f".{name}", part) for name in ("fget", "fset", "fdel") if (part := getattr(value, name)))
    elif is_user_code(type(value)):
        yield from ((f".{name}", each) for name, each in getattr(value, "__dict__", {}).items())
        yield type(value).__name__, type(value)


def list_imports(code: CodeType) -> set[str]:
    """Return the names of the modules that a function imports when it is called; relative ones not."""
    return {step.argval for step in _iterate_steps(code) if step.opname == "IMPORT_NAME" and step.argval}


def _list_global_names(code: CodeType) -> set[str]:
    return {step.argval for step in _iterate_steps(code) if step.opname in _GLOBAL_OPERATIONS}


def _iterate_steps(code: CodeType) -> Iterator[dis.Instruction]:
    """Yield the instructions of code and of the functions in it."""
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _iterate_steps(constant)


def _locate_module(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    if file is not None:
        return str(file)
    folders = list(getattr(module, "__path__", ()))  # of a package without `__init__.py`
    return str(folders[0]) if folders else None


def _is_user_path(path: str | None) -> bool:
    return path is not None and not is_installed(path)
