"""Steps of a Keras model over several devices of JAX.

A step is one program over all devices, so it does what it does on one: batch normalisation, dropout and losses of any
kind see the whole batch. `Model.fit` would lay out every batch as the first one, and fail at a smaller last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import keras


class ShardedSteps:
    """Training step and test step of a model that was built in the scope of a distribution.

    Args:
        model: the compiled model.
        distribution: the layout of its variables and batches.
    """

    def __init__(self, model: keras.Model, distribution: keras.distribution.Distribution) -> None:
        self._model = model
        self._distribution = distribution
        self._state: list[list[Any]] = []
        # The old state's memory becomes the new one's.
        self._train = jax.jit(model.train_step, donate_argnums=0)
        self._test = jax.jit(model.test_step)

    def load(self) -> None:
        """Take the state from the model's variables."""
        # Copies: the first step gives their memory away.
        self._state = [[jax.numpy.array(variable.value) for variable in part] for part in self._list_parts()]

    def train(self, batch: tuple[Any, ...]) -> None:
        """Update the state with a batch (x, y, sample weights), the last ones where there are any."""
        _, state = self._train(tuple(self._state), self._lay_out(batch))
        self._state = list(state)

    def test(self, batch: tuple[Any, ...]) -> None:
        """Update the metrics of the state with a batch."""
        trained, fixed, _, metrics = self._state
        _, (_, _, self._state[3]) = self._test((trained, fixed, metrics), self._lay_out(batch))

    def store(self) -> None:
        """Set the model's variables to the state."""
        for part, values in zip(self._list_parts(), self._state, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)

    def _list_parts(self) -> tuple[Sequence[Any], ...]:
        model = self._model
        parts = model.trainable_variables, model.non_trainable_variables
        return (*parts, model.optimizer.variables, model.metrics_variables)

    def _lay_out(self, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a batch on its devices: shares of it, or all of it on each where they cannot share it evenly."""

        def put(leaf: Any) -> Any:
            layout = self._distribution.get_data_layout(leaf.shape)
            value = leaf.astype(keras.config.floatx()) if leaf.dtype.kind == "f" else leaf
            return jax.device_put(value, layout.backend_layout)

        laid: tuple[Any, ...] = keras.tree.map_structure(put, batch)
        return laid
