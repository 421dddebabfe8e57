"""Optional modules hidden from a library that looks for them when it is imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def hide_modules(*names: str) -> Iterator[None]:
    """Hide modules from imports in the context, as if not installed; modules that are loaded already stay visible."""
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in names if name not in modules]
    # Python raises ImportError for a module that is None in `sys.modules`.
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            if modules.get(name, ...) is None:
                del modules[name]
