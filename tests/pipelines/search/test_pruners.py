"""Pruners: their rungs."""

from __future__ import annotations

import pytest

from pipelines.search.pruners import compute_rungs


@pytest.mark.parametrize(
    ("pruner", "epochs", "expected"),
    [
        ("none", 30, set()),
        ("median", 30, {2, 5, 8, 11, 14, 17, 20, 23, 26, 29}),
        ("median", 5, {0, 1, 2, 3, 4}),
        ("median", 1, {0}),
        ("hyperband", 30, {0, 2, 8, 26}),
        ("hyperband", 27, {0, 2, 8, 26}),
        ("hyperband", 243, {0, 2, 8, 26, 80, 242}),
        ("hyperband", 1, {0}),
    ],
)
def test_rungs(pruner, epochs, expected):
    """Hyperband compares after 1, 3, 9, ... epochs, the median pruner after each tenth; counted from 0."""
    assert compute_rungs(pruner, epochs) == expected
