"""Routes that export and promote a trial's model, and predict with it."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from pipelines.operations.predict import Predictions
from pipelines.operations.promote import PromotionResult
from pipelines.service.http.hidden_paths import HiddenPaths
from pipelines.service.routes.departures import run_for_client
from pipelines.service.routes.parameters import MAX_TRIAL, Caller, StudyName
from pipelines.service.studies.model_service import ModelService
from pipelines.spec.schema import ExportFormat

_MOST_NOTES = 4000  # letters; servers in front allow some kilobytes of headers
_ROWS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of a table with the columns of the study's data",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_PREDICTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows with their predictions, which are the last columns",
        "content": {"text/csv": {"schema": {"type": "string"}}},
        "headers": {
            "X-Kerastudy-Trial": {"description": "Trial whose model predicted", "schema": {"type": "integer"}},
            "X-Kerastudy-Rows": {"description": "Number of rows", "schema": {"type": "integer"}},
            "X-Kerastudy-Predicted": {"description": "Number of columns predicted", "schema": {"type": "integer"}},
            "X-Kerastudy-Notes": {"description": "JSON list of notes, in ASCII", "schema": {"type": "string"}},
        },
    }
}


def make_model_router(service: ModelService, hidden: HiddenPaths) -> APIRouter:
    """Return the routes of models; what their headers name of this machine is hidden."""
    router = APIRouter(tags=["export"])

    @router.post("/v1/studies/{study}:export", response_class=FileResponse, operation_id="model.export")
    async def export(
        study: StudyName,
        caller: Caller,
        request: Request,
        trial: Annotated[int | None, Query(ge=0, le=MAX_TRIAL, description="The winner by default")] = None,
        format: Annotated[list[ExportFormat] | None, Query()] = None,
        ensemble: Annotated[bool, Query(description="The ensemble of the winner")] = False,
    ) -> Response:
        """Download a trial's model as a ZIP archive, each format proven equal to the Keras model."""
        stack = ExitStack()

        def begin(left: threading.Event) -> Path:
            # A context that outlives this function: the answer is sent after it has returned.
            exported = service.export(study, trial, format or (), caller, ensemble=ensemble, left=left)
            return stack.enter_context(exported)

        try:
            archive = await run_for_client(request, begin)
        except BaseException:
            await asyncio.to_thread(stack.close)
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

    @router.post(
        "/v1/studies/{study}:predict",
        response_class=FileResponse,
        openapi_extra=_ROWS,
        responses=_PREDICTED,
        operation_id="model.predict",
    )
    async def predict(
        study: StudyName,
        caller: Caller,
        request: Request,
        file: Annotated[str, Query(max_length=200, description="Its name; the end is the kind of table")] = "rows.csv",
        trial: Annotated[int | None, Query(ge=0, le=MAX_TRIAL, description="The winner by default")] = None,
    ) -> Response:
        """Predict the rows of a table with a trial's model; the answer is a CSV file, and neither is kept."""
        stack = ExitStack()
        try:
            rows = await asyncio.to_thread(stack.enter_context, service.receive_rows(study, trial, file, caller))
            async for chunk in request.stream():  # raises when the client disconnects
                await asyncio.to_thread(rows.add, chunk)
            # On the threads of exports: it takes as long, and the few of the line above are for short work.
            done = await run_for_client(request, partial(service.predict, study, trial, rows, caller))
        except BaseException:
            await asyncio.to_thread(stack.close)
            raise
        return FileResponse(
            done.file,
            headers=_describe(done, hidden),
            media_type="text/csv",
            filename=f"{study}-predictions.csv",
            background=BackgroundTask(stack.close),
        )

    return router


def _describe(done: Predictions, hidden: HiddenPaths) -> dict[str, str]:
    """Return what the rows do not hold as headers."""
    notes = [hidden.hide(note.encode()).decode() for note in done.notes]
    shown = json.dumps(notes)
    left_out = 0
    while len(shown) > _MOST_NOTES and left_out < len(notes):
        left_out += 1
        more = f"{left_out} more notes, which `kerastudy predict` prints on the machine that holds the home"
        shown = json.dumps([*notes[:-left_out], more])
    return {
        "X-Kerastudy-Trial": str(done.trial),
        "X-Kerastudy-Rows": str(done.rows),
        "X-Kerastudy-Predicted": str(len(done.columns)),
        "X-Kerastudy-Notes": shown,
    }
