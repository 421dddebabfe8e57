"""A model with its code in a folder of its own, loaded as it is loaded where neither kerastudy nor the study is."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from pipelines.spec.installed_code import is_installed
from pipelines.training.user_model.model_code import LOADER


def load_portable_model(folder: Path) -> keras.Model:
    """Return the model in a folder that `write_portable_model` wrote, by the loader in it.

    Raises:
        Exception: whatever its code raises.
    """
    spec = importlib.util.spec_from_file_location("load_model", folder / LOADER)
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder / LOADER} cannot be imported")
    loader = importlib.util.module_from_spec(spec)
    with search_installed_code():
        spec.loader.exec_module(loader)
        return loader.load_model(folder)


@contextmanager
def search_installed_code() -> Iterator[None]:
    """Search imports in installed packages alone: a module beside the study's file must not help a model to load."""
    path, writes_no_bytecode = list(sys.path), sys.dont_write_bytecode
    sys.path[:] = [entry for entry in path if is_installed(entry)]
    # The folder is delivered as it was written.
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
        sys.dont_write_bytecode = writes_no_bytecode
