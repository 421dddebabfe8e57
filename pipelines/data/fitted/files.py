"""File of a fold's fitted preprocessing in its prepared folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from pipelines.data.array_types import Array
from pipelines.data.columns.encoding import Plan
from pipelines.data.fitted.values import (
    DatePlan,
    Fitted,
    FittedArray,
    FittedTable,
    FittedWindows,
    IdentityPlan,
    Moments,
    RawInput,
    WordPlan,
)
from pipelines.data.table_statistics import NumberStatistics

FITTED_FILE = "preprocessing.json"


def write_fitted(fitted: Fitted, folder: Path) -> None:
    """Write a fold's preprocessing into its folder."""
    # Python writes a float64 so that it is read as the same number.
    text = json.dumps(asdict(fitted), default=np.ndarray.tolist)
    (folder / FITTED_FILE).write_text(text, encoding="utf-8")


def read_fitted(folder: Path) -> Fitted | None:
    """Return the preprocessing of a fold; None where an earlier version wrote the folder."""
    try:
        read = json.loads((folder / FITTED_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if "plain" in read:
        return _read_windows(read)
    return _read_table(read) if "plan" in read else _read_array(read)


def _read_table(read: Mapping[str, Any]) -> FittedTable:
    return FittedTable(
        plan=TypeAdapter(Plan).validate_python(read["plan"]),
        inputs=tuple(map(_read_input, read["inputs"])),
        numbers=_read_statistics(read["numbers"]),
        # JSON's keys are text.
        lists={int(column): NumberStatistics(**_read_arrays(each)) for column, each in read["lists"].items()},
        words={int(column): tuple(words) for column, words in read["words"].items()},
        image=_read_moments(read["image"]),
    )


def _read_array(read: Mapping[str, Any]) -> FittedArray:
    return FittedArray(
        input=_read_input(read["input"]),
        output=read["output"],
        marked=tuple(read["marked"]),
        numbers=_read_statistics(read["numbers"]),
        moments=_read_moments(read["moments"]),
        pixels=None if read["pixels"] is None else (read["pixels"][0], read["pixels"][1]),
    )


def _read_windows(read: Mapping[str, Any]) -> FittedWindows:
    return FittedWindows(
        inputs=tuple(map(_read_input, read["inputs"])),
        output=read["output"],
        plain=tuple(read["plain"]),
        moments=(np.array(read["moments"][0], np.float64), np.array(read["moments"][1], np.float64)),
        dates=tuple(DatePlan(each["channel"], tuple(each["cycles"])) for each in read["dates"]),
        words=tuple(WordPlan(each["name"], each["codes"], tuple(each["words"])) for each in read["words"]),
        identity=TypeAdapter(IdentityPlan | None).validate_python(read["identity"]),
    )


def _read_input(read: Mapping[str, Any]) -> RawInput:
    return RawInput(read["name"], tuple(read["shape"]), read["dtype"])


def _read_statistics(read: Mapping[str, Any] | None) -> NumberStatistics | None:
    return None if read is None else NumberStatistics(**_read_arrays(read))


def _read_arrays(read: Mapping[str, Any]) -> dict[str, Array]:
    return {name: np.array(values, dtype=np.float64) for name, values in read.items()}


def _read_moments(read: Any) -> Moments | None:
    return None if read is None else (np.array(read[0], np.float64), np.array(read[1], np.float64))
