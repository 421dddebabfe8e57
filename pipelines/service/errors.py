"""Errors of the service besides bad input: forbidden requests, and too large or too many ones.

::

    KerastudyError
        ForbiddenError
        TooMuchError
"""

from __future__ import annotations

from search_spaces.errors import KerastudyError
from tracking.store.tokens import Scope, Token


class ForbiddenError(KerastudyError):
    """The token's scope does not allow the request."""


class TooMuchError(KerastudyError):
    """A body is too large, or there are too many requests of a kind at once."""


def require_scope(token: Token, scope: Scope) -> None:
    """Check that a token's scope includes another one.

    Raises:
        ForbiddenError: if it does not.
    """
    if not token.has_scope(scope):
        raise ForbiddenError(f'the token "{token.name}" has the scope {token.scope}; this needs {scope}')
