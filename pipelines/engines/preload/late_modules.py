"""Stand-ins for modules that a library imports at its start and needs in few functions: loaded at their first call.

Unlike a hidden module, which the library takes for missing, a stand-in works; unlike `importlib.util.LazyLoader` it
stands `from module import function` without loading.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class LateModule(ModuleType):
    """A module, or something in it, whose attributes are stand-ins too; a call loads the module."""

    def __init__(self, module: str, *path: str) -> None:
        super().__init__(".".join([module, *path]))
        self._module = module
        self._path = path

    def __getattr__(self, name: str) -> LateModule:
        """Return the stand-in for an attribute; Python's special ones do not exist."""
        if name.startswith("__"):
            raise AttributeError(name)
        return LateModule(self._module, *self._path, name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Load the module, and call what this stands for."""
        found: Any = importlib.import_module(self._module)
        for name in self._path:
            found = getattr(found, name)
        return found(*args, **options)


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
