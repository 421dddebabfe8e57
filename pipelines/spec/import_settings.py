"""Keras's policy of mixed precision that a user's file sets while it is imported.

A file is imported once in a process, and `keras.backend.clear_session`, which begins each training, forgets the policy.
So it is set again whenever the file is used again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_policies: dict[str, str] = {}


@contextmanager
def record_policy(module: str) -> Iterator[None]:
    """Record the policy that is set in this block, by the name of the module that is imported in it."""
    before = _read_policy()
    yield
    after = _read_policy()
    if after is not None and after != (before or "float32"):
        _policies[module] = after


def restore_policy(module: str) -> None:
    """Set the policy that a module set when it was imported; nothing where it set none."""
    if module in _policies:
        sys.modules["keras"].config.set_dtype_policy(_policies[module])


def _read_policy() -> str | None:
    """Return the name of the policy; None where Keras is not loaded."""
    # Its import takes seconds, and code that sets a policy has imported it.
    keras = sys.modules.get("keras")
    return None if keras is None else keras.config.dtype_policy().name
