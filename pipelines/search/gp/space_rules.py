"""Conditions and constraints of a space, applied to many points at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.search.gp.encoding import PointEncoding, Points
from search_spaces.conditions import Condition
from search_spaces.constraint import Constraint
from search_spaces.parameters import Float, Int
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
        for constraint in self._space.constraints:
            restricted[self._find_broken(constraint, points, active)] = np.nan
        return restricted

    def _find_broken(
        self, constraint: Constraint, points: Points, active: Mapping[str, NDArray[np.bool_]]
    ) -> NDArray[np.bool_]:
        """Return whether the values of each row break a constraint."""
        columns = {name: self._read_column(name, points) for name in constraint.names if name in active}
        rows: list[dict[str, Value]] = [{} for _ in points]
        for name, values in columns.items():
            for row, value, is_active in zip(rows, values, active[name], strict=True):
                if is_active:
                    row[name] = value
        return np.asarray([not constraint.holds(row) for row in rows], dtype=bool)

    def _test(self, test: Condition, points: Points) -> NDArray[np.bool_]:
        """Return whether each row passes a test of its parent's value."""
        return np.asarray([test.holds(value) for value in self._read_column(test.parent, points)], dtype=bool)

    def _read_column(self, name: str, points: Points) -> list[Value]:
        """Return a parameter's value in each row."""
        parameter = self._space.parameters[name]
        if name not in self._positions:  # a fixed value, or a list of one, which no encoding has
            return [parameter.bounds[0]] * len(points)
        found, places = np.unique(points[:, self._positions[name]], return_inverse=True)
        values = [self._read_value(name, float(coordinate)) for coordinate in found]
        return [values[place] for place in places.reshape(-1)]

    def _read_value(self, name: str, coordinate: float) -> Value:
        """Return a parameter's value in the space, which is not Optuna's where that counts steps."""
        axis = self._encoding.axes[self._positions[name]]
        value: Value = axis.decode(coordinate)
        parameter = self._space.parameters[name]
        if axis.name.endswith(INDEX) and isinstance(parameter, Int | Float) and isinstance(value, int):
            return parameter.get_value(value)
        return value
