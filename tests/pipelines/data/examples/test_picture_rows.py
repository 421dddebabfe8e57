"""Pictures that are stored as bytes, held to the same pictures as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.examples.examples import Examples
from pipelines.data.examples.leaves import count_rows, describe_leaf, take_rows
from pipelines.data.examples.model_tensors import gather_rows, make_row_tensors, make_tensors, measure_bytes
from pipelines.data.examples.picture_rows import PictureRows, widen

CENTER, FACTOR = np.float32([101.3, 7.7]), np.float32([1 / 71.1, 1 / 0.3])


@pytest.fixture(params=[False, True], ids=["picture", "flat"])
def rows(request):
    """Nine pictures."""
    stored = np.random.default_rng(0).integers(0, 256, (9, 4, 3, 2), dtype=np.uint8)
    return PictureRows(stored, CENTER, FACTOR, is_flat=request.param)


@pytest.fixture
def numbers(rows):
    """The same pictures as numbers."""
    values = (rows.stored.astype(np.float32) - CENTER) * FACTOR
    return values.reshape(9, -1) if rows.is_flat else values


def test_they_are_described_as_numbers(rows, numbers):
    """Whoever chooses by form or size chooses as for an array of these."""
    assert (rows.shape, rows.ndim, rows.dtype, rows.nbytes) == (
        numbers.shape,
        numbers.ndim,
        numbers.dtype,
        numbers.nbytes,
    )
    assert (len(rows), count_rows(rows)) == (9, 9)
    assert describe_leaf("x", rows) == describe_leaf("x", numbers)
    assert measure_bytes({"image": rows}) == measure_bytes({"image": numbers})


def test_chosen_rows_are_numbers_and_slices_are_bytes(rows, numbers):
    """So a slice of a large part takes no memory."""
    chosen = np.array([7, 0, 7])
    assert np.array_equal(take_rows(rows, chosen), numbers[chosen])
    part = Examples({"image": rows}).take(slice(2, 6))
    assert isinstance(part.x["image"], PictureRows)
    assert np.shares_memory(part.x["image"].stored, rows.stored)
    assert np.array_equal(widen(part.x["image"]), numbers[2:6])


def test_tensors_are_equal_to_the_bit(rows, numbers):
    """All rows at once, and a batch that a graph widens."""
    assert np.array_equal(make_tensors({"image": rows})["image"].numpy(), numbers)
    held, chosen = make_row_tensors({"image": rows})["image"], np.array([3, 3, 8])
    assert np.array_equal(gather_rows(held, chosen).numpy(), numbers[chosen])
    assert count_rows(held) == 9


def test_bytes_cannot_be_seen_as_numbers_without_a_copy(rows):
    """NumPy's own rule for `copy=False`."""
    with pytest.raises(ValueError, match="copy"):
        np.asarray(rows, copy=False)
