"""Parameters that several routes take: names, numbers and the caller's token."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from pipelines.service.head_requests import IS_HEAD
from tracking.store.accounts import Identity

# No slash and no leading dot: the name becomes a folder of the home.
StudyName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", examples=["breast-cancer"])]
TrialNumber = Annotated[int, Path(ge=0, le=10_000_000)]

# For the description alone, which offers a login in `/docs`: the middleware has checked the token before.
_bearer = HTTPBearer(auto_error=False, description="A token of this service: kerastudy token create NAME")


def _read_caller(request: Request, _: Annotated[object, Security(_bearer)]) -> Identity:
    """Return the caller that `SecurityMiddleware` has found."""
    caller = request.scope.get("kerastudy.caller")
    # Reached only if a route is served without the middleware: no token is then no access.
    if not isinstance(caller, Identity):
        raise HTTPException(401, "a bearer token is needed")
    return caller


def _read_is_head(request: Request) -> bool:
    return bool(request.scope.get(IS_HEAD))


IsHead = Annotated[bool, Depends(_read_is_head)]
"""Whether nothing but the head of the answer is sent."""

Caller = Annotated[Identity, Depends(_read_caller)]
