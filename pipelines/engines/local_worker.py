"""What a local worker process does: take a job, run it, send back what it returned, again.

Everything a job prints, down to the C++ level, goes to the job's log file. A worker whose supervisor is gone ends.
"""

from __future__ import annotations

import errno
import importlib
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

from pipelines.engines.base import Backend, Job
from search_spaces.errors import InputError, KerastudyError

Message = tuple[Literal["beat", "report", "request", "finished", "failed"], Any]

_BEAT_S = 1.0


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker runs with.

    Attributes:
        preload: the module that loads what it needs; its fork server has loaded it.
        threads: for its arithmetic.
        folder: where it works.
        temporary: folder for temporary files, which whoever started the worker removes.
        programs: folder where compiled programs are kept; None keeps none.
    """

    backend: Backend
    preload: str
    threads: int
    folder: Path
    temporary: Path
    programs: Path | None


def serve(connection: Connection, setting: WorkerSettings) -> None:
    """Run jobs from `connection` until it closes; the body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    os.chdir(setting.folder)
    tempfile.tempdir = os.environ["TMPDIR"] = str(setting.temporary)
    importlib.import_module(setting.preload)  # its fork server has, unless that failed
    if setting.backend == "tensorflow":
        _set_up_tensorflow(setting.threads)
    else:
        _set_up_jax(setting.threads, setting.programs)
    channel = PipeChannel(connection)
    while True:
        try:
            job: Job[Any, Any] = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(_run(job, channel))


class PipeChannel:
    """The worker's end of the line; see `engine.Channel`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last_sent = 0.0

    def beat(self) -> None:
        """Say that work goes on, at most once a second."""
        if time.monotonic() - self._last_sent >= _BEAT_S:
            self._send(("beat", None))

    def report(self, message: Any) -> None:
        """Send a message and go on."""
        self._send(("report", message))

    def request(self, message: Any) -> Any:
        """Send a request and wait for its answer."""
        self._send(("request", message))
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            os._exit(1)

    def _send(self, message: Message) -> None:
        self._last_sent = time.monotonic()
        try:
            self._connection.send(message)
        except OSError:
            os._exit(1)


def _run(job: Job[Any, Any], channel: PipeChannel) -> Message:
    try:
        return _run_logged(job, channel)
    except OSError as error:  # the log itself cannot be written
        return "failed", ("disk" if _is_out_of_room(error) else "error", _one_line(error), "", ())


def _run_logged(job: Job[Any, Any], channel: PipeChannel) -> Message:
    with _output_to(job.log), _memory_limit(job.memory_bytes):
        try:
            return "finished", job.function.load()(job.payload, channel)
        except InputError as error:
            return "failed", ("input", str(error), "", error.problems)
        except BaseException as error:
            text = traceback.format_exc()
            print(text, file=sys.stderr)
            kind = "memory" if _is_out_of_memory(error) else "disk" if _is_out_of_room(error) else "error"
            return "failed", (kind, _one_line(error), text, ())


def _one_line(error: BaseException) -> str:
    text = str(error).strip() or "no message"
    first = next(line for line in text.splitlines() if line.strip())[:500]
    return first if isinstance(error, KerastudyError) else f"{type(error).__name__}: {first}"


def _is_out_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"  # TensorFlow's
        or str(error).startswith("RESOURCE_EXHAUSTED")  # XLA's
    )


def _is_out_of_room(error: BaseException) -> bool:
    """Say whether an error is a full disk's: HDF5 and TensorFlow keep the system's number in the text alone."""
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = os.dup(1), os.dup(2)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


@contextmanager
def _memory_limit(limit_bytes: int | None) -> Iterator[None]:
    """Let allocations beyond the limit fail inside the job, as an error with a traceback.

    The engine's own watch on resident memory catches what this misses.
    """
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024


def _set_up_tensorflow(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _set_up_jax(threads: int, programs: Path | None) -> None:
    """Set what XLA reads when it starts, and start it.

    `NPROC` is the size of XLA's thread pools on a CPU: without it one worker's work goes over all cores, whatever the
    flag about Eigen says (xla/pjrt/utils.cc, DefaultThreadPoolSize).
    """
    import jax

    os.environ["NPROC"] = str(threads)
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false {os.environ.get('XLA_FLAGS', '')}".strip()
    if programs is not None:
        keep: Callable[[str, Any], None] = jax.config.update
        keep("jax_compilation_cache_dir", str(programs))
        keep("jax_persistent_cache_min_compile_time_secs", 0.0)
        keep("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.devices()


def _end_with_supervisor() -> None:
    """End this process when the one that started it is gone, whatever the job is doing."""
    if (supervisor := multiprocessing.parent_process()) is not None:
        wait([supervisor.sentinel])
        os._exit(1)
