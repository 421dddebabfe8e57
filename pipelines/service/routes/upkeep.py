"""Routes for whoever operates the service: health, readiness and metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from pipelines.service.metrics import CONTENT_TYPE
from pipelines.service.monitors import Monitors
from pipelines.service.routes.parameters import Caller


class Health(BaseModel):
    """Sign of life of the service's process."""

    status: Literal["ok"]
    version: str


class ReadinessView(BaseModel):
    """Whether the service can carry out what it accepts, and else why not."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str] = Field(description="Each check: `ok`, or the reason why it fails.")


def make_upkeep_router(monitors: Monitors, version: str) -> APIRouter:
    """Return the routes for operators."""
    router = APIRouter(tags=["upkeep"])

    @router.get("/healthz", operation_id="service.check_health")
    def check_health() -> Health:
        """Return that the service answers; needs no token. A monitor restarts a service that does not."""
        return Health(status="ok", version=version)

    @router.get("/readyz", responses={503: {"model": ReadinessView}}, operation_id="service.check_readiness")
    def check_readiness(response: Response) -> ReadinessView:
        """Return whether the service can carry out what it accepts, 503 if not; needs no token."""
        found = monitors.readiness.check()
        checks = {name: why or "ok" for name, why in found.items()}
        if any(found.values()):
            response.status_code = 503
            return ReadinessView(status="not ready", checks=checks)
        return ReadinessView(status="ready", checks=checks)

    @router.get("/metrics", response_class=PlainTextResponse, operation_id="service.read_metrics")
    def read_metrics(caller: Caller) -> Response:
        """Return metrics for Prometheus."""
        return Response(monitors.metrics.render(), media_type=CONTENT_TYPE)

    return router
