"""Scale by which values are standardised."""

from __future__ import annotations

import numpy as np

from pipelines.data.array_types import Array


def find_scale(mean: Array, spread: Array) -> Array:
    """Return the factor of each column, float64; 1 for one that is constant in training rows."""
    # A spread below float32's resolution of the mean is rounding: such a column is constant.
    return np.asarray(1 / np.where(spread > np.maximum(np.abs(mean) * 1e-7, 1e-30), spread, 1.0))
