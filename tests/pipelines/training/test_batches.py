"""Batches of training rows: their order and their weights."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.examples.examples import Examples
from pipelines.data.examples.structures import map_leaves
from pipelines.training.batches import Rows, TrainingBatches, compute_row_weights, shuffle_rows


def test_the_order_of_rows_is_the_seeds_and_the_epochs():
    """Each epoch has a different order, the same for the same seed, and each row is in it once."""
    orders = [shuffle_rows(seed, epoch, 50).tolist() for seed in (1, 2) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert shuffle_rows(2, 1, 50).tolist() == orders[3]


def test_a_row_weighs_as_its_class():
    """Without class weights there are no row weights."""
    part = Examples({"dense": np.zeros((4, 2), "float32")}, np.array([0, 2, 1, 2], "int32"))
    assert compute_row_weights(Rows(part, part, None)) is None
    weights = compute_row_weights(Rows(part, part, {0: 0.5, 1: 1.0, 2: 3.0}))
    assert weights.tolist() == [0.5, 3.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("y", "given", "expected"),
    [
        (np.array([0, 1, 1]), np.array([2.0, 2.0, 0.0]), [1.0, 6.0, 0.0]),
        (np.array([[1, 0], [0, 1], [0, 1]]), np.array([[2.0], [2.0], [0.0]]), [[1.0], [6.0], [0.0]]),
        (np.array([[0], [1], [1]]), np.array([[2.0, 1.0]] * 3), [[1.0, 0.5], [6.0, 3.0], [6.0, 3.0]]),
        ({"out": np.array([0, 1, 1])}, {"out": np.array([2, 2, 0])}, {"out": [1.0, 6.0, 0.0]}),
        ({"out": np.array([0, 1, 1])}, None, {"out": [0.5, 3.0, 3.0]}),
    ],
)
def test_a_row_weighs_its_own_weight_times_its_class_s(y, given, expected):
    """Weights keep their form: those of the rows, else that of the targets."""
    part = Examples(np.zeros((3, 1)), y, given)
    found = compute_row_weights(Rows(part, part, {0: 0.5, 1: 3.0}))
    assert map_leaves(np.ndarray.tolist, found) == expected
    assert compute_row_weights(Rows(part, part, None)) is given


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {"kind": [3.0, 1.0, 0.5], "price": [1.0, 1.0, 1.0]}),
        (np.array([2.0, 1.0, 0.0]), {"kind": [6.0, 1.0, 0.0], "price": [2.0, 1.0, 0.0]}),
    ],
)
def test_a_row_weighs_by_each_head(given, expected):
    """A head with class weights has weights of its own, and the others have those of the rows."""
    y = {"kind": np.array([2, 1, 0], "int32"), "price": np.zeros((3, 1), "float32")}
    part = Examples({"dense": np.zeros((3, 1), "float32")}, y, given)
    weights = compute_row_weights(Rows(part, part, {"kind": {2: 3.0, 0: 0.5}}))
    assert map_leaves(np.ndarray.tolist, weights) == expected
    batches = TrainingBatches(part, weights, batch_size=2, seed=3)
    order = shuffle_rows(3, 0, 3)[:2]
    assert batches[0][2]["kind"].tolist() == [expected["kind"][row] for row in order]


def test_an_epoch_of_batches_goes_over_each_row_once():
    """Inputs, targets and weights of a batch belong to the same rows; the last batch may be smaller."""
    numbers = np.arange(10, dtype="float32")
    batches = TrainingBatches(Examples({"dense": numbers[:, None]}, numbers), numbers, batch_size=4, seed=3)
    batches.start_epoch(1)
    seen = [batches[index] for index in range(len(batches))]
    assert [len(y) for _, y, _ in seen] == [4, 4, 2]
    assert np.concatenate([y for _, y, _ in seen]).tolist() == shuffle_rows(3, 1, 10).tolist()
    for x, y, weights in seen:
        assert x["dense"][:, 0].tolist() == y.tolist() == weights.tolist()
