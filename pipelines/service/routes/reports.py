"""Routes of pages that need no other file: a study's report, and the comparison of several."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from pipelines.operations.compare import render_comparison_page
from pipelines.operations.report import render_study_report
from pipelines.queries.report_reader import ReportReader
from pipelines.service.monitoring.audit_recorder import OBJECT
from pipelines.service.routes.departures import run_for_client
from pipelines.service.routes.parameters import STUDY_NAME, Caller, StudyName
from pipelines.service.studies.model_service import ModelService
from pipelines.service.studies.study_service import StudyService
from tracking.reports.comparison import ComparisonTables, make_tables

_MOST_COMPARED = 20  # chosen: each is read in full, and its winner may have to be scored


@dataclass(frozen=True)
class ServedComparison(ComparisonTables):
    """Comparison of studies; `page` is one HTML file with it, if it was requested."""

    page: str | None = None


def make_report_router(service: StudyService, models: ModelService) -> APIRouter:
    """Return the routes of reports."""
    router = APIRouter(prefix="/v1/studies", tags=["studies"])

    @router.get("/{study}/report", response_class=HTMLResponse, operation_id="study.report")
    def read_report(study: StudyName, caller: Caller) -> Response:
        """Return a study's report as a page, made anew from what is stored."""
        reader = ReportReader(service.home, service.store, place="this service")
        page = render_study_report(reader.read(study))
        return HTMLResponse(service.hidden_paths.hide(page.encode()))

    # Its worker may score models for minutes, so it is no GET, which clients and proxies repeat.
    @router.post(":compare", operation_id="study.compare")
    async def compare(
        study: Annotated[list[Annotated[str, STUDY_NAME]], Query(max_length=_MOST_COMPARED, description="Two or more")],
        caller: Caller,
        request: Request,
        page: Annotated[bool, Query(description="One HTML file with all of it, too")] = False,
    ) -> ServedComparison:
        """Compare studies: results, spaces and data, and their winners on the same test rows."""
        request.scope[OBJECT] = " ".join(study)

        def work(left: threading.Event) -> ServedComparison:
            found = models.compare(study, caller, left)
            return ServedComparison(**vars(make_tables(found)), page=render_comparison_page(found) if page else None)

        return await run_for_client(request, work)

    return router
