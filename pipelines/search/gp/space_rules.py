"""Conditions and constraints of a space, applied to many points at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.search.gp.encoding import PointEncoding, Points
from search_spaces.conditions import Condition
from search_spaces.parameters import Fixed, Float, Int
from search_spaces.space import Space
from search_spaces.suggest import INDEX
from search_spaces.values import Value


class SpaceRules:
    """Rules of a space for the rows of an encoding.

    Args:
        space: the declared space; parameters that only a model's code knows have no rules.
        encoding: of the points.
    """

    def __init__(self, space: Space, encoding: PointEncoding) -> None:
        self._space = space
        self._encoding = encoding
        positions = {name.removesuffix(INDEX): index for index, name in enumerate(encoding.names)}
        self._positions = {name: positions[name] for name in space.parameters if name in positions}

    def restrict(self, points: Points) -> Points:
        """Return rows with NaN for the parameters that do not exist there, and all NaN where a constraint is broken."""
        restricted = points.copy()
        active: dict[str, NDArray[np.bool_]] = {}
        for name, parameter in self._space.parameters.items():
            holds = np.ones(len(points), dtype=bool)
            for test in parameter.when:
                holds &= active[test.parent] & self._test(test, points)
            active[name] = holds
            if name in self._positions:
                restricted[~holds, self._positions[name]] = np.nan
        if self._space.constraints:
            broken = [bool(self._space.find_violations(self._read_values(row))) for row in restricted]
            restricted[np.asarray(broken, dtype=bool)] = np.nan
        return restricted

    def _test(self, test: Condition, points: Points) -> NDArray[np.bool_]:
        """Return whether each row passes a test of its parent's value."""
        parent = self._space.parameters[test.parent]
        if isinstance(parent, Fixed):
            return np.full(len(points), test.holds(parent.value))
        if test.parent not in self._positions:
            return np.ones(len(points), dtype=bool)
        found, places = np.unique(points[:, self._positions[test.parent]], return_inverse=True)
        passes = [bool(test.holds(self._read_value(test.parent, coordinate))) for coordinate in found]
        return np.asarray(passes, dtype=bool)[places.reshape(-1)]

    def _read_value(self, name: str, coordinate: float) -> Value:
        """Return a parameter's value in the space, which is not Optuna's where that counts steps."""
        axis = self._encoding.axes[self._positions[name]]
        value: Value = axis.decode(coordinate)
        parameter = self._space.parameters[name]
        if axis.name.endswith(INDEX) and isinstance(parameter, Int | Float) and isinstance(value, int):
            return parameter.get_value(value)
        return value

    def _read_values(self, row: Points) -> dict[str, Value]:
        values: dict[str, Value] = {
            name: self._read_value(name, float(row[index]))
            for name, index in self._positions.items()
            if not np.isnan(row[index])
        }
        for name, parameter in self._space.parameters.items():
            if isinstance(parameter, Fixed):
                values[name] = parameter.value
        return {name: values[name] for name in self._space.find_active(values) if name in values}
