"""Values of Optuna's distributions."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.distribution_values import list_grid, list_values


@pytest.mark.parametrize(
    ("name", "distribution", "values", "grid"),
    [
        ("c", CategoricalDistribution(("a", None, True)), ["a", None, True], ["a", None, True]),
        ("i", IntDistribution(2, 4), [2, 3, 4], [2, 3, 4]),
        ("i", IntDistribution(0, 80, step=10), list(range(0, 81, 10)), list(range(0, 81, 10))),
        ("i", IntDistribution(0, 8), list(range(9)), [0, 2, 4, 6, 8]),
        ("i#idx", IntDistribution(0, 8), list(range(9)), list(range(9))),
        ("f", FloatDistribution(0.5, 0.5), [0.5], [0.5]),
        ("f", FloatDistribution(0.0, 0.3, step=0.1), [0.0, 0.1, 0.2, 0.3], [0.0, 0.1, 0.2, 0.3]),
        ("f", FloatDistribution(1e-4, 1.0, log=True), None, [1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
    ],
)
def test_values_of_distributions(name, distribution, values, grid):
    """All values of a distribution where they can be counted, and those of a grid."""
    found = list_values(name, distribution)
    assert (found if found is None else list(found)) == (values if values is None else pytest.approx(values))
    assert list(list_grid(name, distribution)) == pytest.approx(grid)
