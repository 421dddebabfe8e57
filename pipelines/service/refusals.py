"""What a service refuses besides bad input."""

from __future__ import annotations

from search_spaces.errors import KerastudyError


class ForbiddenError(KerastudyError):
    """The token's scope does not allow what was asked."""


class TooMuchError(KerastudyError):
    """What was sent is too large, or too many ask for the same at once."""
