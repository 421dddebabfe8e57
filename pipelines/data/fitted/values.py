"""Fitted preprocessing of one fold as plain values: plan and statistics, from which rows are encoded or a model built.

`row_encoder` computes the outputs with NumPy, `pipelines.data.preprocessing` builds the Keras model that computes the
same. A contract test holds the two equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.columns.encoding import NumberPlan, Plan, StringPlan
from pipelines.data.columns.text_columns import TextPlan
from pipelines.data.fitted.word_splits import split_text
from pipelines.data.prepared import RawColumn
from pipelines.data.scratch import iterate_chunks
from pipelines.data.table_statistics import ColumnStatistics, NumberStatistics, TableStatistics, measure_numbers

_CHUNK_BYTES = 64 * 2**20  # chosen: memory of a chunk's values and their copies
_NO_WORD = {"string": "", "list": "\u00a0", "text": "!"}
"""Only word of a column whose fold has none, since a vocabulary of Keras needs one; of a text no row can have it."""

Moments = tuple[Array, Array]
"""Mean and standard deviation per channel."""
OutputForm = tuple[tuple[int, ...], str]
"""Shape of one row of an output, and its type."""


@dataclass(frozen=True)
class RawInput:
    """One raw input, as `RawColumn` has it."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32", "string"]


@dataclass(frozen=True)
class FittedTable:
    """Preprocessing of a table.

    Attributes:
        plan: the encoding of its columns.
        inputs: its columns.
        numbers: statistics of the plan's numbers; None where it has none.
        lists: statistics of each list of numbers, by column.
        words: categories of a column of strings, words of a list, or vocabulary of a text, in the order of their codes.
        image: moments of the column of pictures; None where there is none.
    """

    plan: Plan
    inputs: tuple[RawInput, ...]
    numbers: NumberStatistics | None = None
    lists: Mapping[int, NumberStatistics] = field(default_factory=dict)
    words: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    image: Moments | None = None

    @property
    def outputs(self) -> dict[str, OutputForm]:
        """Form of each output."""
        plan = self.plan
        forms: dict[str, OutputForm] = {}
        if plan.dense:
            forms["dense"] = (plan.dense,), "float32"
        if plan.coded:
            forms["codes"] = (len(plan.coded),), "int32"
        forms |= {name: ((text.length,), "int32") for name, text in plan.named_texts}
        if plan.image is not None and self.image is not None:
            forms["image"] = self.inputs[plan.image].shape, "float32"
        return forms


@dataclass(frozen=True)
class FittedArray:
    """Preprocessing of one array.

    Attributes:
        input: the array.
        output: name of the output; `dense` makes one row of features of each row.
        marked: per feature of a flat array, whether a column marks its missing values.
        numbers: statistics of its features, where it is flat.
        moments: moments of its channels, where it is standardised by these.
        pixels: scale and offset to pixels from 0 to 255, where it is not standardised.
    """

    input: RawInput
    output: str
    marked: tuple[bool, ...] = ()
    numbers: NumberStatistics | None = None
    moments: Moments | None = None
    pixels: tuple[float, float] | None = None

    @property
    def inputs(self) -> tuple[RawInput, ...]:
        """The one input."""
        return (self.input,)

    @property
    def plans(self) -> list[NumberPlan]:
        """Features of a flat array as columns of numbers."""
        return [NumberPlan(index, marks_missing) for index, marks_missing in enumerate(self.marked)]

    @property
    def outputs(self) -> dict[str, OutputForm]:
        """Form of its output."""
        shape = self.input.shape
        if self.numbers is not None:
            shape = (len(self.marked) + sum(self.marked),)
        elif self.output == "dense":
            shape = (int(np.prod(shape)),)
        return {self.output: (shape, "float32")}


@dataclass(frozen=True)
class DatePlan:
    """Channel of dates, of which a window holds the place in the year, the week and the day.

    Attributes:
        channel: its place among the numbers of a window.
        cycles: periods in days whose sine and cosine it becomes.
    """

    channel: int
    cycles: tuple[float, ...]


@dataclass(frozen=True)
class WordPlan:
    """Channel of categories, which becomes columns of 0 and 1; a missing or unknown one is 0 in all.

    Attributes:
        name: the raw input's name.
        codes: number of codes, 0 ("missing, or unknown from training") included.
        words: the categories in the order of their codes.
    """

    name: str
    codes: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class IdentityPlan:
    """Name of a window's series as a category.

    Attributes:
        name: the raw input's name.
        string: its encoding; one-hot makes dense features, others a code for an embedding.
        words: names of the series in the order of their codes; empty for hashes.
    """

    name: str
    string: StringPlan
    words: tuple[str, ...]


@dataclass(frozen=True)
class FittedWindows:
    """Preprocessing of windows with more than numbers in them.

    Attributes:
        inputs: numbers [time, channel], where there are any, then the categories of each channel [time], then the
            series' name.
        output: `series` [time, width], or `dense` for one row of features.
        plain: places of the channels that are standardised.
        moments: mean and standard deviation of each of these.
        dates: channels of dates.
        words: channels of categories.
        identity: name of the series; None where it is no input.
    """

    inputs: tuple[RawInput, ...]
    output: Literal["series", "dense"]
    plain: tuple[int, ...]
    moments: Moments
    dates: tuple[DatePlan, ...] = ()
    words: tuple[WordPlan, ...] = ()
    identity: IdentityPlan | None = None

    @property
    def width(self) -> int:
        """Number of features of each step."""
        dates = sum(2 * len(date.cycles) for date in self.dates)
        return len(self.plain) + dates + sum(plan.codes - 1 for plan in self.words)

    @property
    def outputs(self) -> dict[str, OutputForm]:
        """Form of each output."""
        steps, identity = self.inputs[0].shape[0], self.identity
        flat = 0 if identity is None or identity.string.encoding != "one_hot" else identity.string.codes - 1
        forms: dict[str, OutputForm] = {}
        if self.output == "series":
            forms["series"] = (steps, self.width), "float32"
        else:
            flat += steps * self.width
        if flat:
            forms["dense"] = (flat,), "float32"
        if identity is not None and identity.string.encoding != "one_hot":
            forms["codes"] = (1,), "int32"
        return forms


Fitted = FittedTable | FittedArray | FittedWindows
"""Preprocessing of one fold."""


def fit_columns(plan: Plan, columns: Sequence[Column], rows: Array) -> FittedTable:
    """Return the preprocessing of columns in memory, fitted to the training rows numbered `rows`."""
    image = None if plan.image is None else calculate_moments(columns[plan.image].values, rows)
    return fit_table(plan, [column.raw for column in columns], ColumnStatistics(columns, rows), image)


def fit_table(
    plan: Plan, raw: Sequence[RawColumn], statistics: TableStatistics, image: Moments | None = None
) -> FittedTable:
    """Return the preprocessing of a table.

    Args:
        plan: the encoding of its columns.
        raw: the columns.
        statistics: those of the training rows.
        image: moments of the column of pictures; None where there is none.
    """
    words = {
        each.column: _keep(statistics.list_categories(each.column), "string")
        for each in plan.strings
        if each.encoding != "hash"
    }
    words |= {each.column: _keep(statistics.list_commonest(each.column), "list") for each in plan.word_lists}
    words |= {each.column: _keep(_list_vocabulary(each, statistics), "text") for each in plan.texts}
    return FittedTable(
        plan,
        tuple(RawInput(column.name, column.shape, column.dtype) for column in raw),
        statistics.measure_numbers(plan.numbers) if plan.numbers else None,
        {each.column: statistics.measure_list(each) for each in plan.number_lists},
        words,
        image,
    )


def fit_array(name: str, array: Array, rows: Array, output: str, marked: Sequence[bool]) -> FittedArray:
    """Return the preprocessing of one array: standardised per feature, or per channel of a picture.

    Args:
        name: the raw input's name.
        array: all rows.
        rows: numbers of the training rows.
        output: `image`, `pixels` and `series` keep the shape; `dense` makes one row of features of it.
        marked: per feature of a flat array, whether a column marks its missing values.
    """
    source = RawInput(name, array.shape[1:], "float32")
    if array.ndim == 2:
        values = array[rows].astype(np.float64)
        values[~np.isfinite(values)] = np.nan
        plans = [NumberPlan(index, marks_missing) for index, marks_missing in enumerate(marked)]
        return FittedArray(source, output, tuple(marked), numbers=measure_numbers(values, plans))
    if output == "pixels":
        return FittedArray(source, "image", pixels=_find_pixel_scale(array, rows))
    return FittedArray(source, output, moments=calculate_moments(array, rows))


def calculate_moments(array: Array, rows: Array) -> Moments:
    """Return mean and standard deviation per channel, in chunks, so that images are never all float64."""
    channels = array.shape[-1]
    count, total, squares = np.zeros(channels), np.zeros(channels), np.zeros(channels)
    step = max(1, min(1024, _CHUNK_BYTES // max(1, 8 * int(np.prod(array.shape[1:])))))
    for start in range(0, len(rows), step):
        sums = _add_up_bytes if array.dtype == np.uint8 else _add_up
        added = sums(array[rows[start : start + step]], channels)
        count, total, squares = count + added[0], total + added[1], squares + added[2]
    count = np.maximum(count, 1)
    mean = total / count
    # Rounding can make the difference negative.
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))


def _add_up(piece: Array, channels: int) -> tuple[Array, Array, Array]:
    """Return number, sum and sum of squares of the finite values, per channel."""
    values = piece.reshape(-1, channels).astype(np.float64)
    known = np.isfinite(values)
    values = np.where(known, values, 0.0)
    return known.sum(axis=0), values.sum(axis=0), (values**2).sum(axis=0)


def _add_up_bytes(piece: Array, channels: int) -> tuple[Array, Array, Array]:
    """Return what `_add_up` returns: sums of bytes are exact in both, here in a tenth of the time."""
    pixels = piece.reshape(len(piece), -1)
    # A square of a byte has 16 bits.
    squares = np.square(pixels, dtype=np.uint16)
    sums = (each.sum(axis=0, dtype=np.uint64).reshape(-1, channels).sum(axis=0) for each in (pixels, squares))
    return np.full(channels, pixels.size // channels), *sums


def _keep(words: Sequence[str], kind: Literal["string", "list", "text"]) -> tuple[str, ...]:
    return tuple(words) or (_NO_WORD[kind],)


def _list_vocabulary(plan: TextPlan, statistics: TableStatistics) -> list[str]:
    """Return the commonest words of a column of text; of equally common ones the last of the alphabet first."""
    counts: Counter[str] = Counter()
    for texts in statistics.iterate_texts(plan.column):
        for start, stop in iterate_chunks(len(texts)):
            for text in texts[start:stop]:
                counts.update(split_text(text))
    # The order of Keras's `TextVectorization.adapt`.
    ordered = sorted(counts.items(), key=lambda item: (item[1], item[0]), reverse=True)
    return [word for word, _ in ordered[: plan.words - 2]]


def _find_pixel_scale(array: Array, rows: Array) -> tuple[float, float]:
    """Return scale and offset to pixels from 0 to 255, by the range of the training rows where they are no bytes."""
    is_bytes = array.dtype == np.uint8
    low, high = (0.0, 255.0) if is_bytes else (float(array[rows].min()), float(array[rows].max()))
    scale = 255.0 / (high - low) if high > low else 1.0
    return scale, -low * scale
