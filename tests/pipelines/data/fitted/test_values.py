"""Statistics of a fitted preprocessing."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.fitted import values


@pytest.mark.parametrize("shape", [(9, 4, 3, 2), (9, 7, 1)])
def test_moments_of_bytes_are_those_of_the_same_numbers(shape, monkeypatch):
    """To the bit, over several chunks: a study's data must not change with the way of adding up."""
    monkeypatch.setattr(values, "_CHUNK_BYTES", 400)
    pixels = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    pixels[0] = 255
    chosen = np.array([8, 0, 3, 4, 5])
    found, expected = (values.calculate_moments(each, chosen) for each in (pixels, pixels.astype(np.float64)))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.tobytes() == theirs.tobytes()
