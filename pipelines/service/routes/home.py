"""Routes of the home page: who one is, the studies, one's tokens and password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from pipelines.service.errors import require_scope
from pipelines.service.http.pages import HEADERS, render
from pipelines.service.monitoring.audit_recorder import OBJECT
from pipelines.service.routes.parameters import Caller
from pipelines.service.routes.sign_in import Form
from pipelines.service.sign_in.attempts import SignIn
from search_spaces.errors import InputError, KerastudyError, UnknownError
from tracking.store.accounts import SCOPES, Accounts, Identity
from tracking.store.database import Store
from tracking.store.submissions import Submissions
from tracking.store.tokens import Tokens

_MAX_STUDIES = 50
_DAY_S = 86_400.0
_USUAL_DAYS = 90


@dataclass(frozen=True)
class _Made:
    label: str
    text: str


def make_home_router(store: Store, sign_in: SignIn, mlflow: str, lifetime_s: float | None) -> APIRouter:
    """Return the routes of the home page.

    Args:
        store: holds studies and tokens.
        sign_in: changes passwords.
        mlflow: address of MLflow's UI; empty if there is none.
        lifetime_s: how long a token lives if its maker names no time; None for ever.
    """
    router = APIRouter(include_in_schema=False)
    tokens, accounts, submissions = Tokens(store), Accounts(store), Submissions(store)

    def show(request: Request, caller: Identity, **more: Any) -> Response:
        values: dict[str, Any] = {
            "me": caller,
            "mlflow": mlflow,
            "url": str(request.base_url).rstrip("/"),
            "studies": submissions.list_newest(_MAX_STUDIES),
            "tokens": tokens.list(caller.id),
            "scopes": SCOPES[: SCOPES.index(caller.scope) + 1],
            "days": int((lifetime_s or _USUAL_DAYS * _DAY_S) / _DAY_S),
            "has_password": sign_in.has_password(caller),
            "error": "",
            "notice": "",
            "made": None,
        }
        return HTMLResponse(render("home.html", **{**values, **more}), 422 if "error" in more else 200, HEADERS)

    @router.get("/")
    def show_home(request: Request, caller: Caller) -> Response:
        return show(request, caller)

    @router.post("/home/tokens", name="me.create_token")
    def make_token(request: Request, caller: Caller, form: Form) -> Response:
        label = form.get("label", "")
        request.scope[OBJECT] = f"{caller.name} {label}"[:200]
        try:
            text = _make(form, caller)
        except KerastudyError as error:
            return show(request, caller, error=str(error))
        return show(request, caller, made=_Made(label, text))

    def _make(form: dict[str, str], caller: Identity) -> str:
        days, scope = form.get("days", ""), form.get("scope", caller.scope)
        if days and not (days.isdecimal() and len(days) < 6):
            raise InputError(f"days until it expires: expected a whole number, got {days[:20]}")
        found = next((each for each in SCOPES if each == scope), None)
        if found is None:
            raise InputError(f"expected one of {', '.join(SCOPES)}, got {scope[:20]}")
        require_scope(caller, found)
        if (account := accounts.find_by_id(caller.id)) is None:
            raise UnknownError("this account was removed")
        lifetime = int(days) * _DAY_S if days else lifetime_s
        return tokens.add(account, found, label=form.get("label", ""), lifetime_s=lifetime)

    @router.post("/home/tokens/remove", name="me.remove_token")
    def remove_token(request: Request, caller: Caller, form: Form) -> Response:
        label = form.get("label", "")
        request.scope[OBJECT] = f"{caller.name} {label}"[:200]
        try:
            for token in tokens.list(caller.id):
                if token.label == label:
                    require_scope(caller, token.scope)
            tokens.remove(caller.name, label, keeps_account=True)
        except KerastudyError as error:
            return show(request, caller, error=str(error))
        return RedirectResponse("/", 303)

    @router.post("/home/password", name="me.change_password")
    def change_password(request: Request, caller: Caller, form: Form) -> Response:
        request.scope[OBJECT] = caller.name
        try:
            sign_in.change_password(caller, form.get("old", ""), form.get("new", ""))
        except KerastudyError as error:
            return show(request, caller, error=str(error))
        return RedirectResponse("/sign-in", 303)

    return router
