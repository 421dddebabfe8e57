"""Problems as pages, for browsers that open an address; programs get what they got."""

from __future__ import annotations

import anyio
import pytest

from pipelines.service.http.problem_details import MEDIA_TYPE, encode_problem_detail
from pipelines.service.http.problem_pages import ProblemPages

VISIT = [(b"accept", b"text/html,*/*;q=0.8"), (b"sec-fetch-mode", b"navigate")]


def answer_of(status, headers, content_type=MEDIA_TYPE, method="GET"):
    body, sent = encode_problem_detail(status, "<b>no records yet</b>"), []

    async def app(scope, receive, send):
        given = [(b"content-type", content_type.encode()), (b"retry-after", b"3")]
        await send({"type": "http.response.start", "status": status, "headers": given})
        await send({"type": "http.response.body", "body": body[:5], "more_body": True})
        await send({"type": "http.response.body", "body": body[5:]})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/mlflow/", "headers": headers}
    anyio.run(ProblemPages(app), scope, None, send)
    return dict(sent[0]["headers"]), sent[0]["status"], b"".join(each["body"] for each in sent[1:]).decode()


@pytest.mark.parametrize("status", [404, 503])
def test_a_browser_gets_a_page(status):
    """With the status, the reason as text, and for a service that starts up a further look by itself."""
    headers, sent, page = answer_of(status, VISIT)
    assert (sent, headers[b"content-type"]) == (status, b"text/html; charset=utf-8")
    assert headers[b"retry-after"] == b"3"
    assert int(headers[b"content-length"]) == len(page.encode())
    assert "&lt;b&gt;no records yet" in page
    assert ('http-equiv="refresh"' in page) is (status == 503)


@pytest.mark.parametrize(
    ("headers", "content_type", "method"),
    [
        ([(b"accept", b"*/*")], MEDIA_TYPE, "GET"),
        ([(b"accept", b"text/html"), (b"sec-fetch-mode", b"cors")], MEDIA_TYPE, "GET"),
        (VISIT, "application/json", "GET"),
        (VISIT, MEDIA_TYPE, "POST"),
    ],
)
def test_everything_else_stays(headers, content_type, method):
    """Programs, scripts of pages, and answers that are no problems."""
    got, _, body = answer_of(404, headers, content_type, method)
    assert got[b"content-type"] == content_type.encode()
    assert body.startswith("{")
