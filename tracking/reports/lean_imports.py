"""Imports that leave out what a library would load besides, though it can do without it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def hide_modules(*names: str) -> Iterator[None]:
    """Let modules seem not to be installed to what is imported meanwhile; those that are loaded already are seen."""
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in names if name not in modules]
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            if modules.get(name, ...) is None:
                del modules[name]
