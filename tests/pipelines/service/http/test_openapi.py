"""Every request that OpenAPI allows gets an answer, and never a defect."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from served import run_service, study_text

EXAMPLES = 12


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with run_service(tmp_path_factory.mktemp("service"), uploads=1000) as service:
        who = service.token("root", "admin")
        service.client.post("/v1/studies", content=study_text("breast-cancer"), headers=who)
        yield service, who


def operations(service):
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/openapi.json")
    return [found.ok() for found in schema.get_all_operations()]


def test_every_address_is_described(running):
    """With what it answers where something is wrong, and with what it takes."""
    service, _ = running
    found = service.client.get("/openapi.json").json()
    assert {"/v1/studies", "/v1/studies/{study}:export", "/healthz", "/metrics"} <= found["paths"].keys()
    for path, methods in found["paths"].items():
        for method, described in methods.items():
            assert {"4XX", "5XX"} <= described["responses"].keys(), (path, method)
            secured = bool(described.get("security"))
            assert secured == (path not in ("/healthz", "/readyz")), (path, method)


@pytest.mark.long
def test_no_request_is_a_defect(running):
    """Streams are read up to their present end, and not followed."""
    service, who = running
    kinds = set()

    def send(case):
        if case.path.endswith(("/events", "/logs")):
            case.query = {**(case.query or {}), "follow": False}
        case.headers = {**(case.headers or {}), **who}
        answer = case.call(timeout=120)
        kinds.add(answer.status_code)
        if case.path != "/readyz":  # the threads that it watches do not run here
            case.validate_response(answer, checks=[not_a_server_error])
        if answer.status_code >= 400 and case.path != "/readyz":
            assert answer.headers["content-type"][0] == "application/problem+json", answer.text

    chosen = settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for operation in operations(service):

        @chosen
        @given(case=operation.as_strategy())
        def each(case):
            send(case)

        each()
    assert {200, 404, 422} <= kinds
