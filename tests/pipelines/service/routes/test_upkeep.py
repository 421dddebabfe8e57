"""Routes for operators: health without a token, metrics with one."""

from __future__ import annotations

from served import detail, study_text, submit


def test_health_needs_no_token_and_metrics_do(service, reader):
    """Counts are of the store."""
    assert service.client.get("/healthz").json()["status"] == "ok"
    detail(service.client.get("/metrics"), 401)
    submit(service, service.token("ann"), study_text())
    assert 'kerastudy_studies{state="queued"} 1.0' in service.client.get("/metrics", headers=reader).text
