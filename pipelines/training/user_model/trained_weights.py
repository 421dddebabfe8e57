"""Weights that a `fit` trained: the difference between a trained model and one that was only built.

A `fit` may train other models than the one it was given, by Keras's loop or its own, with or without callbacks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np


def compute_digest(model: keras.Model) -> bytes:
    """Return a digest of all weights of a model."""
    digest = hashlib.blake2b()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.digest()


class TrainedWeights:
    """Weights that Keras's optimizers update while this `watches`, and those of one model that change otherwise.

    Args:
        model: the model that `fit` is given.
    """

    def __init__(self, model: keras.Model) -> None:
        # Statistics, as of a batch normalisation, are never trainable, and change without a training.
        self._before = [(weight, np.array(weight)) for weight in model.weights if weight.trainable]
        # With the weight itself: a new object may get the identity of one that is gone.
        self._updated: dict[int, Any] = {}

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Note the weights that an optimizer updates in this block."""
        # Every optimizer of Keras updates by this method, called by `Model.fit` or by a custom loop.
        apply = keras.optimizers.Optimizer.apply

        def apply_and_note(optimizer: Any, grads: Any, trainable_variables: Any = None) -> Any:
            weights = None if trainable_variables is None else list(trainable_variables)
            done = apply(optimizer, grads, weights)
            # Without the argument an optimizer updates those that it was built for.
            updated = getattr(optimizer, "_trainable_variables", ()) if weights is None else weights
            self._updated |= {id(weight): weight for weight in updated}
            return done

        keras.optimizers.Optimizer.apply = apply_and_note
        try:
            yield
        finally:
            keras.optimizers.Optimizer.apply = apply

    def include(self, model: keras.Model) -> bool:
        """Return whether weights of a model were trained."""
        own = {id(weight) for weight in model.weights}
        if not own.isdisjoint(self._updated):
            return True
        # An update without Keras's optimizers shows in the weights of the given model alone.
        return any(id(weight) in own and not np.array_equal(weight, before) for weight, before in self._before)
