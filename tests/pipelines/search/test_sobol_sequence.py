"""Tests of our Sobol sequence."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import qmc

from pipelines.search.sobol_sequence import compute_sobol_point


@pytest.mark.parametrize("dimensions", [1, 2, 7, 60])
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_points_are_scipys(dimensions: int, seed: int) -> None:
    """A point of each place equals that of SciPy's scrambled sequence, to the last bit."""
    for place in (0, 1, 2, 3, 100, 4095):
        sequence = qmc.Sobol(dimensions, rng=seed)
        if place:
            sequence.fast_forward(place)

        point = compute_sobol_point(dimensions, seed, place)

        assert np.array_equal(point, sequence.random(1)[0])


def test_the_sampler_does_without_scipys_statistics() -> None:
    """Drawing a point loads no module of `scipy.stats`, which would take half a second."""
    code = (
        "import sys; import pipelines.search.gp.sampler, pipelines.search.sobol_sampler as sampler;"
        "sampler.compute_sobol_point(3, 0, 5); sys.exit('scipy.stats' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], check=False)

    assert done.returncode == 0
