"""Values of Optuna's distributions: all of them where they can be counted, or those of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.parameters import Float, Int
from search_spaces.suggest import INDEX, list_grid_values


@dataclass(frozen=True)
class _Steps(Sequence[float]):
    """The values of a real number with steps, none of them stored."""

    low: float
    step: float
    size: int

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(*index.indices(self.size)))
        return self.low + range(self.size)[index] * self.step

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Return the number of steps to a value: the nearest, because values go through floating point."""
        steps: int = round((value - self.low) / self.step)
        return min(max(steps, 0), self.size - 1)


def list_values(name: str, distribution: BaseDistribution) -> Sequence[Any] | None:
    """Return all values of a parameter in Optuna, in their order; None for a real number without steps."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    if not isinstance(distribution, FloatDistribution):
        raise TypeError(distribution)
    if distribution.single():
        return (distribution.low,)
    if distribution.step is None:
        return None
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return _Steps(distribution.low, distribution.step, count)


def list_grid(name: str, distribution: BaseDistribution) -> Sequence[Any] | None:
    """Return the values of a parameter in Optuna that a grid tries, as `list_grid_values` has them for the space."""
    if isinstance(distribution, CategoricalDistribution) or distribution.single():
        return list_values(name, distribution)
    if isinstance(distribution, IntDistribution):
        # The number of a step stands for a value with a step.
        is_stepped = distribution.step > 1 or name.endswith(INDEX)
        step = distribution.step if is_stepped else None
        return list_grid_values(Int("x", distribution.low, distribution.high, distribution.log, step))
    assert isinstance(distribution, FloatDistribution)
    return list_grid_values(Float("x", distribution.low, distribution.high, distribution.log, distribution.step))
