"""Classes and functions of a user's code, by which Keras loads a model that holds them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from pipelines.spec.code_references import load_callables_beside, split_reference
from pipelines.spec.imported_code import list_imported_code
from pipelines.training.trial_folder import read_trial_config
from pipelines.training.user_model.model_code import open_code
from search_spaces.errors import InputError


@contextmanager
def register_user_classes(trial: Path) -> Iterator[None]:
    """Register the classes of a user model with Keras, such as layers, so that it can load the model.

    Most models need no such class, so code that is gone is no error.
    """
    known: Mapping[str, Any] = {}
    if "base" in read_trial_config(trial):
        policy = keras.config.dtype_policy()
        try:
            with open_code(trial) as code:
                known = list_user_classes(*code)
        except InputError:
            known = {}
        finally:
            # Layers of a file have their own; what is built around them must not compute in 16 bits.
            keras.config.set_dtype_policy(policy)
    # A scope and no registration: the next file in this process must not see these classes.
    with keras.saving.custom_object_scope(dict(known)):
        yield


def list_user_classes(reference: str, base: Path) -> dict[str, Any]:
    """Return the classes and functions of a file of the user's, and of the user's modules that it imports, by name.

    Raises:
        InputError: if the file is not there, or cannot be imported.
    """
    beside = load_callables_beside(reference, base, "model")
    files = {str(file) for file in list_imported_code(split_reference(reference, base, "model")[0]).files.values()}
    modules = [module for module in list(sys.modules.values()) if getattr(module, "__file__", None) in files]
    found = {name: value for module in modules for name, value in vars(module).items() if callable(value)}
    return found | beside
