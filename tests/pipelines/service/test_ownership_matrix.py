"""Every operation by every kind of caller. An operation without a row fails, so a new route gets one.

Each operation is called through the client that is generated from the API's description.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest
from api_client import make_client
from served import RunningService, run_service, study_text, submit

ROLES = ("owner", "other", "reader", "admin", "removed", "nobody")
# What each of them gets: + an answer, - forbidden (403), ? nothing that it could see (404), ! no access (401).
EVERYBODY, ANY_TOKEN, SUBMITTERS, OWNER, ADMIN = "++++++", "++++!!", "++-+!!", "+--+!!", "---+!!"


class Things:
    """What an operation is called on, each made when it is named: the owner's study and upload, and an account."""

    def __init__(self, service: RunningService, owner: dict[str, str]) -> None:
        self._service = service
        self._owner = owner
        self._number = next(_NEW)

    @cached_property
    def study(self) -> str:
        """A study that waits; the registered model of its name is the owner's too."""
        submit(self._service, self._owner, study_text(f"s{self._number}"))
        return f"s{self._number}"

    @cached_property
    def rival(self) -> str:
        """Another study that waits."""
        submit(self._service, self._owner, study_text(f"r{self._number}"))
        return f"r{self._number}"

    @cached_property
    def upload(self) -> str:
        """Name of an upload."""
        content = f"y\n{self._number}\n".encode()
        sent = self._service.client.put("/v1/uploads/a.csv", content=content, headers=self._owner)
        return str(sent.json()["source"].removeprefix("uploads/"))

    @cached_property
    def account(self) -> str:
        """Name of an account with a token."""
        self._service.token(f"t{self._number}")
        return f"t{self._number}"


_NEW = itertools.count()


@dataclass
class Row:
    """Expected outcomes of one operation, in the order of `ROLES`, and its arguments."""

    outcomes: str
    arguments: Callable[[Things], dict[str, Any]] = field(default=lambda _: {})


def _study(things: Things) -> dict[str, Any]:
    return {"study": things.study}


def _account(things: Things) -> dict[str, Any]:
    return {"name": things.account}


ROWS = {
    "account.change": Row(ADMIN, lambda things: {**_account(things), "body": {"scope": "read"}}),
    "account.create": Row(ADMIN, lambda _: {"body": {"name": f"new{next(_NEW)}", "password": "a long pass phrase"}}),
    "account.list": Row(ADMIN),
    "account.remove": Row(ADMIN, _account),
    "audit.list": Row(ADMIN),
    "home.list_hosts": Row(ANY_TOKEN),
    "home.show_usage": Row(ANY_TOKEN),
    "me.create_token": Row(ANY_TOKEN, lambda _: {"body": {"label": f"new{next(_NEW)}"}}),
    "me.list_tokens": Row(ANY_TOKEN),
    "me.remove_token": Row("????!!", lambda _: {"label": "none"}),
    "me.rotate_token": Row("????!!", lambda _: {"label": "none", "body": {}}),
    "me.show": Row(ANY_TOKEN),
    "model.export": Row(ANY_TOKEN, _study),
    "model.grant": Row(OWNER, lambda things: {"name": things.study, "submitter": "bob"}),
    "model.list": Row(ANY_TOKEN),
    "model.predict": Row(ANY_TOKEN, lambda things: {**_study(things), "body": b"x\n1\n"}),
    "model.promote": Row(OWNER, _study),
    "model.revoke": Row("?--?!!", lambda things: {"name": things.study, "submitter": "bob"}),
    "service.check_health": Row(EVERYBODY),
    "service.check_readiness": Row(EVERYBODY),
    "service.read_metrics": Row(ANY_TOKEN),
    "study.archive": Row(OWNER, _study),
    "study.cancel": Row(OWNER, _study),
    "study.compare": Row(ANY_TOKEN, lambda things: {"study": [things.study, things.rival]}),
    "study.delete": Row(OWNER, _study),
    "study.follow_events": Row(ANY_TOKEN, lambda things: {**_study(things), "follow": False}),
    "study.list": Row(ANY_TOKEN),
    "study.pause": Row(OWNER, _study),
    "study.read_logs": Row(ANY_TOKEN, _study),
    "study.resume": Row(OWNER, _study),
    "study.report": Row(ANY_TOKEN, _study),
    "study.show": Row(ANY_TOKEN, _study),
    "study.stop": Row(OWNER, _study),
    "study.submit": Row(SUBMITTERS, lambda _: {"body": study_text(f"new{next(_NEW)}")}),
    "study.unarchive": Row(OWNER, _study),
    "token.create": Row(ADMIN, lambda _: {"body": {"name": f"new{next(_NEW)}"}}),
    "token.list": Row(ADMIN),
    "token.remove": Row(ADMIN, _account),
    "token.rotate": Row(ADMIN, lambda things: {**_account(things), "label": "default", "body": {}}),
    "trial.list": Row(ANY_TOKEN, _study),
    "trial.show": Row("????!!", lambda things: {**_study(things), "trial": 0}),
    "trial.show_best": Row(ANY_TOKEN, _study),
    "upload.list": Row(ANY_TOKEN),
    "upload.put": Row(SUBMITTERS, lambda _: {"name": "a.csv", "body": f"x\n{next(_NEW)}\n".encode()}),
    "upload.remove": Row("+?-+!!", lambda things: {"name": things.upload}),
}
# Pages of browsers, which are no part of the API: what they change is the caller's own.
PAGES = {
    "/", "/assets/kerastudy.css", "/docs", "/home/password", "/home/tokens", "/home/tokens/remove", "/openapi.json",
    "/problems/{slug}", "/sign-in", "/sign-in/callback", "/sign-in/password", "/sign-in/provider", "/sign-in/token",
    "/sign-out", "/swagger/favicon-32x32.png", "/swagger/swagger-ui-bundle.js",
    "/swagger/swagger-ui.css",
}  # fmt: skip


class Callers:
    """Clients of one service, one for each role."""

    def __init__(self, service: RunningService) -> None:
        self._service = service
        self.described = service.client.get("/openapi.json").json()
        self.owner = service.token("ann")
        gone = service.token("gone", "admin")
        headers = [self.owner, service.token("bob"), service.token("eve", "read"), service.token("root", "admin"), gone]
        self._clients = [make_client(self.described, service.client, each) for each in (*headers, {})]
        self._clients[3].token_remove(name="gone")
        self._refused = Things(service, self.owner)

    def call(self, role: str, operation: str, row: Row) -> str:
        """Call an operation on things of its own; return the outcome's sign."""
        client = self._clients[ROLES.index(role)]
        # Without a token nothing is changed, and the same things serve every operation.
        things = self._refused if role in ("removed", "nobody") else Things(self._service, self.owner)
        answer = getattr(client, operation.replace(".", "_"))(**row.arguments(things))
        # That the service of this test starts no study is known.
        assert answer.status_code < 500 or operation == "service.check_readiness", answer.text
        return {401: "!", 403: "-", 404: "?"}.get(answer.status_code, "+")


@pytest.fixture(scope="module")
def callers(tmp_path_factory) -> Iterator[Callers]:
    """A service with its callers."""
    with run_service(tmp_path_factory.mktemp("service"), uploads=1000) as service:
        yield Callers(service)


def test_every_operation_has_a_row(callers):
    """And every row an operation."""
    paths = callers.described["paths"].values()
    assert {each["operationId"] for operations in paths for each in operations.values()} == set(ROWS)


@pytest.mark.parametrize("operation", sorted(ROWS))
def test_an_operation_is_open_to_whom_it_is_meant_for(callers, operation):
    """Owner, another submitter, a reader, an admin, a removed token, no token."""
    assert "".join(callers.call(role, operation, ROWS[operation]) for role in ROLES) == ROWS[operation].outcomes


def test_every_other_page_is_known(callers):
    """A route that is not described is listed here, with the reason."""

    def walk(routes: Any) -> Iterator[str]:
        for route in routes:
            if hasattr(route, "original_router"):
                yield from walk(route.original_router.routes)
            else:
                yield route.path

    application: Any = callers._service.app
    while not hasattr(application, "routes"):
        application = application._app
    assert set(walk(application.routes)) - callers.described["paths"].keys() == PAGES
