"""Work for a client that may leave before it is done: nobody waits for it then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

Result = TypeVar("Result")


async def run_for_client(request: Request, work: Callable[[threading.Event], Result]) -> Result:
    """Run a function in a thread; the event that it gets is set when the client has gone.

    Args:
        request: the request, whose body was read, or has none.
        work: looks at the event several times a second.
    """
    left = threading.Event()
    watch = asyncio.create_task(_watch(request, left))
    try:
        return await run_in_threadpool(work, left)
    finally:
        watch.cancel()


async def _watch(request: Request, left: threading.Event) -> None:
    # A body that is too large or too slow has its answer, too.
    with suppress(Exception):
        while (await request.receive())["type"] != "http.disconnect":
            pass
    left.set()
