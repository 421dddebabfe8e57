"""Problem details (RFC 9457): the form of all errors that the service answers with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"


def make_problem_detail(status: int, detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return a problem detail.

    Args:
        status: the answer's status code.
        detail: the error and what to do, for a person.
        errors: one entry for each error: `message`, `path`, and `file`, `line`, `column`.
    """
    title = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, "errors": list(errors)}


def encode_problem_detail(status: int, detail: str) -> bytes:
    """Return a problem detail as JSON."""
    return json.dumps(make_problem_detail(status, detail)).encode()
