"""Facts of a data file before a study prepares it: its form, its columns, and a guess of the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pipelines.data.raw import RawData
from pipelines.data.reading.sources import load
from pipelines.operations.starter.series import NO_REQUEST, SeriesFacts, SeriesRequest, find_series
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem, suggest_choice

Form = Literal["table", "vectors", "images", "series"]

_USUAL_TARGETS = ("target", "label", "labels", "class", "y", "outcome", "output", "response")
_LIST_MARK, _MOST_LABELS = "|", 100  # more are names
_WORDS_A_CELL = 4.0  # of the mean cell of free text, which is no target
_SHARE_OF_NAMES = 0.5  # of distinct words, from which a column holds names and no classes


@dataclass(frozen=True)
class SourceFacts:
    """Facts of a source.

    Attributes:
        columns: names of a table's columns that may be features; empty for arrays and pictures.
        targets: names of the target columns; empty where the labels come with the source.
        why: why these are the targets, in words.
        holds_lists: whether a single target has cells of several labels, such as `red|blue`.
        series: the series that are requested, or that the table looks like; None if neither.
    """

    form: Form
    rows: int
    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    why: str = ""
    holds_lists: bool = False
    series: SeriesFacts | None = None

    @property
    def looks_like_series(self) -> bool:
        """Whether the rows of a table look like a series that nobody requested to forecast."""
        return self.series is not None and self.form == "table"


def read_source(data: Mapping[str, Any], base: Path, request: SeriesRequest = NO_REQUEST) -> SourceFacts:
    """Read a source; guess its target, unless the section has one, and whether its rows are series.

    Args:
        data: the section `data` of the study file.
        base: folder that its paths start from.
        request: what a person stated of its series.

    Raises:
        InputError: if the source cannot be read, or has no such column.
    """
    spec = DataSpec(**data)
    given = spec.target
    targets = (given,) if isinstance(given, str) else tuple(given or ())
    raw = load(spec, base, "mixed")
    if raw.table is None or raw.labels is not None:
        if request.is_stated:
            message = "a forecast needs a table with a column of times, and this source has no columns"
            raise InputError(Problem(message, "--time"))
        if targets:
            raise InputError(Problem("the labels of this source come with it: expected no target", "--target"))
        return SourceFacts(_find_form(raw), raw.rows, _list_names(raw.table))
    names = _list_names(raw.table)
    for target in targets:
        if target not in names:
            raise InputError(Problem(f'there is no column "{target}"; {suggest_choice(target, names)}', "--target"))
    if len(names) < 2:
        message = f"expected a column to predict and others to predict it from, got one column ({', '.join(names)})"
        raise InputError(Problem(message, "data.source"))
    others = [name for name in names if name not in (request.time, request.by)]
    chosen, why = (targets, "") if targets else _guess_target(raw.table[others])
    series = find_series(raw, spec, chosen, request)
    holds_lists = len(chosen) == 1 and _holds_lists(raw.table[chosen[0]])
    form: Form = "series" if request.is_stated else "table"
    return SourceFacts(form, raw.rows, names, chosen, why, holds_lists, series)


def _list_names(table: pd.DataFrame | None) -> tuple[str, ...]:
    return () if table is None else tuple(map(str, table.columns))


def _find_form(raw: RawData) -> Form:
    if raw.array is None or raw.array.ndim == 2:
        return "vectors" if raw.table is None else "table"
    # Three axes are grey pictures or series: the file's name states neither, and pictures are square.
    square = raw.array.ndim == 3 and raw.array.shape[1] == raw.array.shape[2]
    return "images" if raw.array.ndim == 4 or square else "series"


def _guess_target(table: pd.DataFrame) -> tuple[tuple[str, ...], str]:
    names = _list_names(table)
    for usual in _USUAL_TARGETS:
        if named := next((name for name in names if name.strip().lower() == usual), None):
            return (named,), "a guess, by its name"
    for name in reversed(names):
        if _may_be_target(table[name]):
            place = "the last column" if name == names[-1] else "the last column that is no text and no name"
            return (name,), f"a guess, since it is {place}"
    message = f"no column looks like one to predict; name it by --target: {', '.join(names[:20])}"
    raise InputError(Problem(message, "--target"))


def _holds_lists(column: pd.Series[Any]) -> bool:
    """Return whether the cells of a column are lists of few labels, which are combined in many ways."""
    cells = column.dropna().astype(str)
    if not cells.str.contains(_LIST_MARK, regex=False).any():
        return False
    labels = cells.str.split(_LIST_MARK).explode().str.strip().nunique()
    return labels <= _MOST_LABELS and labels < cells.nunique()


def _may_be_target(column: pd.Series[Any]) -> bool:
    """Return whether a column may hold numbers or classes, and not free text, names or dates."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return False
    cells = column.dropna().astype(str).str.strip()
    cells = cells[cells != ""]
    if cells.empty or cells.nunique() < 2:
        return False
    words = cells.str.replace(",", ".", regex=False)
    if pd.to_numeric(words, errors="coerce").notna().mean() > 0.9:  # numbers, with or without a decimal comma
        return True
    is_text = cells.str.count(r"\s+").mean() + 1 > _WORDS_A_CELL
    has_names = cells.nunique() > max(20, _SHARE_OF_NAMES * len(cells))
    return not (is_text or has_names)
