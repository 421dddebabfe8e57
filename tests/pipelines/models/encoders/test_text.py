"""Pooling over the words of a text, of which some steps are behind the last one."""

import numpy as np
import pytest

from pipelines.models.encoders.text import find_largest


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e6])
def test_the_largest_is_of_marked_steps_whatever_the_values(unit):
    """No number in place of the others decides, and none lies beyond the values: 8 bits hold both or neither."""
    x = (np.random.default_rng(0).normal(size=(4, 6, 3)) - 3).astype("float32") * unit
    marks = (np.arange(6) < np.array([6, 3, 1, 4])[:, None]).astype("float32")[..., None]
    found = np.asarray(find_largest(x, marks))
    expected = [row[mark[:, 0] == 1].max(axis=0) for row, mark in zip(x, marks, strict=True)]
    assert found == pytest.approx(np.array(expected), rel=1e-5)
