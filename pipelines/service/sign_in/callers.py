"""Callers of the service: who a token or a session's cookie belongs to, and whether it still does."""

from __future__ import annotations

import asyncio
import time

from pipelines.service.config import ServiceSpec
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.sessions import Sessions
from tracking.store.tokens import Tokens

_RECHECK_S = 2.0  # so soon an open stream ends after its token


class Callers:
    """Tokens and sessions of one store.

    Args:
        store: holds them.
        idle_s: seconds without a request after which a session ends.
        longest_s: seconds after which a session ends in any case.
        is_secure: whether browsers reach the service with TLS.
    """

    def __init__(self, store: Store, idle_s: float, longest_s: float, *, is_secure: bool) -> None:
        self._tokens = Tokens(store)
        self.sessions = Sessions(store, idle_s, longest_s)
        self.longest_s = longest_s
        self.is_secure = is_secure
        # With the prefix, browsers take the cookie from this host alone, with TLS.
        self.cookie = "__Host-kerastudy" if is_secure else "kerastudy"

    def check_token(self, text: str) -> Identity | None:
        """Return who has a token; None if nobody does."""
        return self._tokens.check(text)

    def check_session(self, cookies: str) -> Identity | None:
        """Return who has the session in a `Cookie` header; None if nobody does."""
        text = self.find_session(cookies)
        return self.sessions.check(text) if text else None

    def find_session(self, cookies: str) -> str:
        """Return the text of the session in a `Cookie` header; empty if there is none."""
        pairs = (pair.strip().partition("=") for pair in cookies.split(";"))
        found = [value for name, _, value in pairs if name == self.cookie]
        # Of two, a page on another port of this host may have set the other one.
        return found[0] if len(found) == 1 else ""

    def is_valid(self, caller: Identity) -> bool:
        """Return whether a caller's token or session is still there."""
        table = self._tokens if caller.credential.startswith("token:") else self.sessions
        return table.recheck(caller.credential) is not None


class CallerWatch:
    """Watch on the caller of an open stream; it reads the store every few seconds."""

    def __init__(self, callers: Callers, caller: Identity) -> None:
        self._callers = callers
        self._caller = caller
        self._checked = time.monotonic()

    async def is_valid(self) -> bool:
        """Return whether the caller's token or session was still there some seconds ago."""
        if time.monotonic() - self._checked < _RECHECK_S:
            return True
        self._checked = time.monotonic()
        return await asyncio.to_thread(self._callers.is_valid, self._caller)


def make_callers(store: Store, spec: ServiceSpec) -> Callers:
    """Return the callers of a service with an operator's settings."""
    is_secure = spec.tls is not None or spec.tls_in_front
    return Callers(store, spec.sign_in.idle, spec.sign_in.longest, is_secure=is_secure)
