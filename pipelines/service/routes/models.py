"""Routes that export and promote a trial's model."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from pipelines.operations.promote import PromotionResult
from pipelines.service.routes.parameters import MAX_TRIAL, Caller, StudyName
from pipelines.service.studies.model_service import ModelService
from pipelines.spec.schema import ExportFormat


def make_model_router(service: ModelService) -> APIRouter:
    """Return the routes of models."""
    router = APIRouter(tags=["export"])

    @router.post("/v1/studies/{study}:export", response_class=FileResponse, operation_id="model.export")
    def export(
        study: StudyName,
        caller: Caller,
        trial: Annotated[int | None, Query(ge=0, le=MAX_TRIAL, description="The winner by default")] = None,
        format: Annotated[list[ExportFormat] | None, Query()] = None,
        ensemble: Annotated[bool, Query(description="The ensemble of the winner")] = False,
    ) -> Response:
        """Download a trial's model as a ZIP archive, each format proven equal to the Keras model."""
        stack = ExitStack()
        try:
            # A context that outlives this function: the answer is sent after it has returned.
            archive = stack.enter_context(service.export(study, trial, format or (), caller, ensemble=ensemble))
        except BaseException:
            stack.close()
            raise
        # The archive is removed once it is sent, or the client has gone.
        return FileResponse(
            archive, media_type="application/zip", filename=archive.name, background=BackgroundTask(stack.close)
        )

    @router.post("/v1/studies/{study}:promote", operation_id="model.promote")
    def promote(
        study: StudyName,
        caller: Caller,
        trial: Annotated[int | None, Query(ge=0, le=MAX_TRIAL, description="The best one by default")] = None,
        alias: Annotated[str | None, Query(max_length=200, description="The study file's by default")] = None,
        force: Annotated[bool, Query(description="Also if it is worse, or cannot be compared")] = False,
    ) -> PromotionResult:
        """Give a trial's model an alias, if it is at least as good on test rows as the version that holds it."""
        return service.promote(study, trial, alias, caller, force=force)

    return router
