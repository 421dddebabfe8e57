"""HEAD is answered wherever GET is, and at once; a refused method names those that the address has."""

from __future__ import annotations

import pytest
from served import detail, study_text, submit


@pytest.mark.parametrize(
    "path", ["/healthz", "/v1/studies", "/v1/studies/s", "/v1/studies/s/events", "/v1/studies/s/logs?follow=true"]
)
def test_head_is_get_without_a_body(service, ann, path):
    """Also of a stream that would last as long as the study; its place is free at once."""
    submit(service, ann, study_text())
    answer = service.client.head(path, headers=ann)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"]
    assert service.streams.count == 0
    assert service.client.head("/v1/studies/nope", headers=ann).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/v1/studies", {"GET", "HEAD", "POST"}),
        ("PUT", "/v1/studies/s", {"GET", "HEAD", "DELETE"}),
        ("PATCH", "/v1/uploads/a.csv", {"PUT", "DELETE"}),
        ("HEAD", "/v1/uploads/a.csv", {"PUT", "DELETE"}),
    ],
)
def test_allow_names_all_methods(service, ann, method, path, allowed):
    """Of all routes of the address."""
    answer = service.client.request(method, path, headers=ann)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    if method != "HEAD":
        detail(answer, 405)
