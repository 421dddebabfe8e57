"""What a service refuses besides bad input."""

from __future__ import annotations

from search_spaces.errors import KerastudyError
from tracking.store.tokens import Scope, Token


class ForbiddenError(KerastudyError):
    """The token's scope does not allow what was asked."""


class TooMuchError(KerastudyError):
    """What was sent is too large, or too many ask for the same at once."""


def require_scope(token: Token, scope: Scope) -> None:
    """Make sure that a token's scope takes in another.

    Raises:
        ForbiddenError: if it does not.
    """
    if not token.has_scope(scope):
        raise ForbiddenError(f'the token "{token.name}" has the scope {token.scope}; this needs {scope}')
