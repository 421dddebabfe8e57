"""Problem details (RFC 9457): the form of all errors that the service answers with, and the types of problems.

A type is the path of a page of this service, which explains it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MEDIA_TYPE = "application/problem+json"
PAGES = "/problems/"
"""Path below which each type of problem has its page."""


@dataclass(frozen=True)
class ProblemType:
    """Type of problems: one for each status.

    Attributes:
        status: status of the answers.
        slug: last part of its page's path.
        title: the problem in a few words.
        meaning: what it means.
        remedy: what a client does about it.
    """

    status: int
    slug: str
    title: str
    meaning: str
    remedy: str


TYPES = (
    ProblemType(
        400, "bad-request", "Malformed request", "The request can be read in two ways, or not at all.",
        "Mend the client; the same request fails again.",
    ),
    ProblemType(
        401, "no-access", "No valid token", "The request has no token, or one that was removed or has expired.",
        "Send Authorization: Bearer TOKEN; kerastudy login stores one.",
    ),
    ProblemType(
        403, "forbidden", "Not allowed", "The token is valid and may not do this: its scope is too small, the study or "
        "the model is somebody else's, or a setting of the operator forbids it.",
        "The detail names the scope, the owner or the setting; an admin can do it or grant it.",
    ),
    ProblemType(
        404, "unknown", "Unknown", "There is no such address, study, trial, model, token or upload.",
        "The detail names the nearest one.",
    ),
    ProblemType(
        405, "wrong-method", "Method not allowed", "The address exists, with other methods.",
        "Use one of the methods in the header Allow.",
    ),
    ProblemType(
        408, "slow-body", "Body too slow", "The body of the request did not arrive in time.",
        "Send it again on a faster line; uploads may take as long as parts arrive.",
    ),
    ProblemType(
        409, "conflict", "Conflict", "The state of the study, or a name that is taken, does not allow this.",
        "The detail names the state or the holder of the name; choose another name, or change the state first.",
    ),
    ProblemType(
        412, "changed", "Changed meanwhile", "The study is not as it was when the ETag in If-Match was read.",
        "Read the study again, and decide again.",
    ),
    ProblemType(
        413, "too-large", "Too large", "The body is larger than this address allows.",
        "Send less; the operator sets the size of uploads.",
    ),
    ProblemType(
        421, "wrong-host", "Unknown host name", "The service does not answer to the name in the header Host.",
        "Use another name, or have the operator add it to hosts.",
    ),
    ProblemType(
        422, "invalid", "Invalid input", "A study file, a parameter or a body is not valid.",
        "Each entry of errors names a place and what is expected there; nothing was stored.",
    ),
    ProblemType(
        429, "ceiling", "Too much of one account", "This account does as much of a kind at once as it may.",
        "Wait for the seconds in Retry-After, or end something; the detail names the operator's key.",
    ),
    ProblemType(
        431, "large-headers", "Headers too large", "The request has more headers, or longer ones, than allowed.",
        "Send fewer; in a browser, remove the cookies of this host.",
    ),
    ProblemType(
        500, "defect", "Defect", "kerastudy has failed in a way that nobody foresaw.",
        "Report it, with the request's id in X-Request-Id; the service's log has the details.",
    ),
    ProblemType(
        502, "bad-gateway", "MLflow failed", "MLflow behind the service has answered with an error.",
        "Send the request again; the service's log and mlflow-server.log have the details.",
    ),
    ProblemType(
        503, "unavailable", "Not available now", "The service is busy or stopping, or its store or MLflow is away.",
        "Send the request again, after the seconds in Retry-After if they are given.",
    ),
    ProblemType(
        507, "no-room", "No room", "A quota of the operator, or the disk, has no room left for this.",
        "Remove what is not needed; the detail names the quota's key.",
    ),
)  # fmt: skip
_BY_STATUS = {each.status: each for each in TYPES}


def find_type(status: int) -> ProblemType:
    """Return the type of an answer's problem."""
    # Others of the web server's are malformed requests, or defects.
    return _BY_STATUS.get(status) or _BY_STATUS[500 if status >= 500 else 400]


def make_problem_detail(status: int, detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return a problem detail.

    Args:
        status: the answer's status code.
        detail: the error and what to do, for a person.
        errors: one entry for each error: `message`, `path`, and `file`, `line`, `column`.
    """
    kind = find_type(status)
    about = {"type": f"{PAGES}{kind.slug}", "title": kind.title}
    return {**about, "status": status, "detail": detail, "errors": list(errors)}


def encode_problem_detail(status: int, detail: str) -> bytes:
    """Return a problem detail as JSON."""
    return json.dumps(make_problem_detail(status, detail)).encode()
