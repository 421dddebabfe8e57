"""Errors of the service besides bad input: forbidden requests, and too large or too many ones.

::

    KerastudyError
        ForbiddenError
        TooMuchError
"""

from __future__ import annotations

from search_spaces.errors import KerastudyError
from tracking.store.accounts import Identity, Scope


class ForbiddenError(KerastudyError):
    """The token's scope does not allow the request."""


class TooMuchError(KerastudyError):
    """A body is too large, or there are too many requests of a kind at once."""


def require_scope(caller: Identity, scope: Scope) -> None:
    """Check that a caller's scope includes another one.

    Raises:
        ForbiddenError: if it does not.
    """
    if not caller.has_scope(scope):
        raise ForbiddenError(f'{caller.name} has the scope {caller.scope} here; this needs {scope}')
