"""Routes that follow a study: its events as server-sent events, its logs as text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from pipelines.service.routes.parameters import Caller, StudyName
from pipelines.service.stream_limit import StreamLimit
from pipelines.service.study_service import StudyService
from pipelines.supervisor.event_log import LOG_FILE, StoredEvent, read_events_after
from tracking.store.study_queue import ENDED_STATES

_POLL_S = 0.5
_CHUNK_BYTES = 1 << 16
# Not `interrupted`: the service starts such a study again, and the stream goes on.
_IDLE_STATES = (*ENDED_STATES, "paused")


def make_stream_router(service: StudyService, streams: StreamLimit) -> APIRouter:
    """Return the routes that follow a study."""

    def check_stream(study: StudyName, caller: Caller) -> None:
        """Refuse a study that is unknown, or a stream too many: once an answer has begun, it is too late."""
        service.reader.read_study(study)
        streams.check_capacity()

    router = APIRouter(prefix="/v1/studies/{study}", tags=["streams"], dependencies=[Depends(check_stream)])

    def is_idle(study: str) -> bool:
        return service.reader.read_study(study).state in _IDLE_STATES

    @router.get("/events", response_class=EventSourceResponse)
    async def follow_events(
        study: StudyName,
        caller: Caller,
        last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,15}$")] = None,
        follow: bool = True,
    ) -> AsyncIterator[ServerSentEvent]:
        """Follow what happens in a study, from its beginning or after `Last-Event-ID`, until it ends."""
        position = int(last_event_id or 0)
        with streams.acquire():
            while streams.are_open:
                # Read the state first: events that are written in between are then in the next round.
                # Queries and file reads in threads: in the event loop, one slow disk would hold up all requests.
                idle = await asyncio.to_thread(is_idle, study)
                found: tuple[StoredEvent, ...] = await asyncio.to_thread(
                    read_events_after, service.home, study, position
                )
                for each in found:
                    position = each.id
                    yield ServerSentEvent(id=str(each.id), event=each.kind, data=each.content)
                if not found and (idle or not follow):
                    return
                await asyncio.sleep(0 if found else _POLL_S)

    @router.get("/logs", response_class=PlainTextResponse)
    async def read_logs(
        study: StudyName,
        caller: Caller,
        trial: Annotated[int | None, Query(ge=0, description="What the worker of this trial printed")] = None,
        follow: Annotated[bool, Query(description="Go on until the study ends")] = False,
    ) -> Response:
        """Return a study's log as text, or that of one of its trials."""
        if trial is None:
            file = service.home.locate_study(study) / LOG_FILE
        else:
            file = await asyncio.to_thread(service.find_worker_log, study, trial)

        async def read_text() -> AsyncIterator[bytes]:
            position = 0
            with streams.acquire():
                while streams.are_open:
                    is_last_round = not follow or await asyncio.to_thread(is_idle, study)
                    while chunk := await asyncio.to_thread(_read_chunk, file, position):
                        position += len(chunk)
                        yield chunk
                    if is_last_round:
                        return
                    await asyncio.sleep(_POLL_S)

        # Counted within the generator: it begins when the answer does, and ends when the client has gone.
        return StreamingResponse(read_text(), media_type="text/plain; charset=utf-8")

    return router


def _read_chunk(file: Path, position: int) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(position)
            return stream.read(_CHUNK_BYTES)
    except FileNotFoundError:
        return b""
