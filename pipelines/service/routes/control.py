"""Routes that pause, stop, cancel and resume a study."""

from __future__ import annotations

from fastapi import APIRouter

from pipelines.operations.control import StudyStatus
from pipelines.service.routes.parameters import Caller, StudyName, make_precondition
from pipelines.service.studies.study_service import StudyService
from tracking.store.study_queue import ControlRequest


def make_control_router(service: StudyService) -> APIRouter:
    """Return the routes that control a study."""
    router = APIRouter(tags=["control"], dependencies=[make_precondition(service.versions)])

    def add(request: ControlRequest, summary: str) -> None:
        def control(study: StudyName, caller: Caller) -> StudyStatus:
            return service.request_control(study, request, caller)

        router.post(f"/v1/studies/{{study}}:{request}", summary=summary, operation_id=f"study.{request}")(control)

    add("pause", "Put running trials back; they go on when the study is resumed")
    add("stop", "Let running trials finish, begin none, and end the study")
    add("cancel", "End the study at once and for good")

    @router.post("/v1/studies/{study}:resume", operation_id="study.resume")
    def resume(study: StudyName, caller: Caller) -> StudyStatus:
        """Put a paused study back into the queue."""
        return service.resume(study, caller)

    return router
