"""Routes for whoever operates the service: health, readiness and metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from pipelines.queries.hosts import HostView, list_hosts
from pipelines.service.monitoring.metrics import CONTENT_TYPE
from pipelines.service.monitoring.monitors import Monitors
from pipelines.service.routes.parameters import Caller
from tracking.store.database import Store


class Health(BaseModel):
    """Sign of life of the service's process."""

    status: Literal["ok"]
    version: str


class ReadinessView(BaseModel):
    """Whether the service can carry out what it accepts, and else why not."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str] = Field(description="Each check: `ok`, or the reason why it fails.")
    hosts: dict[str, int] = Field(description="Processes that run studies, by state: `ready`, `draining`, `lost`.")


def make_upkeep_router(monitors: Monitors, store: Store, version: str) -> APIRouter:
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
        # After the checks: a store that does not answer was noticed there, within seconds.
        hosts = {} if found.get("store") else dict(monitors.readiness.count_hosts())
        if any(found.values()):
            response.status_code = 503
            return ReadinessView(status="not ready", checks=checks, hosts=hosts)
        return ReadinessView(status="ready", checks=checks, hosts=hosts)

    @router.get("/v1/hosts", operation_id="home.list_hosts")
    def list_running_hosts(caller: Caller) -> list[HostView]:
        """List the processes that run studies on all hosts, with the studies that run there."""
        return list(list_hosts(store))

    @router.get("/metrics", response_class=PlainTextResponse, operation_id="service.read_metrics")
    def read_metrics(caller: Caller) -> Response:
        """Return metrics for Prometheus."""
        return Response(monitors.metrics.render(), media_type=CONTENT_TYPE)

    return router
