"""Routes of accounts, for admins: list, make, change and remove; and their passwords."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, Field

from pipelines.service.errors import require_scope
from pipelines.service.monitoring.audit_recorder import OBJECT
from pipelines.service.routes.parameters import Caller
from pipelines.service.routes.tokens import Name
from tracking.store.accounts import Account, Accounts, Scope
from tracking.store.database import Store
from tracking.store.sign_ins import LEAST_LENGTH, SignIns

_Password = Annotated[str, Field(min_length=LEAST_LENGTH, max_length=1000, examples=["correct horse battery"])]


class NewAccount(BaseModel):
    """An account that signs in with a password."""

    name: str = Field(examples=["ann"])
    scope: Scope = Field("submit", examples=["submit"])
    running_trials: int | None = Field(None, examples=[8], description="Most trials of its studies that train at once")
    password: _Password


class ChangedAccount(BaseModel):
    """What changes of an account."""

    scope: Scope | None = Field(None, examples=["read"])
    password: _Password | None = None


def make_account_router(store: Store) -> APIRouter:
    """Return the routes of accounts."""
    router = APIRouter(prefix="/v1/accounts", tags=["accounts"])
    accounts, sign_ins = Accounts(store), SignIns(store)

    @router.get("", operation_id="account.list")
    def list_accounts(caller: Caller) -> list[Account]:
        """List all accounts."""
        require_scope(caller, "admin")
        return list(accounts.list())

    @router.post("", status_code=201, operation_id="account.create")
    def create(wanted: Annotated[NewAccount, Body()], caller: Caller, request: Request) -> Account:
        """Make an account that signs in with a password."""
        request.scope[OBJECT] = wanted.name
        require_scope(caller, "admin")
        return sign_ins.create_account(wanted.name, wanted.scope, wanted.password, wanted.running_trials)

    @router.patch("/{name}", operation_id="account.change")
    def change(name: Name, wanted: Annotated[ChangedAccount, Body()], caller: Caller) -> Account:
        """Change what an account may do, or give it a new password, which ends its sessions."""
        require_scope(caller, "admin")
        if wanted.scope is not None:
            accounts.change(accounts.get(name), wanted.scope)
        if wanted.password is not None:
            sign_ins.set_password(accounts.get(name), wanted.password)
        return accounts.get(name)

    @router.delete("/{name}", status_code=204, operation_id="account.remove")
    def remove(name: Name, caller: Caller) -> None:
        """Remove an account with its tokens and sessions; its studies stay, and are an admin's to control."""
        require_scope(caller, "admin")
        accounts.remove(accounts.get(name))

    return router
