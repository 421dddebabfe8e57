"""Preprocessing as a Keras model of stock layers, so that a deployed model loads without kerastudy.

The model takes raw columns by name, [row] each, and returns what `prepared.Features` describes. Its values are those of
`fitted.values`, which `fitted.row_encoder` applies to rows without Keras: what changes here changes there. Only workers
import this module: it needs Keras.

Two choices may surprise. An inner model, whose names contain dots, does the work: Keras requires unique names in a
model, and a column may have the name of a layer. And `Rescaling` standardises numbers, not `Normalization`: the latter
squares the scale, which overflows float32 for columns beyond 1e19 and vanishes in its epsilon below 1e-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pipelines.data.array_types import Array
from pipelines.data.columns.encoding import NumberPlan, StringPlan
from pipelines.data.columns.list_columns import NumberListPlan, WordListPlan
from pipelines.data.columns.text_columns import TextPlan
from pipelines.data.fitted.scaling import find_scale
from pipelines.data.fitted.values import Fitted, FittedArray, FittedTable, FittedWindows, Moments, RawInput
from pipelines.data.table_statistics import NumberStatistics, find_heavy, list_units, plan_entries

NAME = "columns.preprocessing"


def build_preprocessing(fitted: Fitted) -> keras.Model:
    """Return the model that computes what `fitted.row_encoder.RowEncoder` does."""
    if isinstance(fitted, FittedWindows):
        return _build_windows(fitted)
    return _build_array(fitted) if isinstance(fitted, FittedArray) else _build_table(fitted)


def _build_table(fitted: FittedTable) -> keras.Model:
    plan = fitted.plan
    inputs = {each.name: _make_input(each, each.name) for each in fitted.inputs}
    inner = [_make_input(each, f"column.{index}") for index, each in enumerate(fitted.inputs)]
    dense = []
    if fitted.numbers is not None:
        stacked = ops.stack([inner[number.column] for number in plan.numbers], axis=-1)
        dense += _encode_numbers(stacked, plan.numbers, fitted.numbers, "numbers")
    codes = {each.column: _encode_strings(each, inner[each.column], fitted) for each in plan.strings}
    # Code 0 (missing or unknown from training) has no column: all columns are zero.
    dense += [ops.one_hot(codes[string.column], string.codes)[:, 1:] for string in plan.one_hot]
    lists: tuple[NumberListPlan | WordListPlan, ...] = (*plan.number_lists, *plan.word_lists)
    for each in lists:
        dense += _encode_list(each, inner[each.column], fitted)
    outputs = {}
    if plan.dense:
        outputs["dense"] = ops.concatenate(dense, axis=-1) if len(dense) > 1 else dense[0]
    if plan.coded:
        outputs["codes"] = ops.cast(ops.stack([codes[string.column] for string in plan.coded], axis=-1), "int32")
    for name, text in plan.named_texts:
        outputs[name] = _encode_text(text, inner[text.column], fitted)
    if plan.image is not None and fitted.image is not None:
        outputs["image"] = _standardise_channels(inner[plan.image], fitted.image, "image")
    encoded = keras.Model(inner, outputs, name="columns.encoded")
    return keras.Model(inputs, encoded(list(inputs.values())), name=NAME)


def _build_array(fitted: FittedArray) -> keras.Model:
    name = fitted.input.name
    inputs = {name: _make_input(fitted.input, name)}
    inner = _make_input(fitted.input, "array.values")
    if fitted.numbers is not None:
        parts = _encode_numbers(inner, fitted.plans, fitted.numbers, "numbers")
        result = ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
    elif fitted.pixels is not None:
        result = layers.Rescaling(*fitted.pixels, name="array.pixels")(inner)
    elif fitted.moments is not None:
        result = _standardise_channels(inner, fitted.moments, "array")
        if fitted.output == "dense":
            result = layers.Flatten(name="array.flat")(result)
    encoded = keras.Model(inner, {fitted.output: result}, name="array.encoded")
    return keras.Model(inputs, encoded(inputs[name]), name=NAME)


def _build_windows(fitted: FittedWindows) -> keras.Model:
    inputs = {each.name: _make_input(each, each.name) for each in fitted.inputs}
    inner = {each.name: _make_input(each, f"window.{at}") for at, each in enumerate(fitted.inputs)}
    parts = _encode_window_numbers(fitted, inner[fitted.inputs[0].name])
    for number, plan in enumerate(fitted.words):
        parts.append(_mark_words(list(plan.words), plan.codes, inner[plan.name], f"words.{number}"))
    steps = ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
    outputs, dense = {}, []
    if fitted.output == "series":
        outputs["series"] = steps
    else:
        dense.append(layers.Flatten(name="window.flat")(steps))
    if (identity := fitted.identity) is not None:
        name, codes = inner[identity.name], identity.string.codes
        if identity.string.encoding == "one_hot":
            dense.append(_mark_words(list(identity.words), codes, name, "identity"))
        else:
            outputs["codes"] = ops.expand_dims(ops.cast(_number_names(fitted, name), "int32"), -1)
    if dense:
        outputs["dense"] = ops.concatenate(dense, axis=-1) if len(dense) > 1 else dense[0]
    encoded = keras.Model(list(inner.values()), outputs, name="window.encoded")
    return keras.Model(inputs, encoded(list(inputs.values())), name=NAME)


def _encode_window_numbers(fitted: FittedWindows, values: Any) -> list[Any]:
    """Return the features of a window's numbers [row, time, width]; none where it has none."""
    parts = []
    if fitted.plain:
        parts.append(_standardise_channels(ops.take(values, list(fitted.plain), axis=-1), fitted.moments, "window"))
    for date in fitted.dates:
        days = values[:, :, date.channel : date.channel + 1]
        finite = ops.isfinite(days)
        filled, known = ops.where(finite, days, 0.0), ops.cast(finite, "float32")
        for cycle in date.cycles:
            angle = ops.mod(filled, cycle) * (2 * np.pi / cycle)
            parts += [ops.sin(angle) * known, ops.cos(angle) * known]
    return parts


def _number_names(fitted: FittedWindows, name: Any) -> Any:
    """Return the code of each series' name [row]."""
    assert fitted.identity is not None
    plan = fitted.identity.string
    if plan.encoding == "hash":
        return layers.Hashing(plan.codes, mask_value="", name="identity.codes")(name)
    words = list(fitted.identity.words)
    return layers.StringLookup(vocabulary=words, num_oov_indices=1, mask_token=None, name="identity.codes")(name)


def _mark_words(words: list[str], codes: int, tensor: Any, name: str) -> Any:
    """Return a column for each known word, float32 [..., word]."""
    lookup = layers.StringLookup(vocabulary=words, num_oov_indices=1, mask_token=None, name=f"{name}.codes")
    return ops.one_hot(lookup(tensor), codes)[..., 1:]


def _make_input(raw: RawInput, name: str) -> Any:
    return keras.Input(shape=raw.shape, dtype=raw.dtype, name=name)


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
    centred = _rescale(tensor, np.ones(len(mean)), -mean, f"{name}.centred")
    return _rescale(centred, find_scale(mean, spread), np.zeros(len(mean)), name)


def _rescale(tensor: Any, scale: Array, offset: Array, name: str) -> Any:
    return layers.Rescaling(scale.tolist(), offset.tolist(), name=name)(tensor)


def _encode_strings(plan: StringPlan, tensor: Any, fitted: FittedTable) -> Any:
    name = f"column.{plan.column}.codes"
    if plan.encoding == "hash":
        return layers.Hashing(plan.codes, mask_value="", name=name)(tensor)
    words = list(fitted.words[plan.column])
    return layers.StringLookup(vocabulary=words, num_oov_indices=1, mask_token=None, name=name)(tensor)


def _encode_text(plan: TextPlan, tensor: Any, fitted: FittedTable) -> Any:
    kept = fitted.words[plan.column]
    words = layers.TextVectorization(
        # A column without a word has one that no row can have.
        max_tokens=max(plan.words, len(kept) + 2),
        output_sequence_length=plan.length,
        name=f"column.{plan.column}.words",
    )
    # Not an argument, which would put the words into the model's configuration.
    words.set_vocabulary(np.array(kept, dtype=object))
    return ops.cast(words(tensor), "int32")


def _encode_list(plan: NumberListPlan | WordListPlan, tensor: Any, fitted: FittedTable) -> list[Any]:
    name = f"column.{plan.column}"
    if isinstance(plan, NumberListPlan):
        return _encode_numbers(tensor, plan_entries(plan), fitted.lists[plan.column], name)
    bag = layers.TextVectorization(
        max_tokens=plan.codes,
        standardize=None,
        output_mode="multi_hot",
        pad_to_max_tokens=True,
        vocabulary=list(fitted.words[plan.column]),
        name=f"{name}.words",
    )
    # The first place is that of words unknown from training.
    return [ops.cast(bag(tensor), "float32")[:, 1:]]


def _standardise_channels(tensor: Any, moments: Moments, name: str) -> Any:
    mean, spread = moments
    # A missing value of a series becomes its channel's mean, 0 once standardised; pictures have none.
    filled = ops.where(ops.isfinite(tensor), tensor, ops.convert_to_tensor(mean.astype(np.float32)))
    return _standardise(filled, mean, spread, f"{name}.standardised")
