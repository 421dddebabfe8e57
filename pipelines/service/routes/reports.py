"""Route of a study's report: one page that needs no other file."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from pipelines.operations.report import render_study_report
from pipelines.queries.report_reader import ReportReader
from pipelines.service.routes.parameters import Caller, StudyName
from pipelines.service.studies.study_service import StudyService


def make_report_router(service: StudyService) -> APIRouter:
    """Return the route of reports."""
    router = APIRouter(prefix="/v1/studies/{study}", tags=["studies"])

    @router.get("/report", response_class=HTMLResponse, operation_id="study.report")
    def read_report(study: StudyName, caller: Caller) -> Response:
        """Return a study's report as a page, made anew from what is stored."""
        reader = ReportReader(service.home, service.store, place="this service")
        page = render_study_report(reader.read(study))
        return HTMLResponse(service.hidden_paths.hide(page.encode()))

    return router
