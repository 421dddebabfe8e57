"""Points of Sobol's sequence, scrambled: those of `scipy.stats.qmc.Sobol`, to the last bit, without its import.

`scipy.stats` takes half a second of a core to import, before a study's first trial. Its numbers of Joe and Kuo (SIAM J.
Sci. Comput. 30, 2008; 21,201 dimensions) are a file beside it; the recurrence is theirs, the scrambling Matoušek's
(J. Complexity 14, 1998): a random lower triangular matrix of bits for each dimension, and a random shift.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.int64]
_BITS: Final = 30
"""As SciPy's: 2^30 points."""

_NUMBERS: Final = "stats/_sobol_direction_numbers.npz"


def compute_sobol_point(dimensions: int, seed: int, place: int) -> NDArray[np.float64]:
    """Return the point at a place of the sequence [dimension], from 0 and below 1.

    Args:
        dimensions: at least 1.
        seed: of the scrambling; each gives another sequence.
        place: counted from 0, below 2^30.
    """
    shift, vectors = _scramble(dimensions, seed)
    steps = place ^ (place >> 1)  # Gray's code, in which neighbours differ by one bit
    chosen = [at for at in range(_BITS) if steps >> at & 1]
    point: NDArray[np.float64] = np.bitwise_xor.reduce(vectors[:, chosen], axis=1, initial=0) ^ shift
    return point * 2.0**-_BITS


@lru_cache(8)  # chosen: a process draws for one study
def _scramble(dimensions: int, seed: int) -> tuple[Bits, Bits]:
    """Return the shift [dimension] and the scrambled direction numbers [dimension, bit]."""
    rng = np.random.default_rng(seed).spawn(1)[0]  # SciPy's has a generator of its own too
    drawn = rng.integers(2, size=(dimensions, _BITS), dtype=np.uint32)
    shift = drawn.astype(np.int64) @ (1 << np.arange(_BITS))
    matrices = np.tril(rng.integers(2, size=(dimensions, _BITS, _BITS), dtype=np.uint32)).astype(np.int64)
    matrices[:, range(_BITS), range(_BITS)] = 1
    falling = np.arange(_BITS)[::-1]
    vectors = _find_direction_numbers(dimensions)
    # Bits from the highest one, as columns of the matrices: [dimension, vector, bit].
    bits = vectors[:, :, None] >> falling & 1
    scrambled = np.einsum("dpk,djk->djp", matrices, bits) & 1
    return shift, scrambled @ (1 << falling)


def _find_direction_numbers(dimensions: int) -> Bits:
    """Return the direction numbers of Joe and Kuo [dimension, bit], the first ones in the highest bits."""
    found, polynomials = _read_numbers()
    vectors = np.ones((dimensions, _BITS), np.int64)
    for dimension in range(1, dimensions):
        polynomial, first = int(polynomials[dimension]), found[dimension]
        degree = polynomial.bit_length() - 1
        row = vectors[dimension]
        row[:degree] = first[:degree]
        for at in range(degree, _BITS):
            value = int(row[at - degree])
            for back in range(1, degree + 1):
                if polynomial >> (degree - back) & 1:
                    value ^= int(row[at - back]) << back
            row[at] = value
    return vectors << np.arange(_BITS)[::-1]


@cache
def _read_numbers() -> tuple[Bits, Bits]:
    scipy: Any = find_spec("scipy")
    with np.load(Path(scipy.origin).parent / _NUMBERS) as numbers:
        return numbers["vinit"], numbers["poly"]
