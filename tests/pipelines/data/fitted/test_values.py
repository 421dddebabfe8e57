"""Statistics of a fitted preprocessing, of which those of every kind of column are those of Keras's `adapt`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from pipelines.data.columns.columns import Column
from pipelines.data.columns.encoding import NumberPlan, Plan, StringPlan
from pipelines.data.columns.list_columns import NumberListPlan, WordListPlan
from pipelines.data.columns.text_columns import TextPlan
from pipelines.data.examples.model_tensors import make_tensors
from pipelines.data.fitted import values


@pytest.mark.parametrize("shape", [(9, 4, 3, 2), (9, 7, 1)])
def test_moments_of_bytes_are_those_of_the_same_numbers(shape, monkeypatch):
    """To the bit, over several chunks: a study's data must not change with the way of adding up."""
    monkeypatch.setattr(values, "_CHUNK_BYTES", 400)
    pixels = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    pixels[0] = 255
    chosen = np.array([8, 0, 3, 4, 5])
    found, expected = (values.calculate_moments(each, chosen) for each in (pixels, pixels.astype(np.float64)))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def adapt(layer, raw):
    """Return a layer of Keras that was fitted to values."""
    layer.adapt(raw if raw.dtype != object else make_tensors({"raw": raw})["raw"])
    return layer


def assert_moments(layer, mean, spread):
    """Compare with the moments of `Normalization`, which computes in float32."""
    found = (keras.ops.convert_to_numpy(each).ravel() for each in (layer.mean, layer.variance))
    for theirs, ours in zip(found, (mean, spread**2), strict=True):
        assert np.allclose(theirs, ours, rtol=1e-4, atol=1e-6)


RANDOM = np.random.default_rng(3)
NUMBERS = {
    "numeric": RANDOM.lognormal(3, 1, 90),
    "constant": np.full(90, 5.0),
    "boolean": RANDOM.choice([0.0, 1.0], 90),
    "date": 19_000 + RANDOM.integers(0, 300, 90).astype(float),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_as_adapt(kind):
    """Mean and variance of numbers, truth values and dates, and of their logarithms."""
    known, rows = NUMBERS[kind], np.arange(60)
    column = Column("a", "a", "numeric" if kind == "constant" else kind, known)
    found = values.fit_columns(Plan((NumberPlan(0, False, 2.0),), ()), [column], rows).numbers
    # Of dates `adapt` has few digits left in float32.
    middle = 19_000 if kind == "date" else 0
    assert_moments(adapt(layers.Normalization(axis=None), known[rows] - middle), found.mean - middle, found.spread)
    logarithms = np.sign(known[rows]) * np.log1p(np.abs(known[rows]) / 2.0)
    assert_moments(adapt(layers.Normalization(axis=None), logarithms), found.log_mean, found.log_spread)


def test_missing_numbers_as_adapt_without_them():
    """What is missing becomes the median of the rest, and the statistics are those of the filled column."""
    gaps = np.where(np.arange(90) % 4, NUMBERS["numeric"], np.nan)
    found = values.fit_columns(Plan((NumberPlan(0, True),), ()), [Column("a", "a", "numeric", gaps)], np.arange(90))
    assert found.numbers.fill == np.nanmedian(gaps)
    filled = np.where(np.isnan(gaps), np.nanmedian(gaps), gaps)
    assert_moments(adapt(layers.Normalization(axis=None), filled), found.numbers.mean, found.numbers.spread)


def test_lists_of_numbers_as_adapt():
    """Each entry by itself."""
    lists = RANDOM.normal(5, 3, (90, 4))
    plan = Plan((), (), number_lists=(NumberListPlan(0, (False,) * 4),))
    found = values.fit_columns(plan, [Column("a", "a", "number_list", lists)], np.arange(60)).lists[0]
    assert_moments(adapt(layers.Normalization(), lists[:60]), found.mean, found.spread)


@pytest.mark.parametrize("encoding", ["one_hot", "embedding"])
def test_categories_as_adapt(encoding):
    """The same words; `adapt` puts the commonest first, here they are in the order of their letters."""
    known = RANDOM.choice(np.array(["x", "X", "é", "e\u0301", "日本", "a\nb", " x", ""], dtype=object), 90)
    plan = Plan((), (StringPlan(0, encoding, 9),))
    found = values.fit_columns(plan, [Column("a", "a", "string", known)], np.arange(60)).words[0]
    theirs = adapt(layers.StringLookup(mask_token=""), known[:60]).get_vocabulary(include_special_tokens=False)
    assert list(found) == sorted(theirs)


@pytest.mark.parametrize("words", [4, 50])
def test_words_as_adapt(words):
    """Words of lists and of texts: the commonest ones, where the vocabulary has no room for all."""
    known = RANDOM.choice(np.array(["The cat", "a Dog, the!", "é été", "no no", "", "z y x w v"], dtype=object), 90)
    plan = Plan((), (), texts=(TextPlan(0, 5, words),))
    found = values.fit_columns(plan, [Column("a", "a", "text", known)], np.arange(60)).words[0]
    theirs = adapt(layers.TextVectorization(max_tokens=words), known[:60])
    assert list(found) == theirs.get_vocabulary(include_special_tokens=False)


def test_lists_of_words_as_adapt():
    """The same words."""
    known = RANDOM.choice(np.array(["k l", "l", "m K", "", "é"], dtype=object), 90)
    plan = Plan((), (), word_lists=(WordListPlan(0, 6, 5),))
    found = values.fit_columns(plan, [Column("a", "a", "word_list", known)], np.arange(60)).words[0]
    theirs = adapt(layers.TextVectorization(standardize=None), known[:60])
    assert sorted(found) == sorted(theirs.get_vocabulary(include_special_tokens=False))


@pytest.mark.parametrize("shape", [(90, 4), (90, 5, 2), (90, 4, 3, 3)], ids=["features", "series", "pictures"])
@pytest.mark.parametrize("is_column", [False, True], ids=["array", "column"])
def test_arrays_as_adapt(shape, is_column):
    """Features by themselves, series and pictures by channel; pictures of a table too."""
    array = RANDOM.integers(0, 256, shape).astype(np.uint8 if len(shape) == 4 else np.float32)
    wanted = adapt(layers.Normalization(axis=-1), array[:60].astype(np.float32))
    if is_column:
        plan = Plan((), (), image=0)
        moments = values.fit_columns(plan, [Column("a", "a", "image", array)], np.arange(60)).image
    else:
        fitted = values.fit_array("a", array, np.arange(60), "dense", (False,) * 4)
        moments = fitted.moments or (fitted.numbers.mean, fitted.numbers.spread)
    assert_moments(wanted, *moments)
