"""Imports of libraries for reports, ahead of their use and without optional dependencies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def load_libraries(*, lean: bool) -> None:
    """Import the libraries for figures and reports, for example in a thread while trials train.

    With `lean`, leave out scikit-learn, which takes a second. Optuna's other evaluators of importance then fail in this
    process as if it were not installed.
    """
    with hide_modules(*(["sklearn"] if lean else [])):
        import optuna.importance  # noqa: F401
    import jinja2  # noqa: F401

    import tracking.reports.study_report  # noqa: F401


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
