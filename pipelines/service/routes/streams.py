"""Routes that follow a study: its events as server-sent events, its logs as text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from pipelines.service.http.stream_limit import StreamLimit
from pipelines.service.routes.parameters import MAX_TRIAL, Caller, IsHead, StudyName
from pipelines.service.sign_in.callers import Callers, CallerWatch
from pipelines.service.studies.shared_events import SharedEvents
from pipelines.service.studies.study_service import StudyService
from pipelines.service.studies.study_watch import StudyWatch
from pipelines.supervisor.event_log import LOG_FILE, find_last_event

_POLL_S = 0.5
_CHUNK_BYTES = 1 << 16


def make_stream_router(service: StudyService, streams: StreamLimit, callers: Callers) -> APIRouter:
    """Return the routes that follow a study."""
    watch = StudyWatch(service.store)

    def check_stream(study: StudyName, caller: Caller) -> None:
        """Refuse a study that is unknown, or a stream too many: once an answer has begun, it is too late."""
        service.reader.read_study(study)
        streams.check_capacity(caller)

    events = SharedEvents(service.home)
    router = APIRouter(prefix="/v1/studies/{study}", tags=["streams"], dependencies=[Depends(check_stream)])

    def make_missing_end(study: str, position: int) -> ServerSentEvent | None:
        """Return the end of a study whose events lack it: it ended before it began, or its process was killed."""
        record, last = watch.find_end(study), find_last_event(service.home, study)
        # A pause writes that event too, so the state has to be the same.
        is_there = last is not None and record is not None and last.content.get("state") == record.state
        if record is None or is_there:
            return None
        content = {"study": study, "state": record.state, "reason": record.reason}
        return ServerSentEvent(id=str(position), event="study-ended", data=content)

    @router.get("/events", response_class=EventSourceResponse, operation_id="study.follow_events")
    async def follow_events(
        study: StudyName,
        caller: Caller,
        is_head: IsHead,
        last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,15}$")] = None,
        follow: bool = True,
    ) -> AsyncIterator[ServerSentEvent]:
        """Follow what happens in a study, from its beginning or after `Last-Event-ID`, until it ends.

        The stream of a study that has ended ends with `study-ended`.
        """
        if is_head:
            return
        position, caller_watch = int(last_event_id or 0), CallerWatch(callers, caller)
        with streams.acquire(caller):
            while streams.are_open and await caller_watch.is_valid():
                # Read the state first: events that are written in between are then in the next round.
                # Queries and file reads in threads: in the event loop, one slow disk would hold up all requests.
                idle = await asyncio.to_thread(watch.is_idle, study)
                found = await asyncio.to_thread(events.read_after, study, position)
                for each in found:
                    position = each.id
                    yield ServerSentEvent(id=str(each.id), event=each.kind, raw_data=each.text)
                if not found and (idle or not follow):
                    if (end := await asyncio.to_thread(make_missing_end, study, position)) is not None:
                        yield end
                    return
                await asyncio.sleep(0 if found else _POLL_S)

    @router.get("/logs", response_class=PlainTextResponse, operation_id="study.read_logs")
    async def read_logs(
        study: StudyName,
        caller: Caller,
        is_head: IsHead,
        trial: Annotated[int | None, Query(ge=0, le=MAX_TRIAL, description="What its worker printed")] = None,
        follow: Annotated[bool, Query(description="Go on until the study ends")] = False,
    ) -> Response:
        """Return a study's log as text, or that of one of its trials."""
        if trial is None:
            file = service.home.locate_study(study) / LOG_FILE
        else:
            file = await asyncio.to_thread(service.find_worker_log, study, trial)
        if is_head:
            return PlainTextResponse()

        async def read_text() -> AsyncIterator[bytes]:
            position, caller_watch = 0, CallerWatch(callers, caller)
            with streams.acquire(caller):
                while streams.are_open and await caller_watch.is_valid():
                    is_last_round = not follow or await asyncio.to_thread(watch.is_idle, study)
                    while lines := await asyncio.to_thread(_read_lines, file, position, is_whole=not is_last_round):
                        position += len(lines)
                        yield service.hidden_paths.hide(lines)
                    if is_last_round:
                        if position == 0:
                            text = await asyncio.to_thread(service.reader.describe_log, study, trial)
                            yield service.hidden_paths.hide(text.encode())
                        return
                    await asyncio.sleep(_POLL_S)

        # Counted within the generator: it begins when the answer does, and ends when the client has gone.
        return StreamingResponse(read_text(), media_type="text/plain; charset=utf-8")

    return router


def _read_lines(file: Path, position: int, *, is_whole: bool) -> bytes:
    """Return the next lines of a file: a place that is hidden must not be cut in two."""
    try:
        with file.open("rb") as stream:
            stream.seek(position)
            read = stream.read(_CHUNK_BYTES)
    except FileNotFoundError:
        return b""
    end = read.rfind(b"\n") + 1
    # A line that is longer than what is read, or the last one of a file that no one writes any more.
    return read if end == 0 and (len(read) == _CHUNK_BYTES or not is_whole) else read[:end]
