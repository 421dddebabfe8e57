"""Weights of rows in loss and weighted metrics: a table's column, or the `sample_weight` that a source gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.examples.structures import Structure, flatten
from pipelines.data.raw import PARTS, RawData, select_column
from pipelines.data.splits.split import Split
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem, suggest_choice


@dataclass(frozen=True)
class RowWeights:
    """Weights of all rows.

    Attributes:
        values: float32 [row]; of a user model's examples as they were given.
        name: their source in words.
        key: dotted key of the study file that names it.
    """

    values: Structure
    name: str
    key: str

    def check_values(self, raw: RawData) -> None:
        """Check that weights are finite numbers of at least 0.

        Raises:
            InputError: if some are not; it names their rows.
        """
        for leaf in flatten(self.values):
            if not isinstance(leaf, np.ndarray) or leaf.dtype.kind not in "biuf":
                raise InputError(Problem(f"expected {self.name} to be arrays of numbers", self.key))
            numbers = _convert(leaf)
            is_bad = ~(np.isfinite(numbers) & (numbers >= 0))
            if is_bad.any():
                self._refuse(is_bad.any(axis=1), leaf[np.nonzero(is_bad.reshape(leaf.shape))][0], raw)

    def check_parts(self, split: Split, key: str | None = None) -> None:
        """Check that some row of every part weighs more than 0; `key` replaces the weights' own.

        Raises:
            InputError: if not: the part's loss would be 0 whatever the model predicts.
        """
        counts = np.any([_convert(leaf).any(axis=1) for leaf in flatten(self.values)], axis=0)
        for fold in range(split.folds):
            for part in PARTS:
                rows = split.select_rows(part, fold)
                if len(rows) and not counts[rows].any():
                    where = f" of fold {fold}" if split.folds > 1 else ""
                    message = (
                        f"every {part} row{where} weighs 0 by {self.name}; correct the weights, or split otherwise"
                    )
                    raise InputError(Problem(message, key or self.key))

    def describe(self, raw: RawData) -> str:
        """Return the weights in one line."""
        numbers = np.concatenate([_convert(leaf).reshape(-1) for leaf in flatten(self.values)])
        span = f"{numbers.min():.4g} to {numbers.max():.4g}, mean {numbers.mean(dtype=np.float64):.4g}"
        without = ", ".join(origin.name for origin in raw.origins if origin.lacks_weights)
        rest = f"; rows of {without} have none and weigh 1" if without else ""
        return f"rows are weighted by {self.name} ({span}) in the loss and in weighted metrics{rest}"

    def _refuse(self, is_bad: Any, value: object, raw: RawData) -> None:
        found = f"got {value} at {raw.format_places(np.flatnonzero(is_bad))}"
        raise InputError(Problem(f"expected {self.name} to be finite numbers of at least 0, {found}", self.key))


def split_weight(
    table: pd.DataFrame | None, raw: RawData, spec: DataSpec
) -> tuple[pd.DataFrame | None, RowWeights | None]:
    """Return the feature columns without the weight column, and the weights; None where all rows weigh alike.

    Raises:
        InputError: if the column is not there or is something else too, or a weight is no number of at least 0.
    """
    if spec.weight is None:
        return table, _wrap(raw.weights, raw)
    if raw.weights is not None:
        raise InputError(Problem("the loader gives sample_weight already; remove this key", "data.weight"))
    _check_column(table, raw, spec)
    assert table is not None
    cells = select_column(table, spec.weight)
    weights = RowWeights(_read_column(cells, raw, spec.weight), f'column "{spec.weight}"', "data.weight")
    weights.check_values(raw)
    return table.drop(columns=[spec.weight]), weights


def read_example_weights(raw: RawData) -> RowWeights | None:
    """Return the weights that a user model's examples have; None where all rows weigh alike.

    Raises:
        InputError: if a weight is no number of at least 0.
    """
    return None if raw.examples is None else _wrap(raw.examples.sample_weight, raw)


def _wrap(values: Structure, raw: RawData) -> RowWeights | None:
    if values is None:
        return None
    origin = next(each for each in raw.origins if not each.lacks_weights)
    weights = RowWeights(values, f"the sample_weight of {origin.name}", origin.key)
    weights.check_values(raw)
    if raw.weights is None or raw.weights is not values:
        return weights
    # A source gives float64, the trainers take float32.
    return RowWeights(_convert(raw.weights)[:, 0], weights.name, weights.key)


def _check_column(table: pd.DataFrame | None, raw: RawData, spec: DataSpec) -> None:
    name = spec.weight
    columns = [] if table is None else [str(column) for column in table.columns]
    targets = [spec.target] if isinstance(spec.target, str) else list(spec.target or [])
    taken = {
        "data.target": name in targets,
        "data.drop": name in spec.drop,
        f"data.columns.{name}": name in spec.columns,
        "data.split.column": name == spec.split.column,
        "data.split.order": name == spec.split.order,
        "data.split.group": name == spec.split.group,
    }
    if key := next((key for key, is_taken in taken.items() if is_taken), None):
        raise InputError(Problem(f'column "{name}" is data.weight too; remove it from one of the two', key))
    if name not in columns:
        hint = suggest_choice(str(name), columns) if columns else "a loader returns (x, y, sample_weight)"
        raise InputError(Problem(f'there is no column "{name}"; {hint}', "data.weight"))


def _read_column(cells: pd.Series, raw: RawData, name: str) -> Array:
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if (missing := np.flatnonzero(np.isnan(numbers))).size:
        got = cells.iloc[missing[0]]
        shown = "no value" if pd.isna(got) or str(got).strip() == "" else repr(str(got))
        message = f'expected column "{name}" to be numbers of at least 0, got {shown} at {raw.format_places(missing)}'
        raise InputError(Problem(message, "data.weight"))
    # Larger ones become infinity, and are refused as such.
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def _convert(leaf: Array) -> Array:
    """Return the weights as the trainers see them: float32 [row, weight]."""
    with np.errstate(over="ignore"):
        return leaf.reshape(len(leaf), -1).astype(np.float32)
