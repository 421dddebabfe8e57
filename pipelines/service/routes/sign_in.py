"""Routes of the sign-in page: passwords, tokens, the way to the identity provider and back, and the sign-out."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated
from urllib.parse import parse_qsl, quote

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from pipelines.service.errors import SignInError
from pipelines.service.http.pages import HEADERS, STYLE, render
from pipelines.service.monitoring.audit_recorder import OWN_LINES
from pipelines.service.routes.parameters import Caller
from pipelines.service.sign_in.attempts import SignIn
from pipelines.service.sign_in.callers import Callers
from pipelines.service.sign_in.oidc import Attempt
from search_spaces.errors import InputError

_ATTEMPT_S = 600
_MAX_FIELDS = 20
Next = Annotated[str, Query(max_length=2000)]


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        InputError: if the body is no form.
    """
    try:
        return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError:
        raise InputError("expected the fields of a form") from None


Form = Annotated[dict[str, str], Depends(read_form)]


def make_sign_in_router(sign_in: SignIn, callers: Callers) -> APIRouter:
    """Return the routes of the sign-in."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(_claim_lines)])
    cookies = _Cookies(callers)

    def show(next_: str, error: str = "", name: str = "") -> Response:
        page = render(
            "sign_in.html",
            next=check_next(next_),
            error=error,
            name=name[:100],
            button=sign_in.button,
            takes_passwords=sign_in.takes_passwords,
        )
        return HTMLResponse(page, 403 if error else 200, HEADERS)

    def find_callback(request: Request) -> str:
        # The host was checked against the operator's list.
        return f"{'https' if callers.is_secure else 'http'}://{request.headers['host']}/sign-in/callback"

    @router.get("/assets/kerastudy.css")
    def send_style() -> FileResponse:
        return FileResponse(STYLE, media_type="text/css")

    @router.get("/sign-in")
    def show_page(next: Next = "/") -> Response:
        return show(next)

    @router.post("/sign-in/password")
    def enter_with_password(request: Request, form: Form) -> Response:
        try:
            text = sign_in.with_password(form.get("name", ""), form.get("password", ""), _get_id(request))
        except SignInError as error:
            return show(form.get("next", "/"), str(error), form.get("name", ""))
        return cookies.enter(text, form.get("next", "/"))

    @router.post("/sign-in/token")
    def enter_with_token(request: Request, form: Form) -> Response:
        try:
            text = sign_in.with_token(form.get("token", ""), _get_id(request))
        except SignInError as error:
            return show(form.get("next", "/"), str(error))
        return cookies.enter(text, form.get("next", "/"))

    @router.get("/sign-in/provider")
    def go_to_provider(request: Request, next: Next = "/") -> Response:
        try:
            url, attempt = sign_in.go_to_provider(find_callback(request), check_next(next))
        except SignInError as error:
            return show(next, str(error))
        return cookies.keep_attempt(RedirectResponse(url, 303), attempt)

    @router.get("/sign-in/callback")
    def come_back(request: Request) -> Response:
        attempt = cookies.find_attempt(request)
        if attempt is None:
            return show("/", "this sign-in took too long, or began in another browser: begin again")
        try:
            text = sign_in.with_provider(attempt, find_callback(request), request.query_params, _get_id(request))
        except SignInError as error:
            return cookies.drop_attempt(show(attempt.next, str(error)))
        return cookies.drop_attempt(cookies.enter(text, attempt.next))

    @router.post("/sign-out")
    def leave(request: Request, caller: Caller) -> Response:
        sign_in.end(request.headers.get("cookie", ""), caller, _get_id(request))
        return cookies.leave()

    return router


class _Cookies:
    """Cookies of a service: the session's, and one for the time at the provider."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._attempt = f"{callers.cookie}-attempt"

    def enter(self, text: str, next_: str) -> Response:
        answer = RedirectResponse(quote(check_next(next_), safe="/?&=%#:+,;@!$'()*~"), 303)
        self._set(answer, self._callers.cookie, text, int(self._callers.longest_s))
        return answer

    def leave(self) -> Response:
        answer = RedirectResponse("/sign-in", 303)
        self._set(answer, self._callers.cookie, "", 0)
        return answer

    def keep_attempt(self, answer: Response, attempt: Attempt) -> Response:
        text = base64.urlsafe_b64encode(json.dumps(vars(attempt)).encode()).decode()
        self._set(answer, self._attempt, text, _ATTEMPT_S)
        return answer

    def find_attempt(self, request: Request) -> Attempt | None:
        try:
            return Attempt(**json.loads(base64.urlsafe_b64decode(request.cookies.get(self._attempt, ""))))
        except (ValueError, TypeError, RecursionError, binascii.Error):
            return None

    def drop_attempt(self, answer: Response) -> Response:
        self._set(answer, self._attempt, "", 0)
        return answer

    def _set(self, answer: Response, name: str, value: str, age_s: int) -> None:
        # Lax: a link from a chat to a study must not lead to the sign-in of somebody who is signed in.
        answer.set_cookie(name, value, age_s, path="/", secure=self._callers.is_secure, httponly=True, samesite="lax")


def check_next(path: str) -> str:
    """Return a path of this service to go to, and the home page for anything else."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_ours else "/"


def _claim_lines(request: Request) -> None:
    """State that `SignIn` writes the lines of the audit log: whoever signs in is nobody yet."""
    request.scope[OWN_LINES] = True


def _get_id(request: Request) -> str:
    return str(request.scope.get("kerastudy.request_id", ""))
