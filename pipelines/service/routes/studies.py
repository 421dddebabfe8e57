"""Routes of studies and trials: submit, list, show; and of the data files that studies name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field

from pipelines.queries.views import BestTrial, ServedStudy, StudyList, TrialRow
from pipelines.service.http.openapi import STUDY_FILE
from pipelines.service.routes.parameters import MAX_TRIAL, Caller, StudyName, TrialNumber
from pipelines.service.studies.study_service import MAX_IN_A_PAGE, StudyService
from search_spaces.errors import InputError, UnknownError
from search_spaces.yaml_reader import parse_document

StudyState = Literal[
    "queued", "preparing", "running", "interrupted", "paused", "finished", "failed", "cancelled", "deleting"
]

_MAX_TRIALS = 1000
_EXAMPLE = """\
study: breast-cancer
data: {source: "sklearn:breast_cancer"}
model: mlp
budget: {trials: 20}
"""
_STUDY_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "string"}, "example": _EXAMPLE},
            "application/json": {"schema": {"$ref": f"#/components/schemas/{STUDY_FILE}"}},
        },
    }
}


class Submitted(BaseModel):
    """A study that stands in the queue, durably."""

    study: str = Field(examples=["breast-cancer"])
    is_new: bool = Field(examples=[True])


class TrialPage(BaseModel):
    """Page of a study's trials; `next` is where the next page begins, null at the end."""

    trials: list[TrialRow]
    next: int | None


async def _read_body(request: Request) -> bytes:
    # A dependency, since only a coroutine can await the body; the route is a plain function, which runs in a thread.
    return await request.body()


def make_study_router(service: StudyService) -> APIRouter:
    """Return the routes of studies."""
    router = APIRouter(prefix="/v1/studies", tags=["studies"])

    @router.post("", status_code=202, openapi_extra=_STUDY_FILE, operation_id="study.submit")
    def submit(
        body: Annotated[bytes, Depends(_read_body)],
        caller: Caller,
        response: Response,
        priority: Annotated[int, Query(ge=-100, le=100, description="Higher begins first")] = 0,
        file: Annotated[str, Query(max_length=200, description="What messages call the file")] = "study.yaml",
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
    ) -> Submitted:
        """Put a study file in the queue; the answer comes when it is durable.

        The same study again is the one that is there; with a larger budget, it goes on.
        """
        try:
            # The content type decides nothing: JSON is YAML, and clients send whatever their library sets.
            text = body.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{file}: expected UTF-8, got the byte 0x{body[error.start]:02x} at {error.start}"
            ) from None
        name, is_new = service.submit(parse_document(text, file), caller, key=idempotency_key, priority=priority)
        response.headers["Location"] = f"/v1/studies/{name}"
        return Submitted(study=name, is_new=is_new)

    @router.get("", operation_id="study.list")
    def list_studies(
        caller: Caller,
        state: Annotated[list[StudyState] | None, Query(examples=[["running", "queued"]])] = None,
        submitter: Annotated[str | None, Query(max_length=100, examples=["ann"])] = None,
        after: Annotated[str | None, Query(max_length=100, description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_IN_A_PAGE)] = 50,
        archived: Annotated[bool, Query(description="Archived studies too")] = False,
    ) -> StudyList:
        """List studies, oldest first."""
        return service.list_studies(
            states=state or (), submitter=submitter, after=after, limit=limit, archived=archived
        )

    @router.get("/{study}", operation_id="study.show")
    def show(study: StudyName, caller: Caller, response: Response) -> ServedStudy:
        """Show the state and progress of a study.

        The ETag changes with its state, its open request and its file; `If-Match` on a control holds the study to it.
        """
        # Read first: the study may be newer than its tag, and never older.
        tag = service.versions.find_tag(study)
        shown = service.load_study(study)
        if tag is not None:
            response.headers["ETag"] = tag
        return shown

    return router


def make_trial_router(service: StudyService) -> APIRouter:
    """Return the routes of a study's trials."""
    router = APIRouter(prefix="/v1/studies/{study}", tags=["trials"])

    @router.get("/trials", operation_id="trial.list")
    def list_trials(
        study: StudyName,
        caller: Caller,
        state: Annotated[str | None, Query(max_length=20)] = None,
        after: Annotated[int, Query(ge=-1, le=MAX_TRIAL)] = -1,
        limit: Annotated[int, Query(ge=1, le=_MAX_TRIALS)] = _MAX_TRIALS,
    ) -> TrialPage:
        """List a study's trials by number."""
        rows = service.reader.list_trials(study)
        found = [each for each in rows if each.number > after and state in (None, each.state)]
        has_more = len(found) > limit
        return TrialPage(trials=found[:limit], next=found[limit - 1].number if has_more else None)

    @router.get("/trials/{trial}", operation_id="trial.show")
    def show_trial(study: StudyName, trial: TrialNumber, caller: Caller) -> TrialRow:
        """Show one trial."""
        found = next((each for each in service.reader.list_trials(study) if each.number == trial), None)
        if found is None:
            raise UnknownError(f"{study} has no trial {trial}")
        return found

    @router.get("/best", operation_id="trial.show_best")
    def show_best_trial(study: StudyName, caller: Caller) -> BestTrial:
        """Show the best trial."""
        return service.reader.find_best_trial(study)

    return router
