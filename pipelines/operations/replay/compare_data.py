"""Comparison of a study's recorded data with the same data prepared anew.

A study keeps its labels, the preprocessed rows, and the raw values of validation and test rows. So the changed rows can
be named, unless only inputs of training rows have changed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.examples.picture_rows import BYTES_SUFFIX, PictureRows, widen
from pipelines.data.prepared import DIGEST_PREFIX, DataSummary
from pipelines.data.prepared_folder import load_array
from pipelines.data.raw import PARTS, PartName
from pipelines.operations.replay.comparison import ItemComparison, compare_arrays, compare_mappings, compare_values

_MOST_PLACES = 10  # named rows; the count has the rest
# float32 sums of means and variances, in another order on another machine.
_SHARE, _ABSOLUTE = 1e-5, 1e-6


def compare_data(report: Path, kept: Path, anew: Path, summary: DataSummary) -> Iterator[ItemComparison]:
    """Compare a study's record of its data with the data prepared anew.

    Args:
        report: the study's report folder, with `data.json` and `split.csv`.
        kept: the folder of the study's prepared data, which may be gone.
        anew: the folder of the data prepared anew.
        summary: its summary.
    """
    # By way of JSON: tuples become lists, as in the record.
    recorded, now = _read_json(report / "data.json"), json.loads(json.dumps(asdict(summary)))
    same_split = _compare_split(report / "split.csv", anew / "split.csv")
    digest = compare_values("data", "digest", recorded.get("digest"), summary.digest)
    # With another split, rows have other places, and each would differ.
    has_places = not summary.digest.startswith(DIGEST_PREFIX)  # a table that is streamed lists no rows
    is_known = digest.agreement == "different" and same_split.agreement == "equal" and kept.exists() and has_places
    yield digest
    yield compare_mappings("data", "rows", recorded.get("rows"), now["rows"])
    yield same_split
    if is_known:
        yield _compare_rows(kept, anew, summary.folds)
    yield compare_mappings("data", "task", recorded.get("task"), now["task"])
    yield compare_mappings("data", "columns", recorded.get("encodings"), now["encodings"])
    if kept.exists():
        yield _compare_prepared(kept, anew)


def _read_json(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return read


def _compare_split(recorded: Path, now: Path) -> ItemComparison:
    """Compare the parts that the rows are in."""
    if not recorded.exists():
        return ItemComparison("data", "split", "unknown", note="not recorded")
    before, after = _read_places(recorded), _read_places(now)
    moved = [
        f"{row} was in {before[row]}, is in {after[row]}"
        for row in before
        if row in after and before[row] != after[row]
    ]
    gone, new = [row for row in before if row not in after], [row for row in after if row not in before]
    changes = [
        *([f"{len(moved)} rows moved: {_list_first(moved)}"] if moved else []),
        *([f"{len(gone)} rows are gone: {_list_first(gone)}"] if gone else []),
        *([f"{len(new)} rows are new: {_list_first(new)}"] if new else []),
    ]
    return ItemComparison("data", "split", "different" if changes else "equal", note="; ".join(changes))


def _read_places(file: Path) -> dict[str, str]:
    """Return each row's part, with folds also its fold, by its place in the source."""
    with file.open(encoding="utf-8", newline="") as lines:
        return {row.pop("row"): ", fold ".join(row.values()) for row in csv.DictReader(lines)}


def _compare_rows(kept: Path, anew: Path, folds: int) -> ItemComparison:
    """Name the rows whose labels or raw values differ, of two data sets with the same split."""
    rows = _group_rows(anew / "split.csv", folds)
    changed = dict.fromkeys(
        f"{rows[part, fold][at]} ({part})"
        for fold in range(folds)
        for part in PARTS
        for at in _find_different_rows(kept / f"fold-{fold}", anew / f"fold-{fold}", part)
    )
    note = f"other values in {_list_first(list(changed))}"
    if not changed:
        note = "no label differs, and no raw value of a validation or test row: inputs of training rows do"
    return ItemComparison("data", "values", "different", note=note)


def _group_rows(file: Path, folds: int) -> Mapping[tuple[PartName, int], list[str]]:
    table = pd.read_csv(file)
    within = {}
    for fold in range(folds):
        for part in PARTS:
            chosen = table["part"] == part
            # The test rows are the same in each fold.
            if folds > 1 and part != "test":
                chosen = (table["part"] != "test") & ((table["fold"] == fold) == (part == "validation"))
            within[part, fold] = table["row"][chosen].tolist()
    return within


def _find_different_rows(kept: Path, anew: Path, part: PartName) -> list[int]:
    """Return the rows of a part, counted from 0, whose labels or raw values differ."""
    ours, theirs = ({file.name: np.load(file) for file in folder.glob(f"{part}.y*.npy")} for folder in (kept, anew))
    rows = len(next(iter(ours.values())))
    # Other targets than before change every row.
    apart = np.full(rows, ours.keys() != theirs.keys())
    for name in ours.keys() & theirs.keys():
        apart = apart | _find_differences(ours[name], theirs[name])
    # An array alone, or each column of pictures and of lists beside the table of the others.
    for file in (file.name for file in kept.glob(f"{part}.raw*.npy") if (anew / file.name).exists()):
        raw, now = (np.load(folder / file, mmap_mode="r") for folder in (kept, anew))
        apart = apart | _find_differences(raw, now)
    if (kept / f"{part}.raw.parquet").exists() and (anew / f"{part}.raw.parquet").exists():
        table, other = (pd.read_parquet(folder / f"{part}.raw.parquet") for folder in (kept, anew))
        for name in table.columns.intersection(other.columns):
            # Missing values are equal to each other here, which pandas denies.
            equal = (table[name] == other[name]) | (table[name].isna() & other[name].isna())
            apart = apart | ~equal.to_numpy(dtype=bool)
    found: list[int] = np.flatnonzero(apart).tolist()
    return found


def _find_differences(one: Array, other: Array) -> Array:
    """Return per row whether two arrays of as many rows differ there."""
    # Another number of columns changes every row.
    if one.shape != other.shape:
        return np.ones(len(one), dtype=bool)
    same = one == other
    if one.dtype.kind == "f":
        same = same | (np.isnan(one) & np.isnan(other))
    rows: Array = ~same.reshape(len(one), -1).all(axis=1)
    return rows


def _compare_prepared(kept: Path, anew: Path) -> ItemComparison:
    """Compare the preprocessed rows, file by file."""
    ours, theirs = _map_arrays(kept), _map_arrays(anew)
    if ours.keys() != theirs.keys():
        return ItemComparison("data", "prepared rows", "different", note="they consist of other files")
    pairs = [_pair(ours[name], theirs[name]) for name in sorted(ours)]
    recorded, now = ([array for pair in pairs for array in pair[side]] for side in (0, 1))
    return compare_arrays("data", "prepared rows", recorded, now, share=_SHARE, absolute=_ABSOLUTE)


def _map_arrays(folder: Path) -> dict[str, Array | PictureRows]:
    """Return the arrays of a prepared folder by file, mapped from the disk: two copies may be larger than memory."""
    return {
        str(file.with_stem(file.stem.removesuffix(BYTES_SUFFIX)).relative_to(folder)): load_array(file)
        for file in folder.rglob("*.npy")
    }


def _pair(one: Array | PictureRows, other: Array | PictureRows) -> tuple[Sequence[Array], Sequence[Array]]:
    """Return the arrays to compare of each: of stored pictures bytes and scale, where both are; else numbers."""
    if isinstance(one, PictureRows) and isinstance(other, PictureRows):
        return (one.stored, one.center, one.factor), (other.stored, other.center, other.factor)
    # A version before 8-bit pictures were stored as bytes prepared one of them.
    return (widen(one),), (widen(other),)


def _list_first(named: list[str]) -> str:
    listed = ", ".join(named[:_MOST_PLACES])
    return listed if len(named) <= _MOST_PLACES else f"{listed} and {len(named) - _MOST_PLACES} more"
