"""The contract of the HTTP API: names of operations, types of problems, parameters, conditions, the study file."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from served import detail, run_service, study_text, submit

from pipelines.service.http.problem_details import PAGES, TYPES, find_type
from search_spaces.yaml_reader import parse_document

_OPERATIONS = Path(__file__).with_name("operations.txt")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A service with a study of ann's."""
    with run_service(tmp_path_factory.mktemp("service")) as service:
        ann = service.token("ann")
        submit(service, ann, study_text())
        yield service, ann


@pytest.fixture(scope="module")
def described(running):
    """The description of the API."""
    service, _ = running
    return service.client.get("/openapi.json").json()


def test_operations_keep_their_names(described):
    """Clients are generated from them: a name that vanishes breaks programs, a new one is added to the list."""
    found = [
        f"{operation['operationId']} {method.upper()} {path}"
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    ]
    assert len({line.split()[0] for line in found}) == len(found)
    assert sorted(found) == _OPERATIONS.read_text().splitlines()


def test_each_type_of_problem_has_its_page(running):
    """At the path that the answers name, without a token; an unknown one is an unknown address."""
    service, ann = running
    for kind in TYPES:
        page = service.client.get(PAGES + kind.slug)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert kind.title in page.text
    detail(service.client.get(f"{PAGES}nope"), 404)
    found = detail(service.client.get("/v1/studies/nope", headers=ann), 404)
    assert (found["type"], found["title"]) == ("/problems/unknown", "Unknown")
    assert service.client.get("/v1/studies").json()["type"] == "/problems/no-access"
    assert (find_type(418).slug, find_type(504).slug) == ("bad-request", "defect")


@pytest.mark.parametrize(
    ("method", "path", "hint"),
    [
        ("GET", "/v1/studies?submiter=ann", 'did you mean "submitter"'),
        ("POST", "/v1/studies?prioritee=1", 'did you mean "priority"'),
        ("GET", "/v1/studies/s?x=1", "it takes none"),
        ("GET", "/v1/studies/s/logs?followw=true", 'did you mean "follow"'),
        ("POST", "/v1/studies/s:pause?force=true", "it takes none"),
    ],
)
def test_an_unknown_parameter_is_refused(running, method, path, hint):
    """It may be a misspelt one, and nothing is done; the nearest one is named."""
    service, ann = running
    found = detail(service.client.request(method, path, headers=ann, content=study_text()), 422)
    assert hint in found["detail"]
    assert found["errors"][0]["path"].startswith("query.")
    assert service.client.get("/v1/studies/s", headers=ann).json()["state"] == "queued"


def test_a_control_holds_to_what_was_read(service, ann):
    """With the ETag of a study that has changed since, nothing is done; with the present one, or any, it is."""
    submit(service, ann, study_text())
    before = service.client.get("/v1/studies/s", headers=ann).headers["etag"]
    pause = lambda tag: service.client.post("/v1/studies/s:pause", headers={**ann, "If-Match": tag})  # noqa: E731
    assert pause(f'"other", {before}').status_code == 200
    assert service.client.get("/v1/studies/s", headers=ann).json()["state"] == "paused"
    for method, path in (
        ("POST", "/v1/studies/s:resume"),
        ("POST", "/v1/studies/s:cancel"),
        ("DELETE", "/v1/studies/s"),
    ):
        found = detail(service.client.request(method, path, headers={**ann, "If-Match": before}), 412)
        assert "has changed since it was read" in found["detail"]
    assert service.client.get("/v1/studies/s", headers=ann).json()["state"] == "paused"
    assert service.client.post("/v1/studies/s:resume", headers={**ann, "If-Match": "*"}).status_code == 200


def test_the_study_file_is_described(described):
    """Its schema takes a study file and refuses a misspelt key."""
    body = described["paths"]["/v1/studies"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema = {**body, "components": described["components"]}
    validator = jsonschema.Draft202012Validator(schema)
    written = parse_document(study_text(), "study.yaml").data
    assert list(validator.iter_errors(written)) == []
    assert list(validator.iter_errors({**written, "budget": {"trails": 3}}))
