"""Parameters that several routes take: names, numbers and the caller's token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Annotated

import anyio.to_thread
from fastapi import Depends, FastAPI, Header, Path, Request, Security
from fastapi.params import Depends as DependsMarker
from fastapi.security import HTTPBearer
from pydantic import StringConstraints
from starlette.exceptions import HTTPException

from pipelines.service.http.head_requests import IS_HEAD
from pipelines.service.http.openapi import list_parameters
from pipelines.service.studies.study_versions import StudyVersions
from search_spaces.errors import InputError, Problem, suggest_choice
from tracking.store.accounts import Identity

# No slash and no leading dot: the name becomes a folder of the home.
_STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
STUDY_NAME = StringConstraints(pattern=_STUDY_NAME)
StudyName = Annotated[str, Path(pattern=_STUDY_NAME, examples=["breast-cancer"])]
MAX_TRIAL = 10_000_000
MAX_INTEGER = 2**63 - 1  # the largest that a database holds
TrialNumber = Annotated[int, Path(ge=0, le=MAX_TRIAL)]

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


def refuse_unknown_parameters(request: Request) -> None:
    """Refuse query parameters that a route does not take: a misspelt filter would find everything.

    Raises:
        InputError: with the parameters that it takes.
    """
    # Pages of browsers are not described; a provider of sign-ins adds parameters of its own.
    route = getattr(request.scope.get("route"), "path", "")
    known = _list_parameters(request.app).get((request.method, route))
    if known is None or not (unknown := sorted(set(request.query_params) - known)):
        return
    message = f"unknown query parameter; {suggest_choice(unknown[0], sorted(known)) if known else 'it takes none'}"
    raise InputError([Problem(message, f"query.{each[:100]}") for each in unknown[:20]])


@lru_cache(maxsize=8)
def _list_parameters(app: FastAPI) -> dict[tuple[str, str], frozenset[str]]:
    return list_parameters(app.openapi())


def make_precondition(versions: StudyVersions) -> DependsMarker:
    """Return a dependency of routes that change a study: one request at a time, and `If-Match` holds until its end."""

    async def check_precondition(
        study: StudyName,
        if_match: Annotated[
            str | None, Header(max_length=1000, description="ETag of the study: 412 if it has changed since")
        ] = None,
    ) -> AsyncIterator[None]:
        async with versions.take_turn(study):
            await anyio.to_thread.run_sync(versions.check, study, if_match)
            yield

    # Ended with the function of the route, and not with the answer, which a client may read slowly.
    marker: DependsMarker = Depends(check_precondition, scope="function")
    return marker


Caller = Annotated[Identity, Depends(_read_caller)]
