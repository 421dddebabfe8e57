"""Optimizers that leave some weights as they are for the first steps, and move them less in the later ones.

In one program for the whole training, so that every trainer follows it. Weight decay leaves these weights alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def make_fine_tuning(optimizer: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """Return a subclass of an optimizer that has `slow_down`."""

    class FineTuning(optimizer):  # type: ignore[misc]
        """The optimizer, with a learning rate of its own for some weights."""

        # A copy, made from the configuration to count variables, has none.
        _slow: frozenset[str] = frozenset()
        _frozen_steps = 0
        _factor = 1.0

        def slow_down(self, variables: Sequence[Any], frozen_steps: int, factor: float) -> None:
            """Set the variables that are frozen for so many steps, and then learn at a share of the learning rate."""
            self._slow = frozenset(variable.path for variable in variables)
            self._frozen_steps, self._factor = frozen_steps, factor
            self.exclude_from_weight_decay(var_list=list(variables))

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            """Update one variable."""
            # Keras passes TensorFlow's variable, whose own optimizers find it by the same method.
            if self._trainable_variables[self._get_variable_index(variable)].path not in self._slow:
                super().update_step(gradient, variable, learning_rate)
                return
            before = ops.copy(variable)
            is_frozen = self.iterations < self._frozen_steps if self._factor else True
            super().update_step(gradient, variable, learning_rate * (self._factor or 1.0))
            # Not by a rate of 0, by which ftrl divides.
            self.assign(variable, ops.where(is_frozen, before, ops.convert_to_tensor(variable)))

    FineTuning.__name__ = f"FineTuning{optimizer.__name__}"
    return FineTuning
