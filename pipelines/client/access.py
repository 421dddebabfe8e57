"""`AccessClient`, the interface to accounts, tokens and the audit log, of a home or of a service."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import TypeAdapter

from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.store.accounts import LOCAL_USER, Account, Accounts, Identity, Scope
from tracking.store.audit import AuditLine, AuditLog
from tracking.store.database import Store
from tracking.store.tokens import DEFAULT_LABEL, Token, Tokens

if TYPE_CHECKING:
    import httpx

    Request = Callable[..., httpx.Response]

_PAGE = 1000


class AccessClient(Protocol):
    """Accounts, tokens and audit log of a home (`LocalAccess`) or of a service (`HttpAccess`).

    Each method raises InputError if the request is refused, and KerastudyError if the service does not answer. Where a
    name may be None, it is that of the caller's own account.
    """

    def list_tokens(self, *, own: bool = False) -> Sequence[Token]:
        """Return all tokens, or the caller's own."""

    def create_token(
        self,
        name: str | None,
        scope: Scope | None = None,
        running_trials: int | None = None,
        *,
        label: str = DEFAULT_LABEL,
        lifetime_s: float | None = None,
    ) -> str:
        """Create a token and return its text."""

    def rotate_token(self, name: str | None, label: str, *, overlap_s: float, lifetime_s: float | None) -> str:
        """Replace a token by a new one and return its text."""

    def remove_token(self, name: str | None, label: str | None = None) -> None:
        """Remove a token, or all of an account."""

    def list_accounts(self) -> Sequence[Account]:
        """Return all accounts."""

    def create_account(self, name: str, scope: Scope, password: str, running_trials: int | None) -> None:
        """Create an account with a password."""

    def change_account(self, name: str, *, scope: Scope | None = None, password: str | None = None) -> None:
        """Change what an account may do, or its password."""

    def remove_account(self, name: str) -> None:
        """Remove an account with its tokens and sessions."""

    def list_audit(self, limit: int, **filters: Any) -> Sequence[AuditLine]:
        """Return lines of the audit log, the newest first; see `AuditLog.list`."""


class LocalAccess:
    """Accounts, tokens and audit log of a home; see `AccessClient`. What it changes is in the audit log too."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def list_tokens(self, *, own: bool = False) -> Sequence[Token]:
        """Return all tokens of the home's service."""
        _require_name("", is_given=not own)
        with Store.open(self._home.store) as store:
            return Tokens(store).list()

    def create_token(
        self,
        name: str | None,
        scope: Scope | None = None,
        running_trials: int | None = None,
        *,
        label: str = DEFAULT_LABEL,
        lifetime_s: float | None = None,
    ) -> str:
        """Create a token and return its text."""
        named = _require_name(name, is_given=name is not None)
        with Store.open(self._home.store) as store:
            text = Tokens(store).create(named, scope or "submit", running_trials, label=label, lifetime_s=lifetime_s)
            _record(store, "token.create", f"{named} {label}")
        return text

    def rotate_token(self, name: str | None, label: str, *, overlap_s: float, lifetime_s: float | None) -> str:
        """Replace a token by a new one and return its text."""
        named = _require_name(name, is_given=name is not None)
        with Store.open(self._home.store) as store:
            text = Tokens(store).rotate(named, label, overlap_s=overlap_s, lifetime_s=lifetime_s)
            _record(store, "token.rotate", f"{named} {label}")
        return text

    def remove_token(self, name: str | None, label: str | None = None) -> None:
        """Remove a token, or all of an account."""
        named = _require_name(name, is_given=name is not None)
        with Store.open(self._home.store) as store:
            Tokens(store).remove(named, label)
            _record(store, "token.remove", f"{named} {label or ''}".rstrip())

    def list_accounts(self) -> Sequence[Account]:
        """Return all accounts."""
        with Store.open(self._home.store) as store:
            return Accounts(store).list()

    def create_account(self, name: str, scope: Scope, password: str, running_trials: int | None) -> None:
        """Create an account with a password."""
        from tracking.store.sign_ins import SignIns  # loads Argon2

        with Store.open(self._home.store) as store:
            SignIns(store).create_account(name, scope, password, running_trials)
            _record(store, "account.create", name)

    def change_account(self, name: str, *, scope: Scope | None = None, password: str | None = None) -> None:
        """Change what an account may do, or its password."""
        from tracking.store.sign_ins import SignIns

        with Store.open(self._home.store) as store:
            account = Accounts(store).get(name)
            if scope is not None:
                Accounts(store).change(account, scope)
            if password is not None:
                SignIns(store).set_password(account, password)
            _record(store, "account.change", name)

    def remove_account(self, name: str) -> None:
        """Remove an account with its tokens and sessions."""
        with Store.open(self._home.store) as store:
            Accounts(store).remove(Accounts(store).get(name))
            _record(store, "account.remove", name)

    def list_audit(self, limit: int, **filters: Any) -> Sequence[AuditLine]:
        """Return lines of the audit log, the newest first."""
        with Store.open(self._home.store) as store:
            return AuditLog(store).list(limit=limit, **filters)


class HttpAccess:
    """Accounts, tokens and audit log of a service; see `AccessClient`.

    Args:
        request: sends a request, as `HttpClient.request` does.
    """

    def __init__(self, request: Request) -> None:
        self._request = request

    def list_tokens(self, *, own: bool = False) -> Sequence[Token]:
        """Return all tokens, or the caller's own."""
        answer = self._request("GET", "/v1/me/tokens" if own else "/v1/tokens")
        return TypeAdapter(tuple[Token, ...]).validate_python(answer.json())

    def create_token(
        self,
        name: str | None,
        scope: Scope | None = None,
        running_trials: int | None = None,
        *,
        label: str = DEFAULT_LABEL,
        lifetime_s: float | None = None,
    ) -> str:
        """Create a token and return its text."""
        wanted: dict[str, Any] = {"label": label, "lifetime_s": lifetime_s}
        if name is None:
            path = "/v1/me/tokens"
            wanted |= {"scope": scope}
        else:
            path = "/v1/tokens"
            wanted |= {"name": name, "scope": scope or "submit", "running_trials": running_trials}
        return str(self._request("POST", path, json=wanted).json()["token"])

    def rotate_token(self, name: str | None, label: str, *, overlap_s: float, lifetime_s: float | None) -> str:
        """Replace a token by a new one and return its text."""
        path = f"/v1/me/tokens/{label}:rotate" if name is None else f"/v1/tokens/{name}/{label}:rotate"
        wanted = {"overlap_s": overlap_s, "lifetime_s": lifetime_s}
        return str(self._request("POST", path, json=wanted).json()["token"])

    def remove_token(self, name: str | None, label: str | None = None) -> None:
        """Remove a token, or all of an account."""
        if name is None:
            self._request("DELETE", f"/v1/me/tokens/{label or DEFAULT_LABEL}")
            return
        self._request("DELETE", f"/v1/tokens/{name}", params={} if label is None else {"label": label})

    def list_accounts(self) -> Sequence[Account]:
        """Return all accounts."""
        return TypeAdapter(tuple[Account, ...]).validate_python(self._request("GET", "/v1/accounts").json())

    def create_account(self, name: str, scope: Scope, password: str, running_trials: int | None) -> None:
        """Create an account with a password."""
        wanted = {"name": name, "scope": scope, "password": password, "running_trials": running_trials}
        self._request("POST", "/v1/accounts", json=wanted)

    def change_account(self, name: str, *, scope: Scope | None = None, password: str | None = None) -> None:
        """Change what an account may do, or its password."""
        self._request("PATCH", f"/v1/accounts/{name}", json={"scope": scope, "password": password})

    def remove_account(self, name: str) -> None:
        """Remove an account with its tokens and sessions."""
        self._request("DELETE", f"/v1/accounts/{name}")

    def list_audit(self, limit: int, **filters: Any) -> Sequence[AuditLine]:
        """Return lines of the audit log, the newest first."""
        given = {key.rstrip("_"): value for key, value in filters.items() if value is not None}
        found: list[AuditLine] = []
        while len(found) < limit:
            params = {**given, "limit": min(limit - len(found), _PAGE)}
            page = self._request("GET", "/v1/audit", params=params).json()
            found += TypeAdapter(list[AuditLine]).validate_python(page["lines"])
            if page["next"] is None:
                break
            given["before"] = page["next"]
        return found


def _record(store: Store, operation: str, object_: str) -> None:
    user = getpass.getuser()
    AuditLog(store).record(operation, object_, Identity(f"{LOCAL_USER}{user}", user, "admin"), details="on the home")


def _require_name(name: str | None, *, is_given: bool) -> str:
    """Return a name of an account; on a home, nobody has an account of their own."""
    if not is_given:
        raise InputError("expected the NAME of an account: your own is that of a service; set KERASTUDY_URL")
    return name or ""
