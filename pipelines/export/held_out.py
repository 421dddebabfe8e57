"""Rows on which exported files are compared: held-out rows, and odd ones, with gaps and unseen words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.examples.leaves import count_rows, is_ragged, take_rows
from pipelines.data.prepared_folder import load_summary
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import read_trial_config

MOST_ROWS = 20_000  # chosen; bounds the time of the slowest runtime
_MOST_BYTES = 2**29  # of pictures, as float32; chosen
_PART_BYTES = 2**26  # of these in memory at a time; chosen
UNSEEN_WORD = "never seen in training"
_ODD_ROWS = 32  # chosen: each column gets a gap in tables of up to 32 columns


def count_compared(trial: PastTrial) -> int:
    """Return the most rows that models are compared on: of large pictures fewer."""
    values = sum(math.prod(column.shape) for column in load_summary(Path(trial.data)).raw)
    return min(MOST_ROWS, max(100, _MOST_BYTES // max(1, 4 * values)))


def iterate_held_out(trial: PastTrial) -> Iterator[dict[str, Array]]:
    """Yield the raw rows that models are compared on, some at a time: of the test part or, without one, validation.

    Ragged and sparse rows come all at once, so that what `make_dense` pads is padded alike.
    """
    from pipelines.data.prepared_folder import iterate_raw  # loads Arrow

    left = count_compared(trial)
    for raw in iterate_raw(Path(trial.data), find_held_out_part(trial), _read_fold(trial), left):
        rows = min(left, count_rows(next(iter(raw.values()))))
        step = _choose_step(raw, rows)
        for start in range(0, max(1, rows), step):
            chosen = slice(start, min(rows, start + step))
            yield {name: _convert_to_array(take_rows(values, chosen)) for name, values in raw.items()}
        left -= rows
        if left <= 0:
            return


def load_held_out(trial: PastTrial, most: int) -> dict[str, Array]:
    """Return the first raw rows of the comparison."""
    from pipelines.data.prepared_folder import load_first_raw

    raw = load_first_raw(Path(trial.data), find_held_out_part(trial), _read_fold(trial), most)
    return {name: _convert_to_array(values) for name, values in raw.items()}


def _read_fold(trial: PastTrial) -> int:
    # The trial's own fold: it was trained on validation rows of the others.
    return int(read_trial_config(Path(trial.folder))["fold"])


def _choose_step(raw: Mapping[str, Any], rows: int) -> int:
    """Return how many of the rows are converted at a time."""
    if any(_is_special(values) for values in raw.values()):
        return max(1, rows)
    # As float32, whatever the type in which they are stored.
    row_bytes: int = sum(4 * math.prod(values.shape[1:]) for values in raw.values())
    return max(1, _PART_BYTES // max(1, row_bytes))


def make_dense(rows: Mapping[str, Any]) -> dict[str, Array]:
    """Return rows as the runtimes take them that know arrays only: ragged ones padded, with 0 or ""."""
    return {name: _convert_to_array(_fill(values)) for name, values in rows.items()}


def list_filled(rows: Mapping[str, Any]) -> list[str]:
    """Return the names of the inputs that `make_dense` changes, with what it does to them."""
    return [
        f"{name} is {'padded' if is_ragged(values) else 'dense'}"
        for name, values in rows.items()
        if _is_special(values)
    ]


def _fill(values: Any) -> Any:
    if is_ragged(values):
        return values.to_tensor().numpy()
    if hasattr(values, "tocsr"):
        return values.toarray()
    if hasattr(values, "dense_shape"):
        import tensorflow as tf

        return tf.sparse.to_dense(values).numpy()
    return values


def _is_special(values: Any) -> bool:
    return is_ragged(values) or hasattr(values, "tocsr") or hasattr(values, "dense_shape")


def _convert_to_array(values: Any) -> Any:
    """Return rows as the files take them: floats in the type that Keras computes in, text as Python strings."""
    if _is_special(values):
        return values
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return array.astype(np.float32, copy=False)
    if array.dtype.kind != "O":
        return array
    flat = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in array.reshape(-1)]
    return np.array(flat, dtype=object).reshape(array.shape)


def find_held_out_part(trial: PastTrial) -> Literal["test", "validation"]:
    """Return the part that the search did not train on: the test part, or the validation part where that is empty."""
    return "test" if load_summary(Path(trial.data)).rows.get("test") else "validation"


def make_odd_rows(trial: PastTrial) -> dict[str, Array]:
    """Return a few held-out rows of a table, each with one missing value or one word that is not in the training rows.

    Empty for arrays and images, which have no such values, and for data that goes to a user model as it is, which may
    refuse them.
    """
    summary = load_summary(Path(trial.data))
    if summary.given is not None or not all(column.column for column in summary.raw):
        return {}
    rows = {name: values.copy() for name, values in load_held_out(trial, _ODD_ROWS).items()}
    for index, column in enumerate(summary.raw):
        if column.kind == "image":
            continue  # a picture has no gaps
        values = rows[column.name]
        # One column in each row, so that a difference can be traced to its column.
        spoilt = np.arange(len(values)) % len(summary.raw) == index
        if column.dtype == "string":
            values[spoilt] = [UNSEEN_WORD if row % 2 else "" for row in np.flatnonzero(spoilt)]
        else:
            values[spoilt] = np.nan
    return rows
