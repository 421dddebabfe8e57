"""Compiled programs on disk, found by what they are made from, so that a worker need not trace them again.

JAX's cache finds a program once it is traced, and tracing a fleet's takes 0.7 seconds of a core; loading one of these
takes 0.1. Its name holds everything that the program follows from: the code of kerastudy, Keras and JAX, their
settings, the machine's processor, and what the caller names. A program that cannot be loaded, or fails at once, is
compiled again. What one process compiles, others wait for.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pickle
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import jax
import keras
import numpy as np
from jax.experimental import serialize_executable

_PACKAGE = Path(__file__).parents[2]
_ROOMS = ("training", "models", "data", "spec")
_LIBRARIES = frozenset({"jax", "jaxlib", "keras"})
_READ_BY_XLA = ("XLA_", "JAX_", "KERAS_", "NPROC", "OMP_")
_FOLDER = "jax_compilation_cache_dir"
_LEAST_S = "jax_persistent_cache_min_compile_time_secs"
_NEVER_S = 1e9
_ENDING = ".program"
_LOCK = ".lock"
_LONGEST_S = 120.0  # chosen: a process that is stopped while it compiles holds no other up for longer
_LOOK_S = 0.05
_lock = threading.Lock()
_anew: list[float] = []
"""Of each thread inside `compile_anew`, the setting before."""


def find_program(made_from: Sequence[str]) -> Path | None:
    """Return the file of a program, whether it exists or not; None where programs are not stored.

    Args:
        made_from: everything that the traced function and its arguments' shapes follow from, but for code and settings.
    """
    folder: str | None = getattr(jax.config, _FOLDER)
    # On a GPU a program belongs to its driver too: there JAX's own cache serves.
    if not folder or jax.default_backend() != "cpu":
        return None
    whole = "\0".join([*made_from, _CODE, *_list_settings(), _read_processor()])
    return Path(folder) / f"{hashlib.sha256(whole.encode()).hexdigest()[:32]}{_ENDING}"


def try_stored(file: Path, arguments: Sequence[Any]) -> tuple[Callable[..., Any], Any] | None:
    """Return the program in a file and its result; None where there is none that works."""
    try:
        program, takes, returns = pickle.loads(zlib.decompress(file.read_bytes()))
        devices = jax.devices()[:1]
        loaded = serialize_executable.deserialize_and_load(program, takes, returns, execution_devices=devices)
        # Copies: it overwrites its donated arguments, and the caller needs them where it fails.
        copies = jax.tree.map(lambda each: np.array(np.asarray(each)), tuple(arguments))
        result = loaded(*copies)
        for leaf in jax.tree.leaves(result):
            leaf.block_until_ready()
    # Of another release, cut off, for another machine: the exceptions are pickle's, zlib's, JAX's and XLA's.
    except Exception:
        with suppress(OSError):
            file.unlink(missing_ok=True)
        return None
    with suppress(OSError):
        os.utime(file)  # the room for programs goes to those that are used
    return loaded, result


def store_program(compiled: Any, file: Path) -> None:
    """Store a program that was compiled inside `compile_anew`, if that can be."""
    with suppress(Exception):  # a release that stores none, a full disk: it is compiled again the next time
        content = zlib.compress(pickle.dumps(serialize_executable.serialize(compiled)), 1)
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(f".{os.getpid()}")
        try:
            aside.write_bytes(content)
            aside.replace(file)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def wait_for_others(file: Path) -> Iterator[None]:
    """Wait while another process compiles the program of a file, as fleets of a study do that begin together.

    Others wait in turn for this one, until it leaves the context.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_suffix(_LOCK).open("w")
    except OSError:  # no process can store a program there
        yield
        return
    with lock:
        has_waited, deadline = False, time.monotonic() + _LONGEST_S
        while not _try_lock(lock) and time.monotonic() < deadline:
            has_waited = True
            time.sleep(_LOOK_S)
        if has_waited:
            # Where the other one has stored nothing, all that waited compile at once, and not in a row.
            fcntl.flock(lock, fcntl.LOCK_UN)
        try:
            yield
        finally:
            file.with_suffix(_LOCK).unlink(missing_ok=True)


def _try_lock(lock: TextIO) -> bool:
    """Return whether this process has a lock, or needs none because the disk knows none."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def compile_anew() -> Iterator[None]:
    """Keep what is compiled inside out of JAX's cache: a program that comes from there cannot be stored again."""
    set_option: Callable[[str, Any], None] = jax.config.update
    with _lock:  # two threads may compile, and the setting is the process's
        _anew.append(getattr(jax.config, _LEAST_S))
        set_option(_LEAST_S, _NEVER_S)
    try:
        yield
    finally:
        with _lock:
            before = _anew[0]
            _anew.pop()
            if not _anew:
                set_option(_LEAST_S, before)


def _list_settings() -> list[str]:
    ours = {_FOLDER, _LEAST_S}
    values = [f"{name}={value}" for name, value in sorted(jax.config.values.items()) if name not in ours]
    variables = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(_READ_BY_XLA)]
    of_keras = (keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format())
    return [*values, *variables, repr(of_keras)]


def _read_processor() -> str:
    """Return the name and the abilities of this machine's processor: a program uses them all."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return ""
    first = file.read_text().partition("\n\n")[0]
    return "\n".join(line for line in first.splitlines() if line.startswith(("model name", "flags", "Features", "CPU")))


def _digest_code() -> str:
    """Return a digest of the code that a program is traced with: ours by its text, that of libraries by its files."""
    digest = hashlib.sha256(repr((jax.__version__, keras.__version__)).encode())
    for room in _ROOMS:
        for file in sorted((_PACKAGE / room).rglob("*.py")):
            digest.update(file.read_bytes())
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in _LIBRARIES and (path := getattr(module, "__file__", None)) is not None:
            state = Path(path).stat()
            digest.update(f"{name} {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()


_CODE = _digest_code()  # at the import, which a fork server does once for all of its workers
