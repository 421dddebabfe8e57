"""The model that a worker process has loaded, kept for its next job with the same files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pipelines.training.deployed_model import load_deployed_model
from pipelines.training.messages import PastTrial
from search_spaces.errors import InputError


@dataclass(frozen=True)
class _Kept:
    trial: PastTrial
    digest: str
    model: keras.Model
    states: tuple[Any, ...]


_kept: list[_Kept] = []  # one at most: of this process, which runs one job at a time


@contextmanager
def open_model(trial: PastTrial, digest: str) -> Iterator[keras.Model]:
    """Yield the model of a complete trial, loaded or kept; it is as it was loaded each time.

    Args:
        trial: where its files are.
        digest: of these files; empty to load them, and to keep nothing.

    Raises:
        Exception: as `load_deployed_model` does.
    """
    found = next((kept for kept in _kept if digest and (kept.trial, kept.digest) == (trial, digest)), None)
    _kept.clear()  # a job that fails may leave anything
    if found is None:
        model = load_deployed_model(trial)
        found = _Kept(trial, digest, model, _read_states(model) if digest else ())
    try:
        yield found.model
    except InputError:
        _keep(found)
        raise
    _keep(found)


def _keep(found: _Kept) -> None:
    if not found.digest:
        return
    # A layer may count its calls, or draw the next random numbers: the next answer must not depend on this one.
    for variable, state in zip(found.model.non_trainable_variables, found.states, strict=True):
        if not np.array_equal(keras.ops.convert_to_numpy(variable), state):
            variable.assign(state)
    _kept.append(found)


def _read_states(model: keras.Model) -> tuple[Any, ...]:
    return tuple(keras.ops.convert_to_numpy(variable).copy() for variable in model.non_trainable_variables)
