"""Outputs of a fitted preprocessing, computed with NumPy: those of its Keras model, without loading Keras.

Arithmetic is that of the model's layers, in float32 and in their order, so that most outputs are equal to the bit.
Logarithms, sines and cosines are rounded from float64, and differ from TensorFlow's by a few units in the last place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.encoding import NumberPlan, StringPlan
from pipelines.data.columns.list_columns import WordListPlan
from pipelines.data.columns.text_columns import TextPlan
from pipelines.data.fitted.scaling import find_scale
from pipelines.data.fitted.string_hash import choose_codes
from pipelines.data.fitted.values import Fitted, FittedArray, FittedTable, FittedWindows, Moments
from pipelines.data.fitted.word_splits import split_list, split_text
from pipelines.data.table_statistics import NumberStatistics, find_heavy, list_units, plan_entries

_CHUNK_BYTES = 64 * 2**20  # chosen: memory of a chunk's values and their copies
_UNKNOWN = "[UNK]"


class RowEncoder:
    """Encoder of raw rows by a fitted preprocessing."""

    def __init__(self, fitted: Fitted) -> None:
        self._fitted = fitted
        # Of a text code 1 is an unknown word, and 0 no word; elsewhere 0 is what training did not have.
        texts = {plan.column for plan in fitted.plan.texts} if isinstance(fitted, FittedTable) else set()
        words = fitted.words if isinstance(fitted, FittedTable) else {}
        self._codes = {column: _number_words(each, 2 if column in texts else 1) for column, each in words.items()}

    def encode(self, raw: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs of some rows, by name.

        Args:
            raw: all inputs [row, ...] by name: numbers or pixels, strings "" where missing.
        """
        # A value too far for float32 becomes infinite, as in the model.
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            if isinstance(self._fitted, FittedArray):
                return _encode_array(self._fitted, raw[self._fitted.input.name])
            if isinstance(self._fitted, FittedWindows):
                return _encode_windows(self._fitted, raw)
            return self._encode_table(self._fitted, [raw[column.name] for column in self._fitted.inputs])

    def iterate(self, raw: Mapping[str, Array]) -> Iterator[tuple[int, dict[str, Array]]]:
        """Yield the number of the first row and the outputs, some rows at a time."""
        rows = len(next(iter(raw.values())))
        # Times 8: a guess at the copies of a row.
        row_bytes = sum(max(8, values[:1].nbytes) for values in raw.values()) * 8
        chunk = max(1, min(8192, _CHUNK_BYTES // row_bytes))
        for start in range(0, rows, chunk):
            yield start, self.encode({name: values[start : start + chunk] for name, values in raw.items()})

    def _encode_table(self, fitted: FittedTable, columns: Sequence[Array]) -> dict[str, Array]:
        plan, dense = fitted.plan, list[Array]()
        if fitted.numbers is not None:
            stacked = np.stack([columns[number.column] for number in plan.numbers], axis=-1).astype(np.float32)
            dense += _encode_numbers(stacked, plan.numbers, fitted.numbers)
        codes = {each.column: self._encode_strings(each, columns[each.column]) for each in plan.strings}
        # Code 0 has no column: all columns are zero.
        dense += [_mark_codes(codes[each.column], each.codes)[:, 1:] for each in plan.one_hot]
        for numbers in plan.number_lists:
            values = columns[numbers.column].astype(np.float32)
            dense += _encode_numbers(values, plan_entries(numbers), fitted.lists[numbers.column])
        dense += [self._encode_words(each, columns[each.column]) for each in plan.word_lists]
        outputs = {}
        if plan.dense:
            outputs["dense"] = np.concatenate(dense, axis=-1)
        if plan.coded:
            outputs["codes"] = np.stack([codes[each.column] for each in plan.coded], axis=-1).astype(np.int32)
        for name, text in plan.named_texts:
            outputs[name] = self._encode_text(text, columns[text.column])
        if plan.image is not None and fitted.image is not None:
            outputs["image"] = _standardise_channels(columns[plan.image], fitted.image)
        return outputs

    def _encode_strings(self, plan: StringPlan, values: Array) -> Array:
        # Each distinct string once: they are few in most columns.
        places, distinct = pd.factorize(values)
        if plan.encoding == "hash":
            return choose_codes(distinct, plan.codes)[places]
        known = self._codes[plan.column]
        return np.array([known.get(word, 0) for word in distinct], dtype=np.int64)[places]

    def _encode_text(self, plan: TextPlan, values: Array) -> Array:
        known, found = self._codes[plan.column], np.zeros((len(values), plan.length), np.int32)
        for row, text in enumerate(values):
            words = split_text(text)[: plan.length]
            found[row, : len(words)] = [known.get(word, 1) for word in words]
        return found

    def _encode_words(self, plan: WordListPlan, values: Array) -> Array:
        known, found = self._codes[plan.column], np.zeros((len(values), plan.codes), np.float32)
        for row, joined in enumerate(values):
            found[row, [known.get(word, 0) for word in split_list(joined)]] = 1.0
        # The first place is that of words unknown from training.
        return found[:, 1:]


def _number_words(words: Sequence[str], first: int) -> dict[str, int]:
    # Keras takes its own word for "unknown" off a vocabulary that begins with it.
    kept = words[1:] if first == 1 and words[0] == _UNKNOWN else words
    return {word: code for code, word in enumerate(kept, start=first)}


def _encode_array(fitted: FittedArray, values: Array) -> dict[str, Array]:
    values = values.astype(np.float32)
    if fitted.numbers is not None:
        result = np.concatenate(_encode_numbers(values, fitted.plans, fitted.numbers), axis=-1)
    elif fitted.pixels is not None:
        scale, offset = fitted.pixels
        result = values * np.float32(scale) + np.float32(offset)
    elif fitted.moments is not None:
        result = _standardise_channels(values, fitted.moments)
        if fitted.output == "dense":
            result = result.reshape(len(values), -1)
    return {fitted.output: result}


def _encode_windows(fitted: FittedWindows, raw: Mapping[str, Array]) -> dict[str, Array]:
    parts, rows = list[Array](), len(raw[fitted.inputs[0].name])
    if fitted.plain or fitted.dates:
        values = raw[fitted.inputs[0].name].astype(np.float32)
        if fitted.plain:
            parts.append(_standardise_channels(values[..., list(fitted.plain)], fitted.moments))
        parts += [part for date in fitted.dates for part in _encode_cycles(values[..., date.channel], date.cycles)]
    parts += [_mark_words(plan.words, plan.codes, raw[plan.name]) for plan in fitted.words]
    steps = np.concatenate(parts, axis=-1)
    outputs, dense = dict[str, Array](), list[Array]()
    if fitted.output == "series":
        outputs["series"] = steps
    else:
        dense.append(steps.reshape(rows, -1))
    if (identity := fitted.identity) is not None:
        names, plan = raw[identity.name], identity.string
        if plan.encoding == "one_hot":
            dense.append(_mark_words(identity.words, plan.codes, names))
        else:
            is_hashed = plan.encoding == "hash"
            codes = choose_codes(names, plan.codes) if is_hashed else _find_codes(identity.words, names)
            outputs["codes"] = np.asarray(codes).reshape(rows, 1).astype(np.int32)
    return {**outputs, **({"dense": np.concatenate(dense, axis=-1)} if dense else {})}


def _encode_cycles(days: Array, cycles: Sequence[float]) -> list[Array]:
    """Return sine and cosine of dates in each cycle [row, time, 1]; 0 where a date is missing."""
    finite = np.isfinite(days)
    filled, parts = np.where(finite, days, np.float32(0)), list[Array]()
    for cycle in cycles:
        angle = np.mod(filled, np.float32(cycle)) * np.float32(2 * np.pi / cycle)
        for function in (np.sin, np.cos):
            parts.append((_round_from_float64(function, angle) * finite.astype(np.float32))[..., None])
    return parts


def _mark_words(words: Sequence[str], codes: int, values: Array) -> Array:
    """Return a column for each known word, float32 [..., word]."""
    found: Array = np.eye(codes, dtype=np.float32)[_find_codes(words, values)][..., 1:]
    return found


def _find_codes(words: Sequence[str], values: Array) -> Array:
    known = _number_words(words, 1)
    places, distinct = pd.factorize(np.asarray(values, dtype=object).reshape(-1))
    return np.array([known.get(word, 0) for word in distinct], dtype=np.int64)[places].reshape(values.shape)


def _encode_numbers(stacked: Array, plans: Sequence[NumberPlan], found: NumberStatistics) -> list[Array]:
    """Return the dense features of columns of numbers, float32 [row, column]."""
    finite = np.isfinite(stacked)
    filled = np.where(finite, stacked, found.fill.astype(np.float32))
    parts = [_standardise(filled, found.mean, found.spread)]
    if heavy := find_heavy(plans):
        scaled = filled[:, heavy] * (1 / list_units(plans)).astype(np.float32)
        logs = np.sign(scaled) * _round_from_float64(np.log1p, np.abs(scaled))
        parts.append(_standardise(logs, found.log_mean, found.log_spread))
    if marked := [index for index, plan in enumerate(plans) if plan.marks_missing]:
        parts.append((~finite[:, marked]).astype(np.float32))
    for cycle in sorted({cycle for plan in plans for cycle in plan.cycles}):
        dates = [index for index, plan in enumerate(plans) if cycle in plan.cycles]
        angle = np.mod(filled[:, dates], np.float32(cycle)) * np.float32(2 * np.pi / cycle)
        parts += [_round_from_float64(np.sin, angle), _round_from_float64(np.cos, angle)]
    return parts


def _standardise_channels(values: Array, moments: Moments) -> Array:
    mean, spread = moments
    values = values.astype(np.float32)
    return _standardise(np.where(np.isfinite(values), values, mean.astype(np.float32)), mean, spread)


def _standardise(values: Array, mean: Array, spread: Array) -> Array:
    """Return (values - mean) / spread; the mean is subtracted first, as `preprocessing` explains."""
    scaled: Array = values - mean.astype(np.float32)
    scaled *= find_scale(mean, spread).astype(np.float32)
    return scaled


def _round_from_float64(function: Callable[[Array], Array], values: Array) -> Array:
    return function(values.astype(np.float64)).astype(np.float32)


def _mark_codes(codes: Array, count: int) -> Array:
    """Return a column for each code, 1 in the rows that have it, float32 [row, code]."""
    marks = np.zeros((len(codes), count), np.float32)
    rows = np.flatnonzero(codes < count)
    marks[rows, codes[rows]] = 1.0
    return marks
