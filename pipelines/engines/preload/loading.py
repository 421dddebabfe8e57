"""What the modules that load a backend into a fork server have in common."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tracking.reports.lean_imports import without


@contextmanager
def hide_modules(*names: str) -> Iterator[None]:
    """Hide modules that what is imported meanwhile would load, though it can do without them; and its warnings."""
    with without(*names), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def load_jobs(*modules: str) -> None:
    """Load modules of the jobs that come first, named as `Job.function` names them: a fifth of a second each."""
    for module in modules:
        importlib.import_module(module)


def load_tensorflow(*unneeded: str) -> None:
    """Load TensorFlow and Keras on it without JAX, which its Lite converter would load: one second and 110 MB.

    TensorFlow writes to file descriptor 2 while it is imported, below Python's own streams, whatever its settings say.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        with hide_modules("jax", *unneeded):
            for name in ("keras", "keras_tuner", "tensorflow"):
                importlib.import_module(name)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
