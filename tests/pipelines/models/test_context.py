"""The context of a build."""

import pytest


@pytest.mark.parametrize(("rows", "batch_size", "steps"), [(64, 32, 2), (65, 32, 3), (10, 32, 1), (0, 32, 1)])
def test_an_epoch_counts_the_partial_batch(rows, batch_size, steps, context):
    """Steps are rows / batch size, rounded up, and never 0, so that a schedule can divide by them."""
    assert context(train_rows=rows).steps_per_epoch(batch_size) == steps
