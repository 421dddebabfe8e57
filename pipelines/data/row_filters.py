"""Rows that the study file leaves out before the split: those without a target, and those that occur again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.fingerprint import hash_rows
from pipelines.data.raw import RawData
from pipelines.data.targets.labels import split_target
from pipelines.data.targets.target_cells import read_target_cells
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem


def drop_rows(raw: RawData, spec: DataSpec) -> RawData:
    """Return the rows without those that `data.drop_unlabelled` and `data.drop_duplicates` leave out, with notes.

    Raises:
        InputError: if the source has no table or labels to judge by, or no row is left.
    """
    for key in ("drop_unlabelled", "drop_duplicates"):
        if getattr(spec, key) and raw.windows is not None:
            message = "windows without a target are left out already, and none is equal to another; remove this key"
            raise InputError(Problem(message, f"data.{key}"))
    if spec.drop_unlabelled:
        raw = _keep(raw, _mark_labelled(raw, spec), "without a target", "drop_unlabelled")
    if spec.drop_duplicates:
        raw = _keep(raw, _mark_first(raw), "equal to an earlier row in every column", "drop_duplicates")
    return raw


def keep_labelled(raw: RawData, spec: DataSpec) -> tuple[RawData, list[str]]:
    """Return some rows without those that have no target, and the places of these."""
    labelled = _mark_labelled(raw, spec)
    places = [raw.format_place(int(row)) for row in np.flatnonzero(~labelled)]
    return (raw.select(np.flatnonzero(labelled)) if places else raw), places


def _mark_labelled(raw: RawData, spec: DataSpec) -> Array:
    if raw.examples is not None:
        message = "a model of yours gets what the loader gives; leave rows without a target out there"
        raise InputError(Problem(message, "data.drop_unlabelled"))
    _, targets = split_target(raw, spec)
    missing = [read_target_cells(targets[name], raw, spec.select_target(str(name))).missing for name in targets.columns]
    return ~np.any(missing, axis=0)  # type: ignore[no-any-return]


def _mark_first(raw: RawData) -> Array:
    if raw.table is None:
        raise InputError(Problem("this source has no columns; remove this key", "data.drop_duplicates"))
    tables = [raw.table] if raw.labels is None else [raw.table, raw.labels]
    keys = [hash_rows(table) for table in tables]
    return ~pd.DataFrame(dict(enumerate(keys))).duplicated().to_numpy()


def _keep(raw: RawData, kept: Array, what: str, key: str) -> RawData:
    count = int((~kept).sum())
    if not count:
        return raw
    if not kept.any():
        raise InputError(Problem(f"every row is {what}; none is left", f"data.{key}"))
    places = raw.format_places(np.flatnonzero(~kept), most=3)
    counted = "1 row is" if count == 1 else f"{count} rows are"
    note = f"{counted} left out, {what} ({places}); data.{key} decides that"
    return replace(raw.select(np.flatnonzero(kept)), notes=(*raw.notes, note))
