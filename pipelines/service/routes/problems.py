"""Problem details (RFC 9457) as HTTP answers: one for each kind of error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from pipelines.service.errors import BusyError, CeilingError, ChangedError, ForbiddenError, NoRoomError, TooMuchError
from pipelines.service.http.problem_details import MEDIA_TYPE, make_problem_detail
from search_spaces.errors import ConflictError, InputError, KerastudyError, ModelChangedError, Problem, UnknownError
from tracking.store.study_queue import LeaseLostError, StudyBusyError

_STATUSES: dict[type[BaseException], int] = {
    UnknownError: 404,
    ConflictError: 409,
    StudyBusyError: 409,
    LeaseLostError: 409,
    ModelChangedError: 409,
    InputError: 422,
    ForbiddenError: 403,
    TooMuchError: 413,
    NoRoomError: 507,
    CeilingError: 429,
    ChangedError: 412,
    BusyError: 503,
    KerastudyError: 503,
}
_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_RETRY_S = "10"  # an export takes longer, a stream may end at any time
_EXAMPLE_ERROR = {
    "message": 'no model family is called "mpl"; did you mean "mlp"?',
    "path": "model",
    "file": "study.yaml",
    "line": 3,
    "column": 8,
}
_EXAMPLE_DETAIL = f"study.yaml:3:8: model: {_EXAMPLE_ERROR['message']}"


class ErrorItem(BaseModel):
    """One error: the message that the command line would print, and its place."""

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0


class ProblemDetail(BaseModel):
    """RFC 9457."""

    type: str = Field(examples=["/problems/invalid"], description="Path of a page of this service that explains it")
    title: str = Field(examples=["Invalid input"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=[_EXAMPLE_DETAIL])
    errors: list[ErrorItem] = Field(default=[], examples=[[_EXAMPLE_ERROR]])


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ProblemDetail, "content": {MEDIA_TYPE: {}}, "description": "What is wrong, and where"},
    "5XX": {"model": ProblemDetail, "content": {MEDIA_TYPE: {}}, "description": "The service could not do it"},
}
"""Description of the problem details, for every route."""


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of a route with a problem detail."""

    @app.exception_handler(KerastudyError)
    async def answer_error(request: Request, error: KerastudyError) -> Response:
        status = next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)
        problems = error.problems if isinstance(error, InputError) else (Problem(str(error)),)
        response = make_response(status, str(error), [_describe_problem(each) for each in problems])
        if isinstance(error, BusyError):
            response.headers["Retry-After"] = _RETRY_S
        return response

    @app.exception_handler(RequestValidationError)
    async def answer_invalid_request(request: Request, error: RequestValidationError) -> Response:
        errors = [ErrorItem(message=each["msg"], path=".".join(map(str, each["loc"]))) for each in error.errors()]
        return make_response(422, "; ".join(f"{each.path}: {each.message}" for each in errors), errors)

    @app.exception_handler(HTTPException)
    async def answer_http_exception(request: Request, error: HTTPException) -> Response:
        response = make_response(error.status_code, str(error.detail))
        response.headers.update(error.headers or {})
        if error.status_code == 405:
            # Starlette names the methods of one route, and an address may have several.
            response.headers["Allow"] = ", ".join(_list_methods(request))
        return response

    @app.exception_handler(Exception)
    # Starlette raises the error again after this answer, and uvicorn logs its traceback.
    async def answer_defect(request: Request, error: Exception) -> Response:
        return make_response(500, "this is a defect in kerastudy; the service's log has the details")


def _list_methods(request: Request) -> list[str]:
    """Return the methods that an address has."""
    routes: Sequence[BaseRoute] = request.app.router.routes
    found = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return ["HEAD", *found] if "GET" in found else found


def make_response(status: int, detail: str, errors: Sequence[ErrorItem] = ()) -> JSONResponse:
    """Return a problem detail as an answer."""
    content = make_problem_detail(status, detail, [each.model_dump() for each in errors])
    return JSONResponse(content, status, media_type=MEDIA_TYPE)


def _describe_problem(problem: Problem) -> ErrorItem:
    place = problem.place
    where = {"file": place.file, "line": place.line, "column": place.column} if place else {}
    return ErrorItem(message=problem.message, path=problem.path, **where)
