"""Pruners: their rungs."""

from __future__ import annotations

import pytest

from pipelines.search.pruners import compute_rungs


@pytest.mark.parametrize(
    ("pruner", "epochs", "expected"),
    [
        ("none", 30, set()),
        ("median", 30, {2, 5, 8, 11, 14, 17, 20, 23, 26, 29}),
        ("median", 20, {3, 5, 7, 9, 11, 13, 15, 17, 19}),
        ("patience", 5, {2, 3, 4}),
        ("median", 2, set()),
        ("hyperband", 30, {2, 8, 26}),
        ("hyperband", 100, {4, 14, 44}),
        ("hyperband", 2, set()),
        ("asha", 3, set()),
        ("asha", 9, {2}),
        ("asha", 27, {2, 8}),
        ("asha", 60, {6, 19}),
        ("asha", 100, {10, 32}),
        ("asha", 4, {2}),
    ],
)
def test_rungs(pruner, epochs, expected):
    """None is before 3 epochs or a twentieth of them; ASHA has a ninth and a third. They are counted from 0."""
    assert compute_rungs(pruner, epochs) == expected
