"""The HTTP door: what a service does, as addresses, status codes and JSON; no logic of its own.

Every answer that is no success is a problem detail (RFC 9457) whose `errors` hold what the command line would print.
Tokens, hosts and limits are checked before a request gets here; see `service.guard`.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Body, Depends, FastAPI, Header, Query, Request, Response, Security
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.security import HTTPBearer
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi_swagger import patch_fastapi
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from pipelines.export.export import FORMATS
from pipelines.operations.control import Standing
from pipelines.operations.promote import Promoted
from pipelines.queries.views import BestTrial, TrialRow
from pipelines.service.errors import ForbiddenError, TooMuchError, require_scope
from pipelines.service.metrics import CONTENT_TYPE, render_metrics
from pipelines.service.problem_details import MEDIA_TYPE, make_problem_detail
from pipelines.service.stream_limit import StreamLimit
from pipelines.service.study_service import MOST_IN_A_PAGE, Page, ServedStudy, StudyService
from pipelines.service.uploads import UploadedFile
from pipelines.supervisor.event_log import LOG_FILE, StoredEvent, events_after
from search_spaces.errors import ConflictError, InputError, KerastudyError, Problem, UnknownError
from search_spaces.yaml_document import parse_document
from tracking.store.database import Store
from tracking.store.study_queue import OVER, LeaseLostError, StudyBusyError, Wish
from tracking.store.tokens import Scope, Token, Tokens

_EXAMPLE = """\
study: breast-cancer
data: {source: "sklearn:breast_cancer"}
model: mlp
budget: {trials: 20}
"""
_EXAMPLE_WRONG = {
    "message": 'no model family is called "mpl"; did you mean "mlp"?',
    "path": "model",
    "file": "study.yaml",
    "line": 3,
    "column": 8,
}
_EXAMPLE_DETAIL = f"study.yaml:3:8: model: {_EXAMPLE_WRONG['message']}"
_POLL_S = 0.5
_NOBODY_WORKS = (*OVER, "parked")
_MOST_TRIALS = 1000

StudyState = Literal["queued", "running", "interrupted", "parked", "finished", "failed", "cancelled"]
_Name = Annotated[str, InPath(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", examples=["breast-cancer"])]
_Number = Annotated[int, InPath(ge=0, le=10_000_000)]


class Wrong(BaseModel):
    """One thing that is wrong: what the command line would print, and where."""

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0


class ProblemDetail(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=[_EXAMPLE_DETAIL])
    errors: list[Wrong] = Field(default=[], examples=[[_EXAMPLE_WRONG]])


class Submitted(BaseModel):
    """A study that stands in the queue, durably."""

    study: str = Field(examples=["breast-cancer"])
    is_new: bool = Field(examples=[True])


class TrialPage(BaseModel):
    """Some of a study's trials; `next` is where the next page begins, null at the end."""

    trials: list[TrialRow]
    next: int | None


class NewToken(BaseModel):
    """A token to make."""

    name: str = Field(examples=["ann"])
    scope: Scope = Field("submit", examples=["submit"])
    running_trials: int | None = Field(None, examples=[8], description="Most trials of its studies that train at once")


class CreatedToken(BaseModel):
    """A token as it is written; it is shown this once."""

    name: str = Field(examples=["ann"])
    token: str = Field(examples=["ks_0123456789ab_" + "x" * 43])


class Health(BaseModel):
    """Whether the service can do its work."""

    status: Literal["ok"]
    version: str


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ProblemDetail, "content": {MEDIA_TYPE: {}}, "description": "What is wrong, and where"},
    "5XX": {"model": ProblemDetail, "content": {MEDIA_TYPE: {}}, "description": "The service could not do it"},
}


def make_app(study_service: StudyService, store: Store, streams: StreamLimit) -> FastAPI:
    """Return the application.

    Args:
        office: what answers.
        store: holds the tokens.
        streams: who may follow events and logs, and for how long.
    """
    app = FastAPI(
        title="kerastudy",
        version=importlib.metadata.version("kerastudy"),
        description="Submit studies, watch their trials, export the best model.",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        responses=_PROBLEMS,
        strict_content_type=False,
    )
    _add_errors(app)
    _add_studies(app, study_service)
    _add_controls(app, study_service)
    _add_streams(app, study_service, streams)
    _add_exports(app, study_service)
    _add_tokens(app, Tokens(store))
    _add_upkeep(app, study_service, store)
    patch_fastapi(app, title="kerastudy")  # its pages come from this machine, and not from a content network
    return app


_bearer = HTTPBearer(auto_error=False, description="A token of this service: kerastudy token create NAME")


def _token(request: Request, _: Annotated[object, Security(_bearer)]) -> Token:
    token = request.scope.get("kerastudy.token")
    if not isinstance(token, Token):
        raise HTTPException(401, "a bearer token is needed")
    return token


_Asker = Annotated[Token, Depends(_token)]


# Errors ------------------------------------------------------------------------------------------------------


def _add_errors(app: FastAPI) -> None:
    statuses: dict[type[KerastudyError], int] = {
        UnknownError: 404,
        ConflictError: 409,
        StudyBusyError: 409,
        LeaseLostError: 409,
        InputError: 422,
        ForbiddenError: 403,
        TooMuchError: 413,
        KerastudyError: 503,
    }

    @app.exception_handler(KerastudyError)
    async def _ours(request: Request, error: KerastudyError) -> Response:
        status = next(statuses[kind] for kind in type(error).__mro__ if kind in statuses)
        problems = error.problems if isinstance(error, InputError) else (Problem(str(error)),)
        return problem(status, str(error), [_wrong(each) for each in problems])

    @app.exception_handler(RequestValidationError)
    async def _pydantic(request: Request, error: RequestValidationError) -> Response:
        wrong = [Wrong(message=each["msg"], path=".".join(map(str, each["loc"]))) for each in error.errors()]
        return problem(422, "; ".join(f"{each.path}: {each.message}" for each in wrong), wrong)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        answer = problem(error.status_code, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def _defect(request: Request, error: Exception) -> Response:
        return problem(500, "this is a defect in kerastudy; the service's log has the details")


def problem(status: int, detail: str, errors: Sequence[Wrong] = ()) -> JSONResponse:
    """Return a problem detail as an answer."""
    content = make_problem_detail(status, detail, [each.model_dump() for each in errors])
    return JSONResponse(content, status, media_type=MEDIA_TYPE)


def _wrong(found: Problem) -> Wrong:
    place = found.place
    where = {"file": place.file, "line": place.line, "column": place.column} if place else {}
    return Wrong(message=found.message, path=found.path, **where)


# Studies -----------------------------------------------------------------------------------------------------


def _add_studies(app: FastAPI, study_service: StudyService) -> None:
    file_schema: dict[str, Any] = {
        "requestBody": {
            "required": True,
            "content": {
                "application/yaml": {"schema": {"type": "string"}, "example": _EXAMPLE},
                "application/json": {"schema": {"type": "object"}},
            },
        }
    }

    @app.post("/v1/studies", status_code=202, tags=["studies"], openapi_extra=file_schema)
    def submit(
        body: Annotated[bytes, Depends(_whole_body)],
        asker: _Asker,
        response: Response,
        priority: Annotated[int, Query(ge=-100, le=100, description="Higher begins first")] = 0,
        file: Annotated[str, Query(max_length=200, description="What messages call the file")] = "study.yaml",
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
    ) -> Submitted:
        """Put a study file in the queue; the answer comes when it is durable.

        The same study again is the one that is there; with a larger budget, it goes on.
        """
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{file}: expected UTF-8, got the byte 0x{body[error.start]:02x} at {error.start}"
            ) from None
        name, is_new = study_service.submit(parse_document(text, file), asker, key=idempotency_key, priority=priority)
        response.headers["Location"] = f"/v1/studies/{name}"
        return Submitted(study=name, is_new=is_new)

    @app.get("/v1/studies", tags=["studies"])
    def list_studies(
        asker: _Asker,
        state: Annotated[list[StudyState] | None, Query(examples=[["running", "queued"]])] = None,
        submitter: Annotated[str | None, Query(max_length=100, examples=["ann"])] = None,
        after: Annotated[str | None, Query(max_length=100, description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_IN_A_PAGE)] = 50,
    ) -> Page:
        """List studies, oldest first."""
        return study_service.list_studies(states=state or (), submitter=submitter, after=after, most=limit)

    @app.get("/v1/studies/{study}", tags=["studies"])
    def show(study: _Name, asker: _Asker) -> ServedStudy:
        """Show how a study stands."""
        return study_service.load_study(study)

    @app.get("/v1/studies/{study}/trials", tags=["trials"])
    def trials(
        study: _Name,
        asker: _Asker,
        state: Annotated[str | None, Query(max_length=20)] = None,
        after: Annotated[int, Query(ge=-1)] = -1,
        limit: Annotated[int, Query(ge=1, le=_MOST_TRIALS)] = _MOST_TRIALS,
    ) -> TrialPage:
        """List a study's trials by number."""
        found = [
            each for each in study_service.lookup.trials(study) if each.number > after and state in (None, each.state)
        ]
        more = len(found) > limit
        return TrialPage(trials=found[:limit], next=found[limit - 1].number if more else None)

    @app.get("/v1/studies/{study}/trials/{trial}", tags=["trials"])
    def show_trial(study: _Name, trial: _Number, asker: _Asker) -> TrialRow:
        """Show one trial."""
        found = next((each for each in study_service.lookup.trials(study) if each.number == trial), None)
        if found is None:
            raise UnknownError(f"{study} has no trial {trial}")
        return found

    @app.get("/v1/studies/{study}/best", tags=["trials"])
    def best(study: _Name, asker: _Asker) -> BestTrial:
        """Show the best trial."""
        return study_service.lookup.best(study)

    @app.put("/v1/uploads/{name}", status_code=201, tags=["studies"], openapi_extra=_BYTES)
    async def put_upload(name: Annotated[str, InPath(max_length=200)], asker: _Asker, request: Request) -> UploadedFile:
        """Keep a data file; a study names it by the `source` of the answer."""
        require_scope(asker, "submit")
        upload = study_service.start_upload(name)
        try:
            async for chunk in request.stream():  # raises where the client goes away
                await asyncio.to_thread(upload.add, chunk)
            return await asyncio.to_thread(upload.keep)
        finally:
            await asyncio.to_thread(upload.close)


_BYTES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


async def _whole_body(request: Request) -> bytes:
    return await request.body()


# Controls ----------------------------------------------------------------------------------------------------


def _add_controls(app: FastAPI, study_service: StudyService) -> None:
    def add(wish: Wish, what: str) -> None:
        def ask(study: _Name, asker: _Asker) -> Standing:
            return study_service.request_control(study, wish, asker)

        app.post(f"/v1/studies/{{study}}:{wish}", tags=["control"], summary=what, operation_id=wish)(ask)

    add("pause", "Put running trials back; they go on when the study is resumed")
    add("stop", "Let running trials finish, begin none, and end the study")
    add("cancel", "End the study at once and for good")

    @app.post("/v1/studies/{study}:resume", tags=["control"])
    def resume(study: _Name, asker: _Asker) -> Standing:
        """Put a paused study back into the queue."""
        return study_service.resume(study, asker)


# Streams -----------------------------------------------------------------------------------------------------


def _add_streams(app: FastAPI, study_service: StudyService, streams: StreamLimit) -> None:
    def is_over(study: str) -> bool:
        return study_service.lookup.study(study).state in _NOBODY_WORKS

    def follow(study: _Name, asker: _Asker) -> None:
        """Refuse what cannot be followed: once an answer has begun, it is too late."""
        study_service.lookup.study(study)
        streams.check_capacity()

    can_be_followed = [Depends(follow)]

    @app.get(
        "/v1/studies/{study}/events", tags=["streams"], response_class=EventSourceResponse, dependencies=can_be_followed
    )
    async def events(
        study: _Name,
        asker: _Asker,
        last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,15}$")] = None,
        follow: bool = True,
    ) -> AsyncIterator[ServerSentEvent]:
        """Follow what happens in a study, from its beginning or after `Last-Event-ID`, until it ends."""
        position = int(last_event_id or 0)
        with streams.acquire():
            while streams.are_open:
                over = await asyncio.to_thread(is_over, study)
                found: tuple[StoredEvent, ...] = await asyncio.to_thread(
                    events_after, study_service.home, study, position
                )
                for each in found:
                    position = each.id
                    yield ServerSentEvent(id=str(each.id), event=each.kind, data=each.content)
                if not found and (over or not follow):
                    return
                await asyncio.sleep(0 if found else _POLL_S)

    @app.get(
        "/v1/studies/{study}/logs", tags=["streams"], response_class=PlainTextResponse, dependencies=can_be_followed
    )
    async def logs(
        study: _Name,
        asker: _Asker,
        trial: Annotated[int | None, Query(ge=0, description="What the worker of this trial printed")] = None,
        follow: Annotated[bool, Query(description="Go on until the study ends")] = False,
    ) -> Response:
        """Return a study's log as text, or that of one of its trials."""
        if trial is None:
            file = study_service.home.study(study) / LOG_FILE
        else:
            file = await asyncio.to_thread(study_service.find_worker_log, study, trial)

        async def text() -> AsyncIterator[bytes]:
            position = 0
            with streams.acquire():
                while streams.are_open:
                    over = not follow or await asyncio.to_thread(is_over, study)
                    while chunk := await asyncio.to_thread(_read, file, position):
                        position += len(chunk)
                        yield chunk
                    if over:
                        return
                    await asyncio.sleep(_POLL_S)

        return StreamingResponse(text(), media_type="text/plain; charset=utf-8")


def _read(file: Path, position: int) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(position)
            return stream.read(1 << 16)
    except FileNotFoundError:
        return b""


# Exports -----------------------------------------------------------------------------------------------------


def _add_exports(app: FastAPI, study_service: StudyService) -> None:
    @app.post("/v1/studies/{study}:export", tags=["export"], response_class=FileResponse)
    def export(
        study: _Name,
        asker: _Asker,
        trial: Annotated[int | None, Query(ge=0, description="The winner by default")] = None,
        format: Annotated[list[Literal[tuple(FORMATS)]] | None, Query()] = None,  # type: ignore[valid-type]
        ensemble: Annotated[bool, Query(description="The mean of the finalists' models, where it won")] = False,
    ) -> Response:
        """Download a trial's model as a ZIP archive, each format proven equal to the Keras model."""
        kept = ExitStack()
        try:
            archive = kept.enter_context(study_service.export(study, trial, format or (), ensemble=ensemble))
        except BaseException:
            kept.close()
            raise
        return FileResponse(
            archive, media_type="application/zip", filename=archive.name, background=BackgroundTask(kept.close)
        )

    @app.post("/v1/studies/{study}:promote", tags=["export"])
    def promote(
        study: _Name,
        asker: _Asker,
        trial: Annotated[int | None, Query(ge=0, description="The best one by default")] = None,
        alias: Annotated[str | None, Query(max_length=200, description="The study file's by default")] = None,
        force: Annotated[bool, Query(description="Also if it is worse, or cannot be compared")] = False,
    ) -> Promoted:
        """Give a trial's model an alias, if it is at least as good on test rows as the version that holds it."""
        return study_service.promote(study, trial, alias, asker, force=force)


# Tokens ------------------------------------------------------------------------------------------------------


def _add_tokens(app: FastAPI, tokens: Tokens) -> None:
    @app.get("/v1/tokens", tags=["tokens"])
    def list_tokens(asker: _Asker) -> list[Token]:
        """List all tokens, without their secrets."""
        require_scope(asker, "admin")
        return list(tokens.list())

    @app.post("/v1/tokens", status_code=201, tags=["tokens"])
    def create(wanted: Annotated[NewToken, Body()], asker: _Asker) -> CreatedToken:
        """Make a token; it is shown this once."""
        require_scope(asker, "admin")
        written = tokens.create(wanted.name, wanted.scope, wanted.running_trials)
        return CreatedToken(name=wanted.name, token=written)

    @app.delete("/v1/tokens/{name}", status_code=204, tags=["tokens"])
    def remove(name: Annotated[str, InPath(max_length=100)], asker: _Asker) -> None:
        """Remove a token; it is refused from now on."""
        require_scope(asker, "admin")
        tokens.remove(name)

    @app.get("/v1/me", tags=["tokens"])
    def me(asker: _Asker) -> Token:
        """Show whose token this is, and what it may do."""
        return asker


# Upkeep ------------------------------------------------------------------------------------------------------


def _add_upkeep(app: FastAPI, study_service: StudyService, store: Store) -> None:
    @app.get("/healthz", tags=["upkeep"])
    def health() -> Health:
        """Say whether the service can do its work; needs no token."""
        with store.read():
            return Health(status="ok", version=app.version)

    @app.get("/metrics", tags=["upkeep"], response_class=PlainTextResponse)
    def metrics(asker: _Asker) -> Response:
        """Return counts for Prometheus."""
        return Response(render_metrics(store, study_service.home), media_type=CONTENT_TYPE)
