"""Rows of every form of features, for tests of the model families."""

from __future__ import annotations

import numpy as np


def make_inputs(features, count, seed=3):
    """Return random inputs of a core model by name; texts end at different words, the first one has none."""
    chance = np.random.default_rng(seed)
    x = {}
    if features.dense:
        x["dense"] = chance.normal(size=(count, features.dense)).astype("float32")
    if features.codes:
        x["codes"] = np.stack([chance.integers(0, codes, count) for _, codes in features.codes], 1).astype("int32")
    if features.image:
        x["image"] = chance.normal(size=(count, *features.image)).astype("float32")
    if features.series:
        x["series"] = chance.normal(size=(count, *features.series)).astype("float32")
    for name, length, words in features.text:
        ends = np.arange(count)[:, None] % (length + 1)
        x[name] = np.where(np.arange(length) < ends, chance.integers(1, words, (count, length)), 0).astype("int32")
    return x
