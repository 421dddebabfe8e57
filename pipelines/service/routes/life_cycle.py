"""Routes that delete and archive a study, and show the room that all take."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from pipelines.operations.archive import ArchiveResult
from pipelines.operations.delete import DeletionResult
from pipelines.queries.usage import HomeUsage
from pipelines.service.routes.parameters import Caller, StudyName, make_precondition
from pipelines.service.studies.life_cycle import LifeCycle
from pipelines.service.studies.model_service import ModelService
from pipelines.service.studies.quotas import Quotas
from pipelines.service.studies.study_versions import StudyVersions


def make_life_cycle_router(
    service: LifeCycle, quotas: Quotas, versions: StudyVersions, models: ModelService
) -> APIRouter:
    """Return the routes of the life cycle."""
    router = APIRouter(tags=["life cycle"])
    unchanged = [make_precondition(versions)]

    @router.delete("/v1/studies/{study}", operation_id="study.delete", dependencies=unchanged)
    def delete(
        study: StudyName,
        caller: Caller,
        force: Annotated[bool, Query(description="Also if a promoted model or another study needs it")] = False,
    ) -> DeletionResult:
        """Delete a study with its files, its runs in MLflow and its registered versions."""
        deleted = service.delete(study, caller, force=force)
        models.forget(study)
        return deleted

    @router.post("/v1/studies/{study}:archive", operation_id="study.archive", dependencies=unchanged)
    def archive(study: StudyName, caller: Caller) -> ArchiveResult:
        """Hide a study that has ended, and remove what its results do not need."""
        return service.archive(study, caller)

    @router.post("/v1/studies/{study}:unarchive", operation_id="study.unarchive", dependencies=unchanged)
    def unarchive(study: StudyName, caller: Caller) -> ArchiveResult:
        """Show an archived study again."""
        return service.unarchive(study, caller)

    @router.get("/v1/usage", operation_id="home.show_usage")
    def show_usage(caller: Caller) -> HomeUsage:
        """Show the room that the home takes, by part and by submitter, at most half a minute old."""
        return quotas.read_usage()

    return router
