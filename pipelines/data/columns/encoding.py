"""The encoding plan of a table: the shape of each column's features, the same for all folds.

Shapes depend on all rows that any fold trains on, never on test rows, so the model's inputs are the same in all folds.
The state of the layers (means, categories) comes from the training rows of one fold.

* Numbers, booleans and dates: missing values become the training median, with a column that marks them if training
  rows have missing values; then standardised. A heavy-tailed number (skewness beyond 2) also gets a copy on a
  signed logarithmic scale. A date adds its place in the year and in the week, and in the day if it has times.
  A longitude of a table that covers much of the earth adds its sine and cosine (see `places`).
* Text: numbers of its words (see `text_columns`).
* Lists: each number as a column of numbers, each word as a column of zeros and ones (see `list_columns`).
* A picture: standardised per channel.
* Strings of at most 50 categories: one column each (one-hot); of at most 2,000: a code for an embedding; more: hashed
  to 4,096 codes. A missing string, or one unknown from training, sets no column or has code 0.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.columns.list_columns import (
    NumberListPlan,
    WordListPlan,
    note_words,
    plan_number_list,
    plan_word_list,
)
from pipelines.data.columns.places import DEGREES, find_longitudes, is_latitude, is_longitude
from pipelines.data.columns.text_columns import TextPlan, plan_text
from pipelines.spec.data_spec import DataSpec
from tracking.mlflow.cell_values import CellForm

ONE_HOT_MOST = 50
EMBEDDING_MOST = 2_000
HASH_CODES = 4_096
HEAVY_SKEW = 2.0
HEAVY_DISTINCT = 10  # fewer distinct values are grades or counts, with no tail to compress
DAY_CYCLES = (365.2425, 7.0, 1.0)  # days: a mean Gregorian year, a week, a day
StringEncoding = Literal["one_hot", "embedding", "hash"]


@dataclass(frozen=True)
class NumberPlan:
    """One column of numbers, booleans or dates.

    Attributes:
        column: its index among the columns.
        marks_missing: whether a column of zeros and ones marks its missing values.
        log_unit: the signed logarithm is of the value divided by this; None where there is no such copy.
        cycles: periods whose sine and cosine are added, in days of a date and in degrees of a longitude.
    """

    column: int
    marks_missing: bool
    log_unit: float | None = None
    cycles: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Number of its dense features."""
        return 1 + self.marks_missing + (self.log_unit is not None) + 2 * len(self.cycles)


@dataclass(frozen=True)
class StringPlan:
    """One column of strings.

    Attributes:
        column: its index among the columns.
        codes: number of codes, 0 ("missing, or unknown from training") included.
    """

    column: int
    encoding: StringEncoding
    codes: int


@dataclass(frozen=True)
class Plan:
    """All columns of a table, in the order in which their features are laid out."""

    numbers: tuple[NumberPlan, ...]
    strings: tuple[StringPlan, ...]
    texts: tuple[TextPlan, ...] = ()
    number_lists: tuple[NumberListPlan, ...] = ()
    word_lists: tuple[WordListPlan, ...] = ()
    image: int | None = None

    @property
    def one_hot(self) -> tuple[StringPlan, ...]:
        """Strings that become dense features."""
        return tuple(plan for plan in self.strings if plan.encoding == "one_hot")

    @property
    def coded(self) -> tuple[StringPlan, ...]:
        """Strings that become codes."""
        return tuple(plan for plan in self.strings if plan.encoding != "one_hot")

    @property
    def named_texts(self) -> tuple[tuple[str, TextPlan], ...]:
        """Columns of text with the names of their inputs."""
        return tuple((f"text_{number}", plan) for number, plan in enumerate(self.texts, start=1))

    @property
    def dense(self) -> int:
        """Width of the dense features."""
        numbers = sum(plan.width for plan in self.numbers) + sum(plan.width for plan in self.number_lists)
        words = sum(plan.codes - 1 for plan in self.one_hot) + sum(plan.codes - 1 for plan in self.word_lists)
        return numbers + words

    def list_notes(self, columns: Sequence[Column]) -> list[str]:
        """Return a note for each longitude, and for each column of lists that has more words than features."""
        round_ones = [columns[plan.column].name for plan in self.numbers if DEGREES in plan.cycles]
        notes = (note_words(plan, columns[plan.column].name) for plan in self.word_lists)
        return [*map(_note_longitude, round_ones), *(note for note in notes if note)]


def plan_table(columns: Sequence[Column], training: Sequence[Array], spec: DataSpec) -> Plan:
    """Return the encoding of a table.

    Args:
        columns: the feature columns, all rows.
        training: per fold the numbers of its training rows.
        spec: the study file's `data`, for chosen encodings.
    """
    numbers: list[NumberPlan] = []
    strings: list[StringPlan] = []
    texts: list[TextPlan] = []
    number_lists: list[NumberListPlan] = []
    word_lists: list[WordListPlan] = []
    image = next((index for index, column in enumerate(columns) if column.kind == "image"), None)
    longitudes = _find_longitudes(columns, np.unique(np.concatenate(training)), spec)
    for index, column in enumerate(columns):
        chosen = spec.columns.get(column.name)
        if column.kind == "text":
            texts.append(plan_text(index, column.values, training, chosen))
        elif column.kind == "number_list":
            number_lists.append(plan_number_list(index, column.values, training))
        elif column.kind == "word_list":
            word_lists.append(plan_word_list(index, column.values, training))
        elif column.kind == "string":
            strings.append(_plan_string(index, column.values, training, chosen.encoding if chosen else None))
        elif column.kind != "image":
            number = _plan_number(index, column, training)
            numbers.append(replace(number, cycles=(DEGREES,)) if column.name in longitudes else number)
    return Plan(tuple(numbers), tuple(strings), tuple(texts), tuple(number_lists), tuple(word_lists), image)


def describe_encodings(plan: Plan, columns: Sequence[Column]) -> dict[str, str]:
    """Return a description of each column's encoding, by column name."""
    words: dict[str, str] = {}
    for number in plan.numbers:
        parts = ["standardised"]
        if number.marks_missing:
            parts.append("missing filled with the median and marked")
        if number.log_unit is not None:
            parts.append("with a copy on a signed logarithmic scale")
        if number.cycles:
            parts.append(f"with its place in the {describe_cycles(number.cycles)}")
        column = columns[number.column]
        words[column.name] = f"{column.kind}: {', '.join(parts)}"
    for string in plan.strings:
        how = {"one_hot": "one-hot of", "embedding": "embedding of", "hash": "embedding of hashes to"}[string.encoding]
        count = f"{string.codes} codes" if string.encoding == "hash" else f"{string.codes - 1} categories"
        words[columns[string.column].name] = f"string: {how} {count}"
    for text in plan.texts:
        words[columns[text.column].name] = f"text: the first {text.length} words, of a vocabulary of {text.words}"
    for numbers in plan.number_lists:
        marked = ", missing filled with the median and marked" if any(numbers.marked) else ""
        words[columns[numbers.column].name] = f"list: {len(numbers.marked)} numbers, each standardised{marked}"
    for bag in plan.word_lists:
        words[columns[bag.column].name] = f"list: which of {bag.codes - 1} words it has"
    if plan.image is not None:
        height, width, channels = columns[plan.image].values.shape[1:]
        words[columns[plan.image].name] = f"image: {height} x {width} x {channels}, standardised per channel"
    return {column.name: words[column.name] for column in columns}


def describe_cycles(cycles: Sequence[float]) -> str:
    """Return the periods in which the place of a date or a longitude is a feature, in words."""
    names = {DEGREES: "circle", DAY_CYCLES[0]: "year", DAY_CYCLES[1]: "week", DAY_CYCLES[2]: "day"}
    return ", ".join(names[cycle] for cycle in cycles)


def may_be_place(name: str, kind: str, spec: DataSpec) -> bool:
    """Return whether a column's name is that of a latitude or a longitude, and its type was found and not set."""
    chosen = spec.columns.get(name)
    is_found = kind == "numeric" and (chosen is None or chosen.type is None)
    return is_found and (is_latitude(name) or is_longitude(name))


def _find_longitudes(columns: Sequence[Column], rows: Array, spec: DataSpec) -> Collection[str]:
    ranges = dict[str, tuple[float, float]]()
    for column in columns:
        if not may_be_place(column.name, column.kind, spec):
            continue
        known = _select_known(column.values[rows])
        if len(known):
            ranges[column.name] = float(known.min()), float(known.max())
    return find_longitudes(ranges)


def _note_longitude(name: str) -> str:
    return (
        f'column "{name}" holds longitudes from all over the earth, so its sine and cosine are features too: -180 is '
        f"180; to leave it a number alone, set data.columns.{name}.type: numeric"
    )


def mark_missing(values: Array, training: Sequence[Array]) -> Array:
    """Return per feature of [row, ...] whether it is missing in a row that any fold trains on."""
    # With folds, the training rows of all folds: the model's inputs must not differ between them.
    rows = np.unique(np.concatenate(training))
    return ~np.isfinite(values[rows]).all(axis=0)  # type: ignore[no-any-return]


def calculate_median(values: Array) -> float:
    """Return the median of the finite values; 0 if there is none."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0


def _plan_number(index: int, column: Column, training: Sequence[Array]) -> NumberPlan:
    marks_missing = bool(mark_missing(column.values, training))
    known = _select_known(column.values[np.unique(np.concatenate(training))])
    if column.kind == "date":
        has_times = bool((np.mod(known, 1) != 0).any())
        return NumberPlan(index, marks_missing, cycles=list_cycles(column.form, has_times=has_times))
    heavy = (
        column.kind == "numeric"
        and len(np.unique(known)) >= HEAVY_DISTINCT
        and abs(_calculate_skew(known)) > HEAVY_SKEW
    )
    return NumberPlan(index, marks_missing, _choose_log_unit(known) if heavy else None)


def list_cycles(form: CellForm, *, has_times: bool) -> tuple[float, ...]:
    """Return the periods in which a date's place is a feature."""
    return DAY_CYCLES[2:] if form.is_time else DAY_CYCLES if has_times else DAY_CYCLES[:2]


def _plan_string(index: int, values: Array, training: Sequence[Array], chosen: StringEncoding | None) -> StringPlan:
    # The fold with most categories decides: all folds share the shape of the model's input.
    return make_string_plan(index, max(len(list_categories(values[rows])) for rows in training), chosen)


def make_string_plan(index: int, most: int, chosen: StringEncoding | None) -> StringPlan:
    """Return the encoding of a column of so many categories."""
    encoding: StringEncoding = chosen or (
        "one_hot" if most <= ONE_HOT_MOST else "embedding" if most <= EMBEDDING_MOST else "hash"
    )
    return StringPlan(index, encoding, HASH_CODES if encoding == "hash" else most + 1)


def list_categories(values: Array) -> list[str]:
    """Return the distinct strings without the missing one, in a fixed order."""
    return sorted(set(values.tolist()) - {""})


def _select_known(values: Array) -> Array:
    return values[np.isfinite(values)]


def _calculate_skew(values: Array) -> float:
    """Return the third standardised moment, 0 for a constant."""
    spread = values.std()
    return float((((values - values.mean()) / spread) ** 3).mean()) if spread > 0 else 0.0


def _choose_log_unit(values: Array) -> float:
    """Return the unit of the logarithmic scale: the 5 % quantile of the absolute values other than 0."""
    # Nearly all values are then beyond one unit, where log(1 + x) is logarithmic; below it is linear.
    return float(np.quantile(np.abs(values[values != 0]), 0.05))
