"""The steps of an epoch, as a fleet's program gets them."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.training.batches import shuffle_rows
from pipelines.training.fleet.hyperparameter_arrays import compute_learning_rates, plan_epoch
from pipelines.training.fleet.member import build_member
from pipelines.training.fleet.steps import count_steps


@pytest.mark.parametrize(("batch_size", "step_rows"), [(16, 16), (40, 16), (64, 64), (10, 16)])
def test_an_epoch_goes_over_each_row_once_in_the_order_of_every_trainer(batch_size, step_rows):
    """Places without a row hold the number of rows; each batch ends with one step."""
    rows, rates = 100, np.arange(1, -(-100 // batch_size) + 1, dtype=np.float32)
    plan = plan_epoch(batch_size, step_rows, 7, 2, rates, rows)
    places = plan["rows"].reshape(-1)
    assert places[places < rows].tolist() == shuffle_rows(7, 2, rows).tolist()
    assert len(plan["last"]) == count_steps(batch_size, rows, step_rows)
    assert plan["rate"][plan["last"]].tolist() == rates.tolist()
    assert plan["batch_rows"][plan["last"]].sum() == rows


def test_rates_count_the_steps_of_the_whole_training():
    """A constant rate is one of each step; a schedule falls from epoch to epoch."""
    constant = build_member({"learning_rate": 0.5, "batch_size": 16, "epochs": 3}, frozenset())
    assert compute_learning_rates(constant, frozenset(), 40).tolist() == [0.5] * 9
    falling = build_member({**constant.values, "schedule": "cosine"}, frozenset())
    rates = compute_learning_rates(falling, frozenset(), 40)
    assert rates[0] == 0.5
    assert (np.diff(rates) < 0).all()
