"""Errors of the service besides bad input: forbidden requests, and too large or too many ones.

::

    KerastudyError
        ForbiddenError
            SignInError
        TooMuchError
        NoRoomError
        ChangedError
        BusyError
            CeilingError
"""

from __future__ import annotations

from search_spaces.errors import KerastudyError
from tracking.store.accounts import Identity, Scope


class ForbiddenError(KerastudyError):
    """The token's scope does not allow the request."""


class SignInError(ForbiddenError):
    """Nobody is signed in by this attempt."""


class TooMuchError(KerastudyError):
    """A body is too large."""


class NoRoomError(KerastudyError):
    """Uploads take all the room that they may."""


class ChangedError(KerastudyError):
    """A study is not as it was when the caller read it."""


class BusyError(KerastudyError):
    """The service does as much of a kind as it can; the same request may succeed later."""


class CeilingError(BusyError):
    """The caller itself does as much of a kind as one caller may."""


def require_scope(caller: Identity, scope: Scope) -> None:
    """Check that a caller's scope includes another one.

    Raises:
        ForbiddenError: if it does not.
    """
    if not caller.has_scope(scope):
        raise ForbiddenError(f"{caller.name} has the scope {caller.scope} here; this needs {scope}")
