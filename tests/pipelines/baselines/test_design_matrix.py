"""Matrices of examples for linear models."""

from __future__ import annotations

import numpy as np

from pipelines.baselines.design_matrix import DesignMatrix


def test_a_matrix_of_pieces_is_that_of_all_rows() -> None:
    """Rows that come in pieces give the values of rows that come at once, of pictures and of codes."""
    random = np.random.default_rng(0)
    pictures, codes = random.random((10, 80, 80, 3)).astype(np.float32), random.integers(0, 3, (10, 2))
    whole, pieces = (DesignMatrix(("image", "codes"), ((), (3, 3))) for _ in range(2))

    expected = whole.fit_convert([[pictures, codes]]).toarray()
    found = pieces.fit_convert([pictures[rows], codes[rows]] for rows in (slice(0, 7), slice(7, 10))).toarray()

    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pieces.convert([pictures[:2], codes[:2]]).toarray(), expected[:2], rtol=1e-5, atol=1e-6)
