"""Rows of a source, unchanged, with the place of each, so that later errors can name the line of a file.

Nothing is decided here: a CSV's cells are still text (`text`), and labels have the source's type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.examples.examples import Examples, concatenate_examples
from pipelines.data.examples.structures import Structure, map_leaves
from pipelines.data.scratch import Scratch, iterate_chunks
from pipelines.data.window_facts import WindowFacts
from search_spaces.errors import InputError, Problem

PartName = Literal["train", "validation", "test"]
GivenPart = Literal["validation", "test"]
PARTS: tuple[PartName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Origin:
    """The source of some rows.

    Attributes:
        name: the file or reference, as the study names it.
        word: what `numbers` counts: `line` of a CSV file, `row` elsewhere, `file` of an image folder.
        numbers: per row its number (counted from 1) or file name, as an editor shows it.
        key: dotted key of the study file that names the source, for errors.
        part: the part that the rows were given for; None if they are still to be split.
        lacks_weights: whether the rows were given without weights, and others with.
    """

    name: str
    key: str
    word: str
    numbers: Sequence[int] | Sequence[str]
    part: GivenPart | None = None
    lacks_weights: bool = False


@dataclass(frozen=True)
class Windows:
    """Rows that are windows of a time series.

    Attributes:
        facts: what holds for all of them.
        periods: [row] position in time of each window's last row.
        reaches: [row] position in time of its last predicted row.
        times: float64 [row, step] times of the predicted rows.
        words: object [row, time] per channel of categories, "" where missing.
        names: object [row] name of each window's series; None where there is one series.
    """

    facts: WindowFacts
    periods: Array
    reaches: Array
    times: Array
    words: Mapping[str, Array]
    names: Array | None = None


@dataclass(frozen=True)
class RawData:
    """All rows of a study: a table, one array of features with labels beside it, or examples of any form.

    Attributes:
        origins: sources of the rows, in row order.
        table: the columns; the target is among them where `labels` is None.
        array: features [row, ...] of a source that has no columns.
        labels: one column per target.
        weights: the weight of each row in loss and metrics, float64 [row]; None where all rows weigh alike.
        examples: x, y and weights as a loader gave them; then there is neither table nor array.
        text: the table's cells are text as written, whose types are still to be inferred.
        class_names: names of the classes 0, 1, ... if the source has them.
        windows: facts of rows that are windows of a series; None for other rows.
        notes: choices made for the user while reading, such as a detected encoding, with the key that changes each.
        headers: names of columns as the file has them, where these have blanks around.
        pictures: the pictures that columns of the table name, uint8 [row, height, width, channel], by column.
        picture_files: the files of pictures that a table names.
    """

    origins: tuple[Origin, ...]
    table: pd.DataFrame | None = None
    array: Array | None = None
    labels: pd.DataFrame | None = None
    weights: Array | None = None
    examples: Examples | None = None
    text: bool = False
    class_names: tuple[str, ...] = ()
    windows: Windows | None = None
    notes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, Array] = field(default_factory=dict)
    picture_files: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(len(origin.numbers) for origin in self.origins)

    @property
    def given(self) -> Array:
        """Per row the part that it was given for, "" if it is still to be split."""
        return np.concatenate([np.full(len(origin.numbers), origin.part or "") for origin in self.origins])

    def select(self, rows: Array) -> RawData:
        """Return some rows of a table or an array, by their numbers in rising order."""
        return replace(
            self,
            origins=_select_origins(self.origins, rows),
            table=None if self.table is None else self.table.iloc[rows].reset_index(drop=True),
            array=None if self.array is None else self.array[rows],
            labels=None if self.labels is None else self.labels.iloc[rows].reset_index(drop=True),
            weights=None if self.weights is None else self.weights[rows],
            pictures={name: pixels[rows] for name, pixels in self.pictures.items()},
        )

    def format_place(self, row: int) -> str:
        """Return the place of a row: `line 12`, with the file's name if there are several files."""
        for origin in self.origins:
            if row < len(origin.numbers):
                where = f"{origin.word} {origin.numbers[row]}"
                return where if len(self.origins) == 1 else f"{where} of {origin.name}"
            row -= len(origin.numbers)
        raise IndexError(row)

    def format_places(self, rows: Iterable[int], most: int = 10) -> str:
        """Return the places of the first rows and the number of the others."""
        numbers = [int(row) for row in rows]
        named = ", ".join(self.format_place(row) for row in numbers[:most])
        return named if len(numbers) <= most else f"{named} and {len(numbers) - most} more"


def combine(parts: Sequence[RawData], scratch: Scratch | None = None) -> RawData:
    """Return one set of rows made of several that were given separately.

    Args:
        parts: the rows.
        scratch: makes the array of features, where that is too large for the memory.

    Raises:
        InputError: if their columns or shapes differ.
    """
    if len(parts) == 1:
        return parts[0]
    parts = _complete_weights(parts)
    for part in parts[1:]:
        check_alike(parts[0], part)
    first = parts[0]
    return RawData(
        origins=tuple(origin for part in parts for origin in part.origins),
        table=_stack_tables([part.table for part in parts]),
        array=None if first.array is None else _stack_arrays([p.array for p in parts if p.array is not None], scratch),
        labels=_stack_tables([part.labels for part in parts]),
        weights=None if first.weights is None else np.concatenate([p.weights for p in parts if p.weights is not None]),
        examples=None
        if first.examples is None
        else concatenate_examples([part.examples for part in parts if part.examples is not None]),
        text=first.text,
        class_names=first.class_names,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        headers=first.headers,
        pictures={name: _stack_pictures([part.pictures[name] for part in parts]) for name in first.pictures},
        picture_files=tuple(file for part in parts for file in part.picture_files),
    )


def _select_origins(origins: Sequence[Origin], rows: Array) -> tuple[Origin, ...]:
    selected, start = [], 0
    for origin in origins:
        end = start + len(origin.numbers)
        numbers = [origin.numbers[row - start] for row in rows[(rows >= start) & (rows < end)]]
        selected.append(replace(origin, numbers=numbers))
        start = end
    return tuple(selected)


def _stack_arrays(parts: Sequence[Array], scratch: Scratch | None) -> Array:
    if scratch is None:
        return np.concatenate(parts)
    first = parts[0]
    joined = scratch.make((sum(map(len, parts)), *first.shape[1:]), np.result_type(*parts))
    row = 0
    for part in parts:
        for start, stop in iterate_chunks(len(part), part[:1].nbytes):
            joined[row + start : row + stop] = part[start:stop]
        row += len(part)
    return joined


def _stack_pictures(parts: Sequence[Array]) -> Array:
    # One part in colour decides the channels of all.
    channels = max(part.shape[-1] for part in parts)
    return np.concatenate([np.repeat(part, channels // part.shape[-1], axis=-1) for part in parts])


def _complete_weights(parts: Sequence[RawData]) -> list[RawData]:
    """Return the parts with weights of 1 where others have weights, as Keras scores validation rows without any."""
    given = next((each for each in map(_get_weights, parts) if each is not None), None)
    return [part if given is None or _get_weights(part) is not None else _weigh_alike(part, given) for part in parts]


def _get_weights(part: RawData) -> Structure:
    return part.weights if part.examples is None else part.examples.sample_weight


def _weigh_alike(part: RawData, like: Structure) -> RawData:
    origins = tuple(replace(origin, lacks_weights=True) for origin in part.origins)
    ones = map_leaves(lambda leaf: np.ones((part.rows, *leaf.shape[1:]), leaf.dtype), like)
    if part.examples is None:
        return replace(part, origins=origins, weights=ones)
    return replace(part, origins=origins, examples=replace(part.examples, sample_weight=ones))


def check_alike(first: RawData, other: RawData) -> None:
    """Check that rows of two sources can be joined.

    Raises:
        InputError: if their columns or shapes differ.
    """
    name, key = other.origins[0].name, other.origins[0].key
    expected, got = _describe_kind(first), _describe_kind(other)
    if expected != got:
        message = f"{name} holds {got}, but {first.origins[0].name} holds {expected}; expected the same"
        raise InputError(Problem(message, key))
    if first.table is not None and other.table is not None:
        missing = [f'"{column}"' for column in first.table.columns if column not in other.table.columns]
        extra = [f'"{column}"' for column in other.table.columns if column not in first.table.columns]
        if missing or extra:
            differences = f"missing: {', '.join(missing) or 'none'}; unexpected: {', '.join(extra) or 'none'}"
            message = f"{name} must have the columns of {first.origins[0].name}; {differences}"
            raise InputError(Problem(message, key))
    _check_pictures(first, other)
    if first.array is not None and other.array is not None and first.array.shape[1:] != other.array.shape[1:]:
        message = f"rows of {name} have shape {other.array.shape[1:]}, expected {first.array.shape[1:]}"
        raise InputError(Problem(message, key))
    if first.examples is not None and other.examples is not None:
        ours, theirs = first.examples.describe(), other.examples.describe()
        # Parts may come in batches of different sizes.
        if (ours.x, ours.y, ours.sample_weight) != (theirs.x, theirs.y, theirs.sample_weight):
            message = f"{name} holds {theirs.describe()}, but {first.origins[0].name} {ours.describe()}"
            raise InputError(Problem(f"{message}; expected the same", key))
    if first.class_names != other.class_names:
        message = f"classes of {name} are {list(other.class_names)}, expected {list(first.class_names)}"
        raise InputError(Problem(message, key))


def _check_pictures(first: RawData, other: RawData) -> None:
    name, key = other.origins[0].name, other.origins[0].key
    if apart := sorted(set(first.pictures) ^ set(other.pictures)):
        message = f'column "{apart[0]}" of {first.origins[0].name} or {name} names no pictures that are there'
        raise InputError(Problem(f"{message}; expected the same of both", key))
    for column, pixels in first.pictures.items():
        size, others = pixels.shape[1:3], other.pictures[column].shape[1:3]
        if size != others:
            message = f"pictures of {name} are {others[0]} x {others[1]}, those of {first.origins[0].name} {size[0]} x"
            raise InputError(Problem(f"{message} {size[1]} (height x width); set the size of all", "data.image_size"))


def _describe_kind(part: RawData) -> str:
    weights = "" if part.weights is None else " and weights"
    if part.table is None:
        return f"arrays{weights}"
    cells = "CSV text" if part.text else "a table of typed columns"
    return f"{cells}{weights}" if part.labels is None else f"{cells} with labels{weights} beside it"


def _stack_tables(tables: Sequence[pd.DataFrame | None]) -> pd.DataFrame | None:
    known = [table for table in tables if table is not None]
    # Columns by name: a second file may have them in another order.
    return pd.concat([table[list(known[0].columns)] for table in known], ignore_index=True) if known else None


def select_column(table: pd.DataFrame, name: str) -> pd.Series:
    """Return one column of a table whose columns are known to be unique."""
    return table[name]
