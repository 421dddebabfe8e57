"""Start of a worker in a thread: its fork server may still import a backend, for seconds that nobody waits for."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

from pipelines.engines.base import Job
from pipelines.engines.worker_process import WorkerProcess


class DeferredStart:
    """The start of a job's worker.

    Args:
        job: what the worker is to run.
        start: starts the worker and returns it.

    Attributes:
        job: as given.
        signal: a connection that can be read once the start is over.
        is_over: whether the worker has started, or failed to.
    """

    def __init__(self, job: Job[Any, Any], start: Callable[[], WorkerProcess]) -> None:
        self.job = job
        self.signal, self._over = multiprocessing.Pipe(duplex=False)
        self._start = start
        self._lock = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._error: Exception | None = None
        self._is_dropped = False
        self.is_over = False
        threading.Thread(target=self._run, daemon=True).start()

    def take(self) -> WorkerProcess:
        """Return the worker that has started.

        Raises:
            Exception: whatever its start raised.
        """
        self.signal.close()
        if self._error is not None:
            raise self._error
        assert self._worker is not None, "the start is not over"
        return self._worker

    def drop(self) -> None:
        """End the worker, at once or when it has started; return at once."""
        with self._lock:
            self._is_dropped = True
            if self._worker is not None:
                self._worker.end()

    def _run(self) -> None:
        try:
            worker = self._start()
            with self._lock:
                if self._is_dropped:
                    worker.end()
                else:
                    self._worker = worker
        # Of any type: `take` raises it again, where the engine's other errors are raised.
        except Exception as error:
            self._error = error
        finally:
            self.is_over = True
            self._over.close()
