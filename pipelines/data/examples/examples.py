"""Examples of a study as their author gave them: nested x, y and sample weights, unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.data.array_types import Array
from pipelines.data.examples.example_form import PLACES, ExampleForm
from pipelines.data.examples.leaves import (
    LeafError,
    concatenate,
    count_rows,
    describe_leaf,
    is_leaf,
    load_leaf,
    read_leaf,
    save_leaf,
    take_rows,
    update_leaf_digest,
)
from pipelines.data.examples.structures import Structure, flatten, map_leaves, name_leaves, pack
from search_spaces.errors import InputError, Problem


@dataclass(frozen=True)
class Examples:
    """Rows of x, y and sample weights.

    Attributes:
        x: structure of leaves, see `leaves`.
        y: None where there are no targets; `sample_weight` likewise.
        batch_size: see `ExampleForm`.
    """

    x: Structure
    y: Structure = None
    sample_weight: Structure = None
    batch_size: int | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return count_rows(flatten(self.x)[0])

    def take(self, rows: Array | slice) -> Examples:
        """Return some of the rows."""
        return self.map(lambda leaf: take_rows(leaf, rows))

    def map(self, function: Any) -> Examples:
        """Return the examples with a function applied to each leaf."""
        x, y, weight = (
            None if each is None else map_leaves(function, each) for each in (self.x, self.y, self.sample_weight)
        )
        return Examples(x, y, weight, self.batch_size)

    def describe(self) -> ExampleForm:
        """Return the form of these rows."""
        x, y, weight = (None if each is None else _describe(each, place) for place, each in self._list_places())
        return ExampleForm(x, y, weight, self.batch_size)

    def save(self, stem: Path) -> None:
        """Write the rows to files whose names begin with `stem`; `load_examples` reads them."""
        for place, each in self._list_places():
            for index, leaf in enumerate(flatten(each) if each is not None else ()):
                save_leaf(_locate(stem, place, index), leaf)

    def update_digest(self, digest: Any) -> None:
        """Add form and values to a digest."""
        digest.update(repr(self.describe().to_json()).encode())
        for _, each in self._list_places():
            for leaf in flatten(each) if each is not None else ():
                update_leaf_digest(digest, leaf)

    def _list_places(self) -> tuple[tuple[str, Structure], ...]:
        return tuple((place, getattr(self, place)) for place in PLACES)


def load_examples(stem: Path, form: ExampleForm) -> Examples:
    """Return the rows that `Examples.save` wrote."""
    x, y, weight = (_load_structure(stem, place, getattr(form, place)) for place in PLACES)
    return Examples(x, y, weight, form.batch_size)


def read_examples(x: Any, y: Any, sample_weight: Any, name: str, key: str, batch_size: int | None = None) -> Examples:
    """Return examples of what a loader or a file gives.

    Args:
        x: array, table column, tensor, or a nested dict, list or tuple of these.
        y: targets likewise; None where there are none.
        sample_weight: weights likewise; None where all rows weigh alike.
        name: the source as the study names it.
        key: dotted key of the study file that names it.
        batch_size: see `ExampleForm`.

    Raises:
        InputError: if a value is no array of numbers or text, there are no rows, or lengths differ.
    """
    given = zip(PLACES, (x, y, sample_weight), strict=True)
    structures = [None if value is None else _read_structure(value, place, name, key) for place, value in given]
    read = Examples(structures[0], structures[1], structures[2], batch_size)
    _check_lengths(read, name, key)
    return read


def concatenate_examples(parts: Sequence[Examples]) -> Examples:
    """Return the rows of several examples of one form, one after the other."""
    first = parts[0]
    x, y, weight = (_concatenate([getattr(part, place) for part in parts]) for place in PLACES)
    return Examples(x, y, weight, first.batch_size)


def _concatenate(structures: Sequence[Structure]) -> Structure:
    if structures[0] is None:
        return None
    columns = zip(*map(flatten, structures), strict=True)
    return pack(structures[0], (concatenate(column) for column in columns))


def _load_structure(stem: Path, place: str, form: Structure) -> Structure:
    if form is None:
        return None
    return pack(form, (load_leaf(_locate(stem, place, index), leaf) for index, leaf in enumerate(flatten(form))))


def _read_structure(value: Any, place: str, name: str, key: str) -> Structure:
    if isinstance(value, dict):
        return {word: _read_structure(each, f"{place}[{word!r}]", name, key) for word, each in value.items()}
    # A list of arrays is several inputs, a list of numbers is one.
    if isinstance(value, list | tuple) and value and all(is_leaf(each) or isinstance(each, dict) for each in value):
        made = [_read_structure(each, f"{place}[{index}]", name, key) for index, each in enumerate(value)]
        return made if isinstance(value, list) else tuple(made)
    try:
        return read_leaf(value)
    except (LeafError, ValueError) as error:
        raise InputError(Problem(f"{place} of {name}: {error}", key)) from None


def _describe(structure: Structure, root: str) -> Structure:
    described = map(describe_leaf, name_leaves(structure, root), flatten(structure))
    return pack(structure, described)


def _check_lengths(read: Examples, name: str, key: str) -> None:
    if not flatten(read.x):
        raise InputError(Problem(f"{name} gives no x", key))
    lengths = {
        leaf_name if place == "x" else f"{place} {leaf_name}": count_rows(leaf)
        for place, each in read._list_places()
        if each is not None
        for leaf_name, leaf in zip(name_leaves(each, place), flatten(each), strict=True)
    }
    rows = read.rows
    if wrong := [f"{leaf} has {length}" for leaf, length in lengths.items() if length != rows]:
        first = next(iter(lengths))
        message = f"{first} of {name} has {rows} rows, but {', '.join(wrong)}; expected the same"
        raise InputError(Problem(message, key))
    if rows == 0:
        raise InputError(Problem(f"{name} has no rows", key))


def _locate(stem: Path, place: str, index: int) -> Path:
    return stem.with_name(f"{stem.name}.{place}.{index}")
