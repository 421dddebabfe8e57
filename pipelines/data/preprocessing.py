"""Preprocessing as a Keras model of stock layers, so that a deployed model loads without kerastudy.

The model takes raw columns by name, [row] each, and returns what `prepared.Features` describes. Only workers import
this module: it needs Keras.

Two choices may surprise. An inner model, whose names contain dots, does the work: Keras requires unique names in a
model, and a column may have the name of a layer. And `Rescaling` standardises numbers, not `Normalization`: the latter
squares the scale, which overflows float32 for columns beyond 1e19 and vanishes in its epsilon below 1e-7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.columns.encoding import NumberPlan, Plan, StringPlan
from pipelines.data.columns.list_columns import NumberListPlan, WordListPlan
from pipelines.data.columns.text_columns import TextPlan
from pipelines.data.prepared import RawColumn
from pipelines.data.table_statistics import (
    ColumnStatistics,
    NumberStatistics,
    TableStatistics,
    find_heavy,
    list_units,
    measure_numbers,
    plan_entries,
)

NAME = "columns.preprocessing"
_CHUNK_BYTES = 64 * 2**20  # chosen: memory of a chunk's values and their copies


def build_table(plan: Plan, columns: Sequence[Column], rows: Array) -> keras.Model:
    """Return the preprocessing of a table, adapted to the training rows numbered `rows`."""
    raw = [column.raw for column in columns]
    image = None if plan.image is None else calculate_moments(columns[plan.image].values, rows)
    return build_from_statistics(plan, raw, ColumnStatistics(columns, rows), image)


def build_from_statistics(
    plan: Plan, raw: Sequence[RawColumn], statistics: TableStatistics, image: tuple[Array, Array] | None = None
) -> keras.Model:
    """Return the preprocessing of a table.

    Args:
        plan: the encoding of its columns.
        raw: the columns, as the model's inputs.
        statistics: those of the training rows.
        image: mean and standard deviation per channel of the column of pictures; None where there is none.
    """
    inputs = {column.name: _make_input(column.name, column.shape, column.dtype) for column in raw}
    inner = [_make_input(f"column.{index}", column.shape, column.dtype) for index, column in enumerate(raw)]
    dense = []
    if plan.numbers:
        stacked = ops.stack([inner[number.column] for number in plan.numbers], axis=-1)
        dense += _encode_numbers(stacked, plan.numbers, statistics.measure_numbers(plan.numbers), "numbers")
    codes = {each.column: _encode_strings(each, inner[each.column], statistics) for each in plan.strings}
    # Code 0 (missing or unknown from training) has no column: all columns are zero.
    dense += [ops.one_hot(codes[string.column], string.codes)[:, 1:] for string in plan.one_hot]
    lists: tuple[NumberListPlan | WordListPlan, ...] = (*plan.number_lists, *plan.word_lists)
    for each in lists:
        dense += _encode_list(each, inner[each.column], statistics)
    outputs = {}
    if plan.dense:
        outputs["dense"] = ops.concatenate(dense, axis=-1) if len(dense) > 1 else dense[0]
    if plan.coded:
        outputs["codes"] = ops.cast(ops.stack([codes[string.column] for string in plan.coded], axis=-1), "int32")
    for name, text in plan.named_texts:
        outputs[name] = _encode_text(text, inner[text.column], statistics)
    if plan.image is not None and image is not None:
        outputs["image"] = _standardise_channels(inner[plan.image], image, "image")
    encoded = keras.Model(inner, outputs, name="columns.encoded")
    return keras.Model(inputs, encoded(list(inputs.values())), name=NAME)


def build_array(name: str, array: Array, rows: Array, output: str, marked: Sequence[bool]) -> keras.Model:
    """Return the preprocessing of one array: standardised per feature, or per channel of a picture.

    Args:
        name: the raw input's name.
        array: all rows.
        rows: numbers of the training rows.
        output: `image`, `pixels` and `series` keep the shape; `dense` makes one row of features of it.
        marked: per feature of a flat array, whether a column marks its missing values.
    """
    shape = array.shape[1:]
    inputs = {name: _make_input(name, shape, "float32")}
    inner = _make_input("array.values", shape, "float32")
    if len(shape) == 1:
        values = array[rows].astype(np.float64)
        values[~np.isfinite(values)] = np.nan
        plans = [NumberPlan(index, marks_missing) for index, marks_missing in enumerate(marked)]
        parts = _encode_numbers(inner, plans, measure_numbers(values, plans), "numbers")
        result = ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
    elif output == "pixels":
        output, result = "image", _scale_pixels(inner, array, rows)
    else:
        result = _standardise_channels(inner, calculate_moments(array, rows), "array")
        if output == "dense":
            result = layers.Flatten(name="array.flat")(result)
    encoded = keras.Model(inner, {output: result}, name="array.encoded")
    return keras.Model(inputs, encoded(inputs[name]), name=NAME)


def apply(model: keras.Model, raw: Mapping[str, Array], write: Any) -> None:
    """Apply preprocessing to rows in chunks.

    Args:
        model: a preprocessing model.
        raw: all its inputs, [row, ...].
        write: called as `write(start, name, values)` with the outputs of the rows from `start` on.
    """
    rows = len(next(iter(raw.values())))
    # Times 8: a guess at the copies that the layers make of a row.
    row_bytes = sum(max(8, values[:1].nbytes) for values in raw.values()) * 8
    chunk = max(1, min(8192, _CHUNK_BYTES // row_bytes))
    for start in range(0, rows, chunk):
        piece = {name: make_tensor(values[start : start + chunk]) for name, values in raw.items()}
        for name, values in model(piece, training=False).items():
            write(start, name, values.numpy())


def make_tensor(values: Array) -> tf.Tensor:
    """Return raw values as a tensor; Keras refuses NumPy's strings."""
    if values.dtype.kind in "OU":
        return tf.constant(values.tolist(), dtype=tf.string, shape=values.shape)
    return tf.constant(values, dtype=tf.float32)


def _make_input(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    return keras.Input(shape=shape, dtype=dtype, name=name)


def _encode_numbers(stacked: Any, plans: Sequence[NumberPlan], found: NumberStatistics, name: str) -> list[Any]:
    """Return the dense features of columns of numbers, given as one tensor [row, column] and its statistics."""
    finite = ops.isfinite(stacked)
    filled = ops.where(finite, stacked, ops.convert_to_tensor(found.fill.astype(np.float32)))
    parts = [_standardise(filled, found.mean, found.spread, f"{name}.standardised")]
    if heavy := find_heavy(plans):
        parts.append(_encode_logarithms(ops.take(filled, heavy, axis=1), found, list_units(plans)))
    marked = [index for index, plan in enumerate(plans) if plan.marks_missing]
    if marked:
        parts.append(ops.cast(ops.logical_not(ops.take(finite, marked, axis=1)), "float32"))
    for cycle in sorted({cycle for plan in plans for cycle in plan.cycles}):
        dates = [index for index, plan in enumerate(plans) if cycle in plan.cycles]
        # The remainder first: float32 has few digits left for the angle of 20,000 days.
        angle = ops.mod(ops.take(filled, dates, axis=1), cycle) * (2 * np.pi / cycle)
        parts += [ops.sin(angle), ops.cos(angle)]
    return parts


def _encode_logarithms(tensor: Any, found: NumberStatistics, units: Array) -> Any:
    scaled = _rescale(tensor, 1 / units, np.zeros(len(units)), "numbers.in_units")
    logs = ops.sign(scaled) * ops.log1p(ops.abs(scaled))
    return _standardise(logs, found.log_mean, found.log_spread, "numbers.logarithm")


def _standardise(tensor: Any, mean: Array, spread: Array, name: str) -> Any:
    """Return (tensor - mean) / spread; a constant column is 0 in training rows.

    The mean is subtracted first: float32 loses a date's hours if 20,000 days are scaled before they are centred.
    """
    # A spread below float32's resolution of the mean is rounding: such a column is constant.
    scale = 1 / np.where(spread > np.maximum(np.abs(mean) * 1e-7, 1e-30), spread, 1.0)
    centred = _rescale(tensor, np.ones(len(mean)), -mean, f"{name}.centred")
    return _rescale(centred, scale, np.zeros(len(mean)), name)


def _rescale(tensor: Any, scale: Array, offset: Array, name: str) -> Any:
    return layers.Rescaling(scale.tolist(), offset.tolist(), name=name)(tensor)


def _scale_pixels(tensor: Any, array: Array, rows: Array) -> Any:
    """Return pixels from 0 to 255, by the range of the training rows where they are no bytes."""
    is_bytes = array.dtype == np.uint8
    low, high = (0.0, 255.0) if is_bytes else (float(array[rows].min()), float(array[rows].max()))
    scale = 255.0 / (high - low) if high > low else 1.0
    return layers.Rescaling(scale, -low * scale, name="array.pixels")(tensor)


def _encode_strings(plan: StringPlan, tensor: Any, statistics: TableStatistics) -> Any:
    name = f"column.{plan.column}.codes"
    if plan.encoding == "hash":
        return layers.Hashing(plan.codes, mask_value="", name=name)(tensor)
    # A fold may have no category at all; a lookup needs at least one word.
    words = statistics.list_categories(plan.column) or [""]
    lookup = layers.StringLookup(vocabulary=words, num_oov_indices=1, mask_token=None, name=name)
    return lookup(tensor)


def _encode_text(plan: TextPlan, tensor: Any, statistics: TableStatistics) -> Any:
    words = layers.TextVectorization(
        max_tokens=plan.words, output_sequence_length=plan.length, name=f"column.{plan.column}.words"
    )
    # As `adapt` does with all rows at once.
    for texts in statistics.iterate_texts(plan.column):
        words.update_state(make_tensor(texts)[:, None])
    words.finalize_state()
    return ops.cast(words(tensor), "int32")


def _encode_list(plan: NumberListPlan | WordListPlan, tensor: Any, statistics: TableStatistics) -> list[Any]:
    name = f"column.{plan.column}"
    if isinstance(plan, NumberListPlan):
        return _encode_numbers(tensor, plan_entries(plan), statistics.measure_list(plan), name)
    # A fold may have no word at all; a vocabulary needs one.
    bag = layers.TextVectorization(
        max_tokens=plan.codes,
        standardize=None,
        output_mode="multi_hot",
        pad_to_max_tokens=True,
        vocabulary=statistics.list_commonest(plan.column) or ["\u00a0"],
        name=f"{name}.words",
    )
    # The first place is that of words unknown from training.
    return [ops.cast(bag(tensor), "float32")[:, 1:]]


def _standardise_channels(tensor: Any, moments: tuple[Array, Array], name: str) -> Any:
    mean, spread = moments
    # A missing value of a series becomes its channel's mean, 0 once standardised; pictures have none.
    filled = ops.where(ops.isfinite(tensor), tensor, ops.convert_to_tensor(mean.astype(np.float32)))
    return _standardise(filled, mean, spread, f"{name}.standardised")


def calculate_moments(array: Array, rows: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation per channel, in chunks, so that images are never all float64."""
    channels = array.shape[-1]
    count, total, squares = np.zeros(channels), np.zeros(channels), np.zeros(channels)
    step = max(1, min(1024, _CHUNK_BYTES // max(1, 8 * int(np.prod(array.shape[1:])))))
    for start in range(0, len(rows), step):
        piece = array[rows[start : start + step]].reshape(-1, channels).astype(np.float64)
        known = np.isfinite(piece)
        piece = np.where(known, piece, 0.0)
        count, total, squares = count + known.sum(axis=0), total + piece.sum(axis=0), squares + (piece**2).sum(axis=0)
    count = np.maximum(count, 1)
    mean = total / count
    # Rounding can make the difference negative.
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))
