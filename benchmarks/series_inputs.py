"""What the name of a series and a scale of each window are worth to a forecast of several series with one model.

    python benchmarks/series_inputs.py studies/data/visits.csv

Prints the mean absolute error on the last 15 % of the time, for windows of 28 days and the 7 days after them: with
neither, with the name as columns of 0 and 1, with each window less its mean and divided by its spread, and with both;
beside it the error of the value of a week before. Series: the two museums of the file, and ten generated shops with a
week's pattern, a trend and noise of their own, of one level, of levels from 10 to 100, and from 10 to 1,000.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers, ops

LENGTH, HORIZON = 28, 7
SEEDS = (1, 2)
EPOCHS = 25


def generate_shops(seed: int, most: float, only: float | None = None) -> list[np.ndarray]:
    """Return ten series of 300 days, of levels from 10 to `most`, or of one level."""
    chance, day = np.random.default_rng(seed), np.arange(300)
    found = []
    for _ in range(10):
        level = 10 ** chance.uniform(1, np.log10(most))
        level = level if only is None else only
        strength, begin, trend = chance.uniform(0.1, 0.5), int(chance.integers(7)), chance.normal(0, 0.5)
        week, noise = chance.normal(0, 1, 7) * strength, np.zeros(len(day))
        for at in day[1:]:
            noise[at] = 0.7 * noise[at - 1] + chance.normal(0, 0.1)
        found.append(level * (1 + week[(day + begin) % 7] + trend * day / len(day) + noise))
    return found


def cut_windows(series: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return windows, what follows them, the number of their series, and the day of their end."""
    places = [(number, end) for number, each in enumerate(series) for end in range(LENGTH, len(each) - HORIZON + 1)]
    x = np.array([series[number][end - LENGTH : end] for number, end in places])
    y = np.array([series[number][end : end + HORIZON] for number, end in places])
    return x, y, *np.array(places).T


def build(architecture: str, shops: int, target: tuple[np.ndarray, np.ndarray], *, name: bool, scale: bool) -> Any:
    """Return a model of a standardised window and the name of its series."""
    window, shop = keras.Input((LENGTH, 1)), keras.Input((shops,))
    level = ops.mean(window, axis=1, keepdims=True)
    spread = ops.std(window, axis=1, keepdims=True) + 1e-3
    x = (window - level) / spread if scale else window
    if architecture == "mlp":
        x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    else:
        for dilation in (1, 2):
            x = layers.Conv1D(32, 3, padding="causal", dilation_rate=dilation, activation="relu")(x)
        x = ops.concatenate([x[:, -1], ops.mean(x, axis=1)], axis=-1)
    x = layers.Concatenate()([x, shop]) if name else x
    y = layers.Dense(HORIZON)(layers.Dense(64, activation="relu")(x))
    y = y * spread[:, :, 0] + level[:, :, 0] if scale else y
    return keras.Model([window, shop], layers.Rescaling(target[1].tolist(), offset=target[0].tolist())(y))


def measure(series: Sequence[np.ndarray], architecture: str, seed: int, *, name: bool, scale: bool) -> float:
    """Return the error on the last rows, at the epoch with the least error on those before them."""
    keras.utils.set_random_seed(seed)
    x, y, number, end = cut_windows(series)
    begin, late = (int(len(series[0]) * share) for share in (0.65, 0.85))
    train, validation, test = end + HORIZON <= begin, (end >= begin) & (end + HORIZON <= late), end >= late
    windows = ((x - x[train].mean()) / x[train].std())[..., None].astype("float32")
    shop = np.eye(len(series), dtype="float32")[number]
    target = y[train].mean(axis=0), y[train].std(axis=0)
    model = build(architecture, len(series), target, name=name, scale=scale)
    unit = tf.constant(target[1], tf.float32)
    model.compile(keras.optimizers.Adam(3e-3), lambda true, found: ops.mean(((true - found) / unit) ** 2, axis=-1))
    rows = tf.data.Dataset.from_tensor_slices(((windows[train], shop[train]), y[train].astype("float32")))
    rows, errors = rows.shuffle(20_000, seed=seed).batch(64), []
    for _ in range(EPOCHS):
        model.fit(rows, verbose=0)
        found = [np.abs(model([windows[part], shop[part]]).numpy() - y[part]).mean() for part in (validation, test)]
        errors.append(found)
    return float(min(errors)[1])


def main(file: str) -> None:
    """Print a line for each set of series and each network."""
    museums = [each["visitors"].to_numpy(float) for _, each in pd.read_csv(file).groupby("museum")]
    sets = {
        "museums": museums,
        "100": generate_shops(1, 100, only=100),
        "10 to 100": generate_shops(2, 100),
        "10 to 1,000": generate_shops(3, 1000),
    }
    print(f"{'series':12} {'network':8} {'neither':>8} {'name':>8} {'scale':>8} {'both':>8} {'week ago':>8}")
    for title, series in sets.items():
        x, y, _, end = cut_windows(series)
        test = end >= int(len(series[0]) * 0.85)
        naive = np.abs(x[test][:, -7:] - y[test]).mean()
        for architecture in ("mlp", "conv"):
            found = [
                np.mean([measure(series, architecture, seed, name=name, scale=scale) for seed in SEEDS])
                for name, scale in ((False, False), (True, False), (False, True), (True, True))
            ]
            print(f"{title:12} {architecture:8} {' '.join(f'{each:8.2f}' for each in (*found, naive))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
