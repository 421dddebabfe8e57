"""Routes for whoever operates the service: health and metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from pipelines.service.metrics import CONTENT_TYPE, render_metrics
from pipelines.service.routes.parameters import Caller
from pipelines.workspace.home import Home
from tracking.store.database import Store


class Health(BaseModel):
    """Whether the service can do its work."""

    status: Literal["ok"]
    version: str


def make_upkeep_router(home: Home, store: Store, version: str) -> APIRouter:
    """Return the routes for operators."""
    router = APIRouter(tags=["upkeep"])

    @router.get("/healthz")
    def check_health() -> Health:
        """Return whether the service can do its work; needs no token."""
        with store.read():
            return Health(status="ok", version=version)

    @router.get("/metrics", response_class=PlainTextResponse)
    def read_metrics(caller: Caller) -> Response:
        """Return counts for Prometheus."""
        return Response(render_metrics(store, home), media_type=CONTENT_TYPE)

    return router
