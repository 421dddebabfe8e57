"""Stand-ins for modules that a library imports at its start and needs in few functions: loaded at their first call.

Unlike a hidden module, which the library takes for missing, a stand-in works; unlike `importlib.util.LazyLoader` it
stands `from module import function` without loading.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class LateModule(ModuleType):
    """A module, or something in it, whose attributes are stand-ins too; a call loads the module.

    Once the module is loaded the attributes are its own: `value is pandas.NA` must not be false of pandas's NA.
    """

    def __init__(self, module: str, *path: str) -> None:
        super().__init__(".".join([module, *path]))
        self._module = module
        self._path = path

    def __getattr__(self, name: str) -> Any:
        """Return the attribute, or a stand-in while the module is not loaded; Python's special ones do not exist."""
        if name.startswith("__"):
            raise AttributeError(name)
        if (module := self._get_loaded()) is not None:
            return getattr(self._find(module), name)
        return LateModule(self._module, *self._path, name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Load the module, and call what this stands for."""
        return self._find(importlib.import_module(self._module))(*args, **options)

    def __instancecheck__(self, instance: Any) -> bool:
        """Return whether an object is of the class that this stands for: of none, while the module is not loaded."""
        module = self._get_loaded()
        return module is not None and isinstance(instance, self._find(module))

    def __or__(self, other: object) -> Any:
        """Return the type of an annotation, for which any will do."""
        return Any

    __ror__ = __or__

    def _get_loaded(self) -> ModuleType | None:
        """Return the module, if it is loaded as a whole."""
        module = sys.modules.get(self._module)
        if module is None or isinstance(module, LateModule) or getattr(module.__spec__, "_initializing", False):
            return None
        return module

    def _find(self, module: ModuleType) -> Any:
        found: Any = module
        for name in self._path:
            found = getattr(found, name)
        return found


class LateDecorator(LateModule):
    """A function whose call gives a function: a call of that one loads the module."""

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a stand-in for what the function in the module gives for `function`."""

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            return self._find(importlib.import_module(self._module))(function)(*args, **options)

        return call


@contextmanager
def import_late(*names: str) -> Iterator[None]:
    """Let imports in this block get stand-ins for modules that are not loaded yet; later imports get the modules."""
    modules: dict[str, Any] = sys.modules
    given = {name: LateModule(name) for name in names if name not in modules}
    modules.update(given)
    try:
        yield
    finally:
        for name, stand_in in given.items():
            if modules.get(name) is stand_in:
                del modules[name]
