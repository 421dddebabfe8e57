"""Routes of tokens: all of them for admins, their own for everybody; and who the caller is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request
from pydantic import BaseModel, Field

from pipelines.service.errors import ForbiddenError, require_scope
from pipelines.service.monitoring.audit_recorder import OBJECT
from pipelines.service.routes.parameters import Caller
from search_spaces.errors import UnknownError
from tracking.store.accounts import Accounts, Identity, Scope
from tracking.store.tokens import DEFAULT_LABEL, LONGEST_S, Token, Tokens

Name = Annotated[str, Path(max_length=100, examples=["ann"])]
_PathLabel = Annotated[str, Path(max_length=50, examples=["laptop"])]
_Label = Annotated[str | None, Query(max_length=50, description="All tokens of the account by default")]
_Lifetime = Annotated[
    float | None, Field(gt=0, le=LONGEST_S, examples=[7776000], description="Seconds until it expires")
]
_Overlap = Annotated[float, Field(ge=0, le=LONGEST_S, description="Seconds for which the old one stays valid")]


class NewOwnToken(BaseModel):
    """A further token of one's own account."""

    label: str = Field(examples=["laptop"], description="Its name among the tokens of the account")
    scope: Scope | None = Field(None, examples=["read"], description="That of the caller by default")
    lifetime_s: _Lifetime = None


class NewToken(BaseModel):
    """A token to make, with an account if there is none of that name."""

    name: str = Field(examples=["ann"])
    scope: Scope = Field("submit", examples=["submit"])
    running_trials: int | None = Field(None, examples=[8], description="Most trials of its studies that train at once")
    label: str = Field(DEFAULT_LABEL, examples=["laptop"], description="Its name among the tokens of the account")
    lifetime_s: _Lifetime = None


class Rotation(BaseModel):
    """How a token is replaced by a new one."""

    overlap_s: _Overlap = 0.0
    lifetime_s: _Lifetime = None


class CreatedToken(BaseModel):
    """A token in full; it is shown this once."""

    name: str = Field(examples=["ann"])
    label: str = Field(DEFAULT_LABEL, examples=["laptop"])
    token: str = Field(examples=["ks_0123456789ab_" + "x" * 43])


class CallerView(BaseModel):
    """The caller's account, and what this request may do."""

    id: str = Field(examples=["0f3a9c51d2e84b76"], description="It stays the same for as long as the account exists")
    name: str = Field(examples=["ann"])
    scope: Scope
    running_trials: int | None = Field(description="Most trials of its studies that train at once")


def make_token_router(tokens: Tokens, lifetime_s: float | None) -> APIRouter:
    """Return the routes of all tokens.

    Args:
        tokens: the table of tokens.
        lifetime_s: how long a token lives if its maker names no time; None for ever.
    """
    router = APIRouter(tags=["tokens"])

    @router.get("/v1/tokens", operation_id="token.list")
    def list_tokens(caller: Caller) -> list[Token]:
        """List all tokens, without their secrets."""
        if not caller.has_scope("admin"):
            raise ForbiddenError(
                f"{caller.name} has the scope {caller.scope} here, and all tokens need admin; your own are in "
                "kerastudy token list --mine (GET /v1/me/tokens)"
            )
        return list(tokens.list())

    @router.post("/v1/tokens", status_code=201, operation_id="token.create")
    def create(wanted: Annotated[NewToken, Body()], caller: Caller, request: Request) -> CreatedToken:
        """Make a token; it is shown this once."""
        request.scope[OBJECT] = f"{wanted.name} {wanted.label}"
        require_scope(caller, "admin")
        lifetime = wanted.lifetime_s or lifetime_s
        text = tokens.create(wanted.name, wanted.scope, wanted.running_trials, label=wanted.label, lifetime_s=lifetime)
        return CreatedToken(name=wanted.name, label=wanted.label, token=text)

    @router.post("/v1/tokens/{name}/{label}:rotate", status_code=201, operation_id="token.rotate")
    def rotate(name: Name, label: _PathLabel, rotation: Annotated[Rotation, Body()], caller: Caller) -> CreatedToken:
        """Replace a token by a new one, which is shown this once; the account stays the same."""
        require_scope(caller, "admin")
        text = tokens.rotate(
            name, label, overlap_s=rotation.overlap_s, lifetime_s=rotation.lifetime_s, by=caller.credential
        )
        return CreatedToken(name=name, label=label, token=text)

    @router.delete("/v1/tokens/{name}", status_code=204, operation_id="token.remove")
    def remove(name: Name, caller: Caller, label: _Label = None) -> None:
        """Remove tokens of an account; they are refused from now on. The account ends with its last way in."""
        require_scope(caller, "admin")
        tokens.remove(name, label)

    return router


def make_own_router(tokens: Tokens, accounts: Accounts, lifetime_s: float | None) -> APIRouter:
    """Return the routes of the caller and the caller's own tokens.

    Args:
        tokens: the table of tokens.
        accounts: the table of accounts.
        lifetime_s: how long a token lives if its maker names no time; None for ever.
    """
    router = APIRouter(prefix="/v1/me", tags=["tokens"])

    @router.get("", operation_id="me.show")
    def show_caller(caller: Caller) -> CallerView:
        """Show whose token this is, and what it may do."""
        return CallerView(id=caller.id, name=caller.name, scope=caller.scope, running_trials=caller.running_trials)

    @router.get("/tokens", operation_id="me.list_tokens")
    def list_own(caller: Caller) -> list[Token]:
        """List the tokens of the caller's account, without their secrets."""
        return list(tokens.list(caller.id))

    @router.post("/tokens", status_code=201, operation_id="me.create_token")
    def create_own(wanted: Annotated[NewOwnToken, Body()], caller: Caller, request: Request) -> CreatedToken:
        """Make a further token of the caller's account; it may do at most what the caller may."""
        request.scope[OBJECT] = f"{caller.name} {wanted.label}"
        scope = wanted.scope or caller.scope
        # Of the caller and not of the account: a token of small scope must not make one of a larger one.
        require_scope(caller, scope)
        if (account := accounts.find_by_id(caller.id)) is None:
            raise UnknownError("this account was removed")
        text = tokens.add(account, scope, label=wanted.label, lifetime_s=wanted.lifetime_s or lifetime_s)
        return CreatedToken(name=caller.name, label=wanted.label, token=text)

    @router.post("/tokens/{label}:rotate", status_code=201, operation_id="me.rotate_token")
    def rotate_own(label: _PathLabel, rotation: Annotated[Rotation, Body()], caller: Caller) -> CreatedToken:
        """Replace a token of the caller's account by a new one, which is shown this once."""
        _require_no_more(tokens, label, caller)
        text = tokens.rotate(
            caller.name, label, overlap_s=rotation.overlap_s, lifetime_s=rotation.lifetime_s, by=caller.credential
        )
        return CreatedToken(name=caller.name, label=label, token=text)

    @router.delete("/tokens/{label}", status_code=204, operation_id="me.remove_token")
    def remove_own(label: _PathLabel, caller: Caller) -> None:
        """Remove a token of the caller's account, unless it is the last way in."""
        _require_no_more(tokens, label, caller)
        tokens.remove(caller.name, label, keeps_account=True)

    return router


def _require_no_more(tokens: Tokens, label: str, caller: Identity) -> None:
    """Check that no token of a label may do more than the caller: a small token must not take over a larger one."""
    for token in tokens.list(caller.id):
        if token.label == label:
            require_scope(caller, token.scope)
