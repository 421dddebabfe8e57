"""Sign-in of people: with a password, with a token, or with an identity provider; every attempt is in the audit log."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

from pipelines.service.config import SignInSpec
from pipelines.service.errors import SignInError
from pipelines.service.sign_in.callers import Callers
from pipelines.service.sign_in.oidc import Attempt, OidcProvider
from tracking.store.accounts import Account, Accounts, Identity
from tracking.store.audit import AuditLog
from tracking.store.database import Store
from tracking.store.sign_ins import SignIns

_WINDOW_S = 900.0
_MAX_FAILURES = 10  # of one name in that time
_MAX_FAILURES_IN_ALL = 500
_MAX_AT_ONCE = 8  # of the threads that all routes share: hashes and a provider's answers take long
_SUBJECT = "token:"


class SignIn:
    """Ways to sign in to a service."""

    def __init__(self, store: Store, callers: Callers, spec: SignInSpec) -> None:
        self._accounts = Accounts(store)
        self._sign_ins = SignIns(store)
        self._audit = AuditLog(store)
        self._callers = callers
        self._failures = FailureLimit(_MAX_FAILURES, _MAX_FAILURES_IN_ALL)
        # Apart: wrong tokens must lock out nobody, and only their lines in the log are limited.
        self._wrong_tokens = FailureLimit(_MAX_FAILURES, _MAX_FAILURES)
        self._slots = threading.BoundedSemaphore(_MAX_AT_ONCE)
        self.takes_passwords = spec.passwords
        self._provider = None if spec.oidc is None else OidcProvider(spec.oidc)
        self.button = "" if spec.oidc is None else spec.oidc.button

    def with_password(self, name: str, password: str, request: str) -> str:
        """Return the text of a new session of an account.

        Args:
            name: the account's name.
            password: its password.
            request: id of the HTTP request.

        Raises:
            SignInError: if name or password are wrong, or there were too many wrong ones.
        """
        name = name.strip()[:100]
        if not self.takes_passwords:
            raise SignInError("this service takes no passwords")
        self._check_failures(name)
        with self._acquire_slot():
            account = self._sign_ins.check_password(name, password)
        if account is None:
            self._fail(self._failures, name, request, "wrong name or password")
        return self._begin(account, request, "password")

    def with_token(self, text: str, request: str) -> str:
        """Return the text of a new session of a token's account, with the token's scope; it ends with the token.

        Raises:
            SignInError: if the token is not valid, or there were too many wrong ones.
        """
        caller = self._callers.check_token(text.strip())
        account = None if caller is None else self._accounts.find_by_id(caller.id)
        if caller is None or account is None:
            self._fail(self._wrong_tokens, "", request, "the token is not valid")
        return self._begin(account, request, "token", caller.credential.removeprefix(_SUBJECT))

    def go_to_provider(self, redirect_uri: str, next_: str) -> tuple[str, Attempt]:
        """Return the provider's address and what the browser keeps; see `OidcProvider.begin`.

        Raises:
            SignInError: if there is no provider, or it does not answer.
        """
        with self._acquire_slot():
            return self._get_provider().begin(redirect_uri, next_)

    def with_provider(self, attempt: Attempt, redirect_uri: str, answer: Mapping[str, str], request: str) -> str:
        """Return the text of a new session of whoever came back from the provider; see `OidcProvider.finish`.

        Raises:
            SignInError: if nobody is signed in by that.
        """
        try:
            with self._acquire_slot():
                person = self._get_provider().finish(attempt, redirect_uri, answer)
        except SignInError as error:
            self._fail(self._wrong_tokens, "", request, str(error))
        account = self._sign_ins.enter_from_provider(person.issuer, person.subject, person.name, person.scope)
        return self._begin(account, request, "provider")

    def end(self, cookies: str, caller: Identity, request: str) -> None:
        """End the session in a `Cookie` header."""
        self._callers.sessions.end(self._callers.find_session(cookies))
        self._audit.record("sign_out", caller.name, caller, request=request)

    def change_password(self, caller: Identity, old: str, new: str) -> None:
        """Change the password of the caller's account, and end its sessions.

        Raises:
            SignInError: if the old one is wrong, or there were too many wrong ones.
            InputError: if the new one is too short or too long.
        """
        self._check_failures(caller.name)
        with self._acquire_slot():
            account = self._sign_ins.check_password(caller.name, old)
        if account is None or account.id != caller.id:
            self._failures.add(caller.name)
            raise SignInError("the old password is wrong")
        self._sign_ins.set_password(account, new)

    def has_password(self, caller: Identity) -> bool:
        """Return whether the caller's account has a password."""
        return self._sign_ins.has_password(caller.id)

    @contextmanager
    def _acquire_slot(self) -> Iterator[None]:
        # Refused, not queued: strangers can send any number of these requests.
        if not self._slots.acquire(blocking=False):
            raise SignInError("many people sign in at this moment: try again")
        try:
            yield
        finally:
            self._slots.release()

    def _get_provider(self) -> OidcProvider:
        if self._provider is None:
            raise SignInError("this service has no identity provider")
        return self._provider

    def _begin(self, account: Account, request: str, way: str, token: str | None = None) -> str:
        text = self._callers.sessions.begin(account, token)
        caller = Identity(account.id, account.name, account.scope)
        self._audit.record("sign_in", account.name, caller, details=way, request=request)
        return text

    def _check_failures(self, name: str) -> None:
        if self._failures.is_reached(name):
            raise SignInError(f"too many wrong passwords: wait {_WINDOW_S / 60:.0f} minutes, or use a token")

    def _fail(self, failures: FailureLimit, name: str, request: str, reason: str) -> NoReturn:
        # Beyond the limit no line is written, so that strangers cannot fill the log.
        if not failures.is_reached(name):
            self._audit.record("sign_in", name, None, outcome="refused", details=reason, request=request)
        failures.add(name)
        raise SignInError(reason)


class FailureLimit:
    """Limit on failures of one name, and of all, in a quarter of an hour.

    Not by address: behind a proxy, all people have the same one.
    """

    def __init__(self, most: int, most_in_all: int) -> None:
        self._most = most
        self._most_in_all = most_in_all
        self._lock = threading.Lock()
        self._failures: deque[tuple[float, str]] = deque(maxlen=most_in_all)

    def add(self, name: str) -> None:
        """Count a failure."""
        with self._lock:
            self._failures.append((time.monotonic(), name))

    def is_reached(self, name: str) -> bool:
        """Return whether further attempts are to be refused."""
        since = time.monotonic() - _WINDOW_S
        with self._lock:
            while self._failures and self._failures[0][0] < since:
                self._failures.popleft()
            of_name = sum(1 for _, each in self._failures if each == name)
            return of_name >= self._most or len(self._failures) >= self._most_in_all
