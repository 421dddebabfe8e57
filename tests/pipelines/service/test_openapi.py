"""Whatever OpenAPI allows, and much that it does not, is answered as OpenAPI says, and never with a defect."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from served import served, study_text


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with served(tmp_path_factory.mktemp("service"), uploads=1000) as service:
        who = service.token("root", "admin")
        service.client.post("/v1/studies", content=study_text("breast-cancer"), headers=who)
        yield service, who


@pytest.fixture(scope="module")
def api_schema(running):
    service, _ = running
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/openapi.json")


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_is_a_defect(case, running):
    """Streams are asked for what is there, and not followed."""
    _, who = running
    if case.path.endswith(("/events", "/logs")):
        case.query = {**(case.query or {}), "follow": False}
    answer = case.call(headers=who, timeout=20)
    case.validate_response(answer, checks=[not_a_server_error])
    if answer.status_code >= 400 and case.method != "HEAD":
        assert answer.headers["content-type"].startswith(("application/problem+json", "text/plain"))
