"""Loading of a backend into a fork server."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tracking.imports.hidden_modules import hide_modules


@contextmanager
def hide_modules_quietly(*names: str) -> Iterator[None]:
    """Hide optional modules from the imports in this block, and hide the warnings of these imports."""
    with hide_modules(*names), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def load_jobs(*modules: str) -> None:
    """Import modules of the first jobs: a fifth of a second each that no worker spends."""
    for module in modules:
        importlib.import_module(module)


def use_system_allocator() -> None:
    """Have Arrow allocate as Python does: its own allocator reserves a gigabyte, which counts for a job's limit."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def load_jax(*unneeded: str) -> None:
    """Import JAX, Keras on it, and the job of fleets, with some optional modules hidden from them.

    Nothing here may request a device or an array from JAX: that starts XLA's threads, and no thread survives a fork.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    # All workers share one accelerator, and XLA reserves three quarters of its memory at the start.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with hide_modules_quietly(*unneeded):
        for name in ("jax", "keras", "keras_tuner"):
            importlib.import_module(name)
    load_jobs("pipelines.training.fleet.job")


def load_tensorflow(*unneeded: str) -> None:
    """Import TensorFlow and Keras without JAX, which TensorFlow's Lite converter imports: one second and 110 MB.

    TensorFlow writes to file descriptor 2 while it is imported, below Python's streams, whatever its settings are.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN adds in another order, and scores would differ between machines with and without it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # Else the first process on a GPU takes all of its memory, and several workers may share one.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    use_system_allocator()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        with hide_modules_quietly("jax", *unneeded):
            for name in ("keras", "keras_tuner", "tensorflow"):
                importlib.import_module(name)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
