"""Routes of registered models: whom their names belong to, and grants."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from pipelines.service.routes.parameters import Caller
from pipelines.service.studies.registered_models import RegisteredModels
from tracking.store.model_grants import RegisteredModel

_ModelName = Annotated[str, Path(min_length=1, max_length=100, examples=["breast-cancer"])]
_SubmitterName = Annotated[str, Path(min_length=1, max_length=100, examples=["bob"])]


def make_registered_model_router(service: RegisteredModels) -> APIRouter:
    """Return the routes of registered models."""
    router = APIRouter(prefix="/v1/models", tags=["registered models"])

    @router.get("", operation_id="model.list")
    def list_models(caller: Caller) -> list[RegisteredModel]:
        """List the registered models, their owners and their grants."""
        return list(service.list())

    @router.put("/{name}/grants/{submitter}", operation_id="model.grant")
    def grant_model(
        name: _ModelName,
        submitter: _SubmitterName,
        caller: Caller,
        protected: Annotated[bool, Query(description="Protected aliases too; only admins grant that")] = False,
    ) -> RegisteredModel:
        """Let another submitter register and promote under a name."""
        return service.grant(name, submitter, caller, moves_protected=protected)

    @router.delete("/{name}/grants/{submitter}", operation_id="model.revoke")
    def revoke_model(name: _ModelName, submitter: _SubmitterName, caller: Caller) -> RegisteredModel:
        """Take a grant back."""
        return service.revoke(name, submitter, caller)

    return router
