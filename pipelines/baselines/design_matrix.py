"""Design matrix of a study's examples: one row of numbers for each example, as a linear model takes it.

Preprocessed inputs keep what the trials see: numbers standardised with their gaps filled, categories as columns of 0
and 1. Words count by tf-idf, pictures and series are flattened, large pictures after a mean over squares of pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.examples.leaves import is_ragged
from pipelines.data.examples.structures import flatten

_MOST_PIXELS: Final = 4096  # chosen: 64 x 64 in one color, 36 x 36 in three
MOST_WIDTH: Final = 20_000


class NoMatrixError(ValueError):
    """Examples that have no rows of numbers; the message is the reason."""


class DesignMatrix:
    """Converter of examples into rows of numbers, adapted to the training rows.

    Args:
        form: what each input is: `dense`, `codes`, `text`, `image`, or `array` for numbers as they were given.
        counts: of each coded column, its number of codes; of each column of text, the size of its vocabulary.
    """

    def __init__(self, form: Sequence[str], counts: Sequence[tuple[int, ...]]) -> None:
        self._form = tuple(form)
        self._counts = tuple(counts)
        self._scalers: list[Any] = []

    def fit_convert(self, pieces: Iterable[Sequence[Any]]) -> Any:
        """Adapt to training rows, and return their matrix: dense, or sparse where there are words or codes.

        Args:
            pieces: blocks of some rows each, so that large pictures are in memory a few at a time.
        """
        made = [_concatenate(parts) for parts in zip(*map(self._make_blocks, pieces), strict=True)]
        self._scalers = [_fit_scaler(form, block) for form, block in zip(self._form, made, strict=True)]
        return self._scale(made)

    def convert(self, blocks: Sequence[Any]) -> Any:
        """Return the matrix of rows."""
        return self._scale(self._make_blocks(blocks))

    def _scale(self, blocks: Sequence[Any]) -> Any:
        made = [
            block if scaler is None else scaler.transform(block)
            for scaler, block in zip(self._scalers, blocks, strict=True)
        ]
        if any(hasattr(block, "tocsr") for block in made):
            from scipy import sparse

            return sparse.hstack([sparse.csr_matrix(block) for block in made]).tocsr()
        return np.concatenate(made, axis=1)

    def _make_blocks(self, blocks: Sequence[Any]) -> list[Any]:
        return [
            _make_block(form, counts, block)
            for form, counts, block in zip(self._form, self._counts, blocks, strict=True)
        ]


def list_blocks(x: Any) -> list[Any]:
    """Return the arrays of a structure of examples, in its order.

    Raises:
        NoMatrixError: if one holds text, or rows of different lengths.
    """
    blocks = []
    for leaf in flatten(x):
        if is_ragged(leaf):
            raise NoMatrixError("the inputs have rows of different lengths")
        block = getattr(leaf, "matrix", leaf)
        if getattr(block, "dtype", np.dtype(object)).kind not in "biuf":
            raise NoMatrixError("the inputs hold text as it was given")
        blocks.append(block)
    return blocks


def _fit_scaler(form: str, block: Any) -> Any:
    """Return what adapts an input to the training rows; None where it stays as it is."""
    # Here, since a table of numbers needs none of scikit-learn, which takes 0.8 seconds to import.
    if form in ("image", "array") and not hasattr(block, "tocsr"):
        from sklearn.preprocessing import StandardScaler

        return StandardScaler().fit(block)
    if form == "text":
        from sklearn.feature_extraction.text import TfidfTransformer

        return TfidfTransformer().fit(block)
    return None


def _make_block(form: str, counts: tuple[int, ...], block: Any) -> Any:
    if form == "codes":
        return _make_code_columns(block, counts)
    if form == "text":
        return _count_words(block, counts[0])
    if hasattr(block, "tocsr"):
        return block.tocsr()
    values = np.nan_to_num(np.asarray(block, dtype=np.float32), posinf=0.0, neginf=0.0)
    if values.ndim == 4 and form != "dense":
        values = _shrink(values)
    return values.reshape(len(values), -1)


def _concatenate(parts: Sequence[Any]) -> Any:
    if any(hasattr(part, "tocsr") for part in parts):
        from scipy import sparse

        return sparse.vstack(parts, format="csr")
    return np.concatenate(parts)


def _make_code_columns(codes: Any, counts: tuple[int, ...]) -> Any:
    """Return a column for each code of each column [row, code]; code 0, unknown from training, is all zeros."""
    from scipy import sparse

    codes = np.asarray(codes)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    at = (codes + starts).reshape(-1)
    rows = np.repeat(np.arange(len(codes)), codes.shape[1])
    known = codes.reshape(-1) > 0
    ones = np.ones(int(known.sum()), np.float32)
    return sparse.csr_matrix((ones, (rows[known], at[known])), shape=(len(codes), int(sum(counts))))


def _count_words(words: Any, vocabulary: int) -> Any:
    """Return how often each word stands in each row [row, word]; 0 is no word."""
    from scipy import sparse

    words = np.asarray(words)
    there = words > 0
    rows = np.repeat(np.arange(len(words)), there.sum(axis=1))
    ones = np.ones(len(rows), np.float32)
    return sparse.csr_matrix((ones, (rows, words[there])), shape=(len(words), vocabulary))


def _shrink(pictures: Array) -> Array:
    """Return the means over squares of pixels, the smallest that leave few enough values."""
    height, width, channels = pictures.shape[1:]
    side = 1
    while (height // side) * (width // side) * channels > _MOST_PIXELS and min(height, width) // side > 1:
        side += 1
    rows, columns = height // side, width // side
    cut = pictures[:, : rows * side, : columns * side]
    means: Array = cut.reshape(len(cut), rows, side, columns, side, channels).mean(axis=(2, 4))
    return means
