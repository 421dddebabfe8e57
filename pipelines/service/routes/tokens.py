"""Routes of tokens: list, create, remove; and whose the caller's is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, Field

from pipelines.service.errors import require_scope
from pipelines.service.routes.parameters import Caller
from tracking.store.accounts import Identity, Scope
from tracking.store.tokens import Token, Tokens


class NewToken(BaseModel):
    """A token to make."""

    name: str = Field(examples=["ann"])
    scope: Scope = Field("submit", examples=["submit"])
    running_trials: int | None = Field(None, examples=[8], description="Most trials of its studies that train at once")


class CreatedToken(BaseModel):
    """A token in full; it is shown this once."""

    name: str = Field(examples=["ann"])
    token: str = Field(examples=["ks_0123456789ab_" + "x" * 43])


def make_token_router(tokens: Tokens) -> APIRouter:
    """Return the routes of tokens."""
    router = APIRouter(tags=["tokens"])

    @router.get("/v1/tokens")
    def list_tokens(caller: Caller) -> list[Token]:
        """List all tokens, without their secrets."""
        require_scope(caller, "admin")
        return list(tokens.list())

    @router.post("/v1/tokens", status_code=201)
    def create(wanted: Annotated[NewToken, Body()], caller: Caller) -> CreatedToken:
        """Make a token; it is shown this once."""
        require_scope(caller, "admin")
        token = tokens.create(wanted.name, wanted.scope, wanted.running_trials)
        return CreatedToken(name=wanted.name, token=token)

    @router.delete("/v1/tokens/{name}", status_code=204)
    def remove(name: Annotated[str, Path(max_length=100)], caller: Caller) -> None:
        """Remove a token; it is refused from now on."""
        require_scope(caller, "admin")
        tokens.remove(name)

    @router.get("/v1/me")
    def show_caller(caller: Caller) -> Identity:
        """Show whose token this is, and what it may do."""
        return caller

    return router
