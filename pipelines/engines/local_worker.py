"""Main loop of a local worker process: receive a job, run it, send its result.

Everything a job prints, down to the C++ level, goes to the job's log file. A worker ends with its supervisor.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

import psutil

from pipelines.engines.base import Backend, Job
from pipelines.engines.gpus.memory_errors import is_out_of_gpu_memory, is_out_of_memory
from pipelines.engines.local_copies import use_copy
from search_spaces.error_text import shorten_message
from search_spaces.errors import InputError, KerastudyError
from tracking.timings.stopwatch import credit, measure, time_job

Message = tuple[Literal["gpus", "beat", "report", "request", "spans", "finished", "failed"], Any]

_LEAST_SHARE = 4  # chosen: a limit that the backend alone uses up still shows as an allocation that failed
_NICENESS = 10  # chosen: trials come first, and the job still ends
_BEAT_S = 1.0  # a batch may take less than a millisecond: a message for each would slow it down


@dataclass(frozen=True)
class WorkerSettings:
    """Settings of a worker.

    Attributes:
        preload: module that imports the backend; its fork server has imported it.
        threads: for its arithmetic.
        folder: its working directory.
        temporary: folder for temporary files; the engine removes it.
        programs: folder of compiled programs; None keeps none.
        environment: variables that decide which devices its process sees.
        devices: parts that its CPU is divided into, for trials on several devices.
        gpus: number of GPUs among them; its first message is how many its backend found, where there are any.
    """

    backend: Backend
    preload: str
    threads: int
    folder: Path
    temporary: Path
    programs: Path | None
    environment: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0
    devices: int = 1


def serve(connection: Connection, setting: WorkerSettings) -> None:
    """Run jobs from `connection` until it closes; the body of a worker process."""
    # Ctrl-C reaches the whole process group; the supervisor decides what happens to its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    os.chdir(setting.folder)
    # Before the backend looks for devices: CUDA reads its variable once in a process, and the fork server never does.
    os.environ.update(setting.environment)
    # Both: `tempfile` may have cached its folder, and libraries in C++ read the variable.
    tempfile.tempdir = os.environ["TMPDIR"] = str(setting.temporary)
    importlib.import_module(setting.preload)  # a no-op, unless the fork server failed to import it
    if setting.backend == "tensorflow":
        gpus = _set_up_tensorflow(setting.threads, setting.gpus, setting.devices)
    elif setting.backend == "jax":
        gpus = _set_up_jax(setting.threads, setting.programs, setting.devices)
    else:
        gpus = 0
    if setting.gpus and setting.backend != "none":
        connection.send(("gpus", gpus))
    channel = PipeChannel(connection)
    while True:
        try:
            job: Job[Any, Any] = connection.recv()
        except (EOFError, OSError):
            return
        if job.aside and os.nice(0) < _NICENESS:
            os.nice(_NICENESS)  # its worker runs no other job
        with time_job(job.name, job.function.activity) as spans:
            message = _run(job, channel)
        connection.send(("spans", tuple(spans)))
        connection.send(message)


class PipeChannel:
    """Channel over a pipe; see `base.Channel`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last_sent = 0.0

    def beat(self) -> None:
        """Send a sign of life, at most once a second."""
        if time.monotonic() - self._last_sent >= _BEAT_S:
            self._send(("beat", None))

    def report(self, message: Any) -> None:
        """Send a message and continue."""
        self._send(("report", message))

    def request(self, message: Any) -> Any:
        """Send a request and wait for its answer."""
        self.begin_request(message)
        return self.receive_answer()

    def begin_request(self, message: Any) -> None:
        """Send a request and continue."""
        self._send(("request", message))

    def receive_answer(self) -> Any:
        """Wait for the answer to the request that was begun."""
        try:
            with measure("waiting for the supervisor"):
                return self._connection.recv()
        except (EOFError, OSError):
            # The supervisor is gone. User code could catch an exception, and the training would continue.
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
    with _redirect_output(job.log), _limit_memory(job.memory_bytes), use_copy(job.data, job.data_copy):
        try:
            return "finished", job.function.load()(job.payload, channel)
        except InputError as error:
            # A user's loader that is out of memory is an error of the limit, and not of the input.
            if error.__cause__ is not None and is_out_of_memory(error.__cause__):
                return "failed", ("memory", error.problems[0].message, traceback.format_exc(), ())
            return "failed", ("input", str(error), "", error.problems)
        # `sys.exit` in user code ends the job, not the worker.
        except BaseException as error:
            text = traceback.format_exc()
            print(text, file=sys.stderr)
            kind = "memory" if is_out_of_memory(error) else "disk" if _is_out_of_room(error) else "error"
            return "failed", (kind, _one_line(error), text, (), is_out_of_gpu_memory(error))


def _one_line(error: BaseException) -> str:
    text = shorten_message(str(error)) or "no message"
    return text if isinstance(error, KerastudyError) else f"{type(error).__name__}: {text}"


def _is_out_of_room(error: BaseException) -> bool:
    """Return whether a full disk caused an error: HDF5 and TensorFlow have the errno in their text alone."""
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)


@contextmanager
def _redirect_output(log: Path) -> Iterator[None]:
    log.parent.mkdir(parents=True, exist_ok=True)
    saved = os.dup(1), os.dup(2)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    try:
        yield
    finally:
        # What Python still buffers belongs to this job's log.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        for number, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, number)
            os.close(copy)


@contextmanager
def _limit_memory(limit_bytes: int | None) -> Iterator[None]:
    """Limit the job's memory, so that an allocation beyond it fails with a traceback.

    The engine also checks resident memory, for allocations that this limit does not count.
    """
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if limit_bytes is not None:
        # What the backend only reserves does not count, what it holds does: the engine counts it too.
        left = max(limit_bytes - _measure_held_bytes(), limit_bytes // _LEAST_SHARE)
        resource.setrlimit(resource.RLIMIT_DATA, (_measure_data_bytes() + left, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _measure_held_bytes() -> int:
    held = psutil.Process().memory_info()
    return int(held.rss - getattr(held, "shared", 0))


def _measure_data_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024


def _set_up_tensorflow(threads: int, gpus: int, devices: int) -> int:
    """Set TensorFlow's threads, and return the number of GPUs that it found; without any to find it starts nothing."""
    import tensorflow as tf

    # Before the first operation, which starts the thread pools.
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    if devices > 1:
        [cpu] = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    # This starts CUDA. What it maps into memory must not count for the limit of the first job.
    return len(tf.config.list_logical_devices("GPU")) if gpus else 0


def _set_up_jax(threads: int, programs: Path | None, devices: int) -> int:
    """Set XLA's environment variables, start it, and return the number of GPUs that it found.

    `NPROC` is the size of XLA's thread pools on a CPU: without it one worker's work goes over all cores, whatever the
    flag about Eigen is (xla/pjrt/utils.cc, DefaultThreadPoolSize).
    """
    import jax

    os.environ["NPROC"] = str(threads)
    set_option: Callable[[str, Any], None] = jax.config.update
    if devices > 1:
        set_option("jax_num_cpu_devices", devices)
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false {os.environ.get('XLA_FLAGS', '')}".strip()
    if programs is not None:
        set_option("jax_compilation_cache_dir", str(programs))
        # By default JAX stores only programs that took a second to compile.
        set_option("jax_persistent_cache_min_compile_time_secs", 0.0)
        set_option("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.monitoring.register_event_duration_secs_listener(_record_compilation)
    # This starts XLA, which reads the variables once.
    return sum(device.platform == "gpu" for device in jax.devices())


def _record_compilation(event: str, duration_secs: float, **_facts: str | int) -> None:
    if event.startswith("/jax/core/compile/"):
        credit("compiling", duration_secs)


def _end_with_supervisor() -> None:
    """End this process when its supervisor has ended, even in the middle of a job."""
    if (supervisor := multiprocessing.parent_process()) is not None:
        wait([supervisor.sentinel])
        os._exit(1)
