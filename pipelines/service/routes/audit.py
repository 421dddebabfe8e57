"""Route of the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from pipelines.service.errors import require_scope
from pipelines.service.routes.parameters import MAX_INTEGER, Caller
from tracking.store.audit import AuditLine, AuditLog, Outcome


class AuditPage(BaseModel):
    """A page of the audit log."""

    lines: list[AuditLine]
    next: int | None = Field(description="`before` of the next page; null on the last one")


def make_audit_router(audit: AuditLog) -> APIRouter:
    """Return the route of the audit log."""
    router = APIRouter(tags=["upkeep"])

    @router.get("/v1/audit", operation_id="audit.list")
    def list_lines(
        caller: Caller,
        name: Annotated[str | None, Query(max_length=120, description="Name or id of an account")] = None,
        operation: Annotated[str | None, Query(max_length=100, examples=["token.create"])] = None,
        object: Annotated[str | None, Query(max_length=300, description="The study, account or other thing")] = None,
        outcome: Annotated[Outcome | None, Query()] = None,
        since_ms: Annotated[
            int, Query(ge=0, le=MAX_INTEGER, description="From then on, in milliseconds since 1970")
        ] = 0,
        before: Annotated[int | None, Query(ge=0, le=MAX_INTEGER, description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> AuditPage:
        """List who changed what, the newest first."""
        require_scope(caller, "admin")
        found = audit.list(
            name=name,
            operation=operation,
            object_=object,
            outcome=outcome,
            since_ms=since_ms,
            before=before,
            limit=limit + 1,
        )
        shown = list(found[:limit])
        return AuditPage(lines=shown, next=shown[-1].id if len(found) > limit else None)

    return router
