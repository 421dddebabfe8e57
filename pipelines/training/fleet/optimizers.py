"""Keras's optimizers on the parts of a fleet member's vector of weights, chosen by a switch.

The steps are Keras's: each kind of optimizer in the envelope is a Keras optimizer built on one variable, and called
without state on each part. Its numbers are set to traced values before each call.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from pipelines.models.optimizers import OPTIMIZER_CLASSES
from pipelines.training.fleet.member import Member, OptimizerKind, list_number_arguments
from pipelines.training.fleet.traced_number import TracedNumber

_ACCUMULATOR = "initial_accumulator_value"


class Optimizers:
    """The optimizers of an envelope.

    Args:
        sizes: of the parts of the weights.

    Attributes:
        arguments: names of the numbers of all of them.
        slots: most vectors of one of them; scalars: most single numbers, at least one.
    """

    def __init__(self, kinds: tuple[OptimizerKind, ...], sizes: Collection[int]) -> None:
        self._kinds = [_Kind(kind, sizes) for kind in kinds]
        self._index = {kind: at for at, kind in enumerate(kinds)}
        self.arguments = tuple(sorted({name for kind in self._kinds for name in kind.arguments}))
        self.slots = max(len(kind.slots) for kind in self._kinds)
        self.scalars = max(1, *(len(kind.scalars) for kind in self._kinds))

    def index(self, kind: OptimizerKind) -> int:
        """Return the branch of a kind."""
        return self._index[kind]

    def initialize(self, member: Member) -> tuple[list[float], list[float]]:
        """Return the initial value of each slot of a member, and its initial scalars."""
        kind = self._kinds[self._index[member.optimizer]]
        factor = member.arguments.get(_ACCUMULATOR, 1.0)
        slots = [value * factor for value in kind.slots] + [0.0] * (self.slots - len(kind.slots))
        return slots, list(kind.scalars) + [0.0] * (self.scalars - len(kind.scalars))

    def step(self, given: Mapping[str, Any], weights: Any, gradient: Any, rate: Any, count: Any, state: Any) -> Any:
        """Return weights, slots and scalars after one step.

        Args:
            given: the member's numbers: `optimizer` is its branch, `arguments` by name.
            weights: [weight] of each part.
            gradient: likewise.
            rate: the step's learning rate.
            count: steps done before it.
            state: slots, a tuple of such parts, and scalars [number].
        """
        branches = [kind.step for kind in self._kinds]
        operands = (given["arguments"], weights, gradient, rate, count, state)
        if len(branches) == 1:
            return branches[0](*operands)
        return jax.lax.switch(given["optimizer"], branches, *operands)


class _Kind:
    """A Keras optimizer, called without state."""

    def __init__(self, kind: OptimizerKind, sizes: Collection[int]) -> None:
        self.arguments = frozenset(list_number_arguments(kind.name))
        # Keras compares the shapes of values with those of its variables.
        self._of_size = {size: _OnOneVariable(kind, self.arguments, size) for size in sizes}
        own = next(iter(self._of_size.values())).own
        self.slots = [float(np.asarray(each)[0]) for each in own if each.shape]
        self.scalars = [float(np.asarray(each)) for each in own if not each.shape]

    def step(self, arguments: Mapping[str, Any], weights: Any, gradient: Any, rate: Any, count: Any, state: Any) -> Any:
        """Do one step; see `Optimizers.step`."""
        slots, scalars = state
        done = []
        for at, (of_part, its) in enumerate(zip(weights, gradient, strict=True)):
            optimizer = self._of_size[len(of_part)]
            optimizer.set_numbers(arguments)
            done.append(optimizer.step(of_part, its, rate, count, [each[at] for each in slots], scalars))
        new_weights, new_slots, new_scalars = zip(*done, strict=True)
        # Each part changes the single numbers alike.
        return new_weights, (tuple(zip(*new_slots, strict=True)), new_scalars[0])


class _OnOneVariable:
    """A Keras optimizer built on one variable of some weights.

    Attributes:
        own: its variables but the number of steps and the learning rate.
    """

    def __init__(self, kind: OptimizerKind, arguments: frozenset[str], size: int) -> None:
        # An accumulator starts at one here, and is scaled to the member's initial value.
        start = {_ACCUMULATOR: 1.0} if _ACCUMULATOR in arguments else {}
        # Any learning rate: each step sets it.
        self._optimizer = OPTIMIZER_CLASSES[kind.name](learning_rate=1.0, **dict(kind.flags), **start)
        self._arguments = arguments
        if "momentum" in arguments:
            self._optimizer.momentum = TracedNumber(0.0)  # a plain 0.0 would remove momentum from the compiled step
        self._optimizer.build([keras.Variable(np.zeros(size, np.float32))])
        self._known = [self._optimizer.iterations, self._optimizer._learning_rate]
        self.own = [variable for variable in self._optimizer.variables if not self._is_known(variable)]

    def set_numbers(self, arguments: Mapping[str, Any]) -> None:
        """Set the optimizer's numbers to traced values."""
        for name in self._arguments - {_ACCUMULATOR}:
            value = TracedNumber(arguments[name]) if name == "momentum" else arguments[name]
            setattr(self._optimizer, name, value)

    def step(
        self, weights: Any, gradient: Any, rate: Any, count: Any, slots: Sequence[Any], scalars: Any
    ) -> tuple[Any, tuple[Any, ...], Any]:
        """Return weights, slots and scalars after one step."""
        optimizer = self._optimizer
        given = {id(self._known[0]): count, id(self._known[1]): rate}
        at_slot = at_scalar = 0
        variables = []
        for variable in optimizer.variables:
            if id(variable) in given:
                variables.append(given[id(variable)])
            elif variable.shape:
                variables.append(slots[at_slot])
                at_slot += 1
            else:
                variables.append(scalars[at_scalar])
                at_scalar += 1
        (weights,), after = optimizer.stateless_apply(variables, [gradient], [weights])
        own = [
            value for variable, value in zip(optimizer.variables, after, strict=True) if not self._is_known(variable)
        ]
        for at, value in enumerate(value for value in own if not value.ndim):
            scalars = scalars.at[at].set(value)
        # Padded to the most slots of any kind, since branches return the same shapes.
        return weights, (*(value for value in own if value.ndim), *slots[at_slot:]), scalars

    def _is_known(self, variable: Any) -> bool:
        return any(variable is known for known in self._known)


def clip_gradients(given: Mapping[str, Any], gradients: Mapping[str, Any]) -> dict[str, Any]:
    """Clip gradients by name as `keras.optimizers.Optimizer` does; `clip` is 0 for none, or as `CLIP_BRANCHES`."""
    threshold = given["clip_threshold"]
    squares = {name: jnp.sum(jnp.square(value)) for name, value in gradients.items()}
    whole = jnp.sqrt(sum(squares.values()))

    def clip(name: str, value: Any) -> Any:
        # The formulas of Keras; `clip` may differ between members, so all of them are computed.
        norm = jnp.sqrt(squares[name])
        choices = (
            value,
            value * threshold / jnp.maximum(norm, threshold),
            jnp.clip(value, -threshold, threshold),
            value * threshold * jnp.minimum(1.0 / whole, 1.0 / threshold),
        )
        return jnp.select([given["clip"] == at for at in range(len(choices))], choices)

    return {name: clip(name, value) for name, value in gradients.items()}


CLIP_BRANCHES = ("none", "norm", "value", "global_norm")
