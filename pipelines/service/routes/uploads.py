"""Routes of data files that studies name: upload, list, remove."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from pipelines.operations.uploads import UploadRow
from pipelines.queries.views import UploadedFile
from pipelines.service.routes.parameters import Caller
from pipelines.service.studies.uploads import Uploads

_BYTES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_UploadName = Annotated[str, Path(max_length=200)]


def make_upload_router(uploads: Uploads) -> APIRouter:
    """Return the routes of data files."""
    router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

    @router.get("", operation_id="upload.list")
    def list_uploads(caller: Caller) -> list[UploadRow]:
        """List the caller's data files, or everybody's for an admin."""
        return list(uploads.list(caller))

    @router.put("/{name}", status_code=201, openapi_extra=_BYTES, operation_id="upload.put")
    async def put_upload(name: _UploadName, caller: Caller, request: Request) -> UploadedFile:
        """Keep a data file; a study names it by the `source` of the answer."""
        upload = await asyncio.to_thread(uploads.start, name, caller)
        try:
            async for chunk in request.stream():  # raises when the client disconnects
                await asyncio.to_thread(upload.add, chunk)
            return await asyncio.to_thread(upload.keep)
        finally:
            await asyncio.to_thread(upload.close)

    @router.delete("/{name}", status_code=204, operation_id="upload.remove")
    def remove_upload(name: _UploadName, caller: Caller) -> None:
        """Remove a data file that no study needs."""
        uploads.remove(name, caller)

    return router
