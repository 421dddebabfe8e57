"""Rules for the epoch and the weights that a trial delivers, compared by the test rows.

A study takes a few random configurations of a small network, trains each for a fixed number of epochs, and delivers the
model with the best validation score. What differs is the rule: the best single epoch, the best mean of three epochs in
a row, weights averaged over the last epochs, or a moving average of the weights over the steps (Keras's `use_ema`).
All rules see the same trainings, so their differences are paired.

    python benchmarks/epoch_choice.py FOLDER [--sets NAME ...] [--splits N] [--trials N] [--epochs N]

FOLDER holds concrete, energy and wine-quality-red, as for `benchmarks/refit.py`; the others come with scikit-learn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.utils import Bunch

MOMENTUM = 0.99  # Keras's default of `ema_momentum`
WINDOW = 3  # epochs of a running mean
AVERAGED = 5  # epochs whose weights are averaged

Weights = list[tuple[Any, Any]]


@dataclass(frozen=True)
class Split:
    """Standardised rows of the three parts, x and y each; the score is a scaled RMSE or an error rate."""

    parts: Mapping[str, tuple[np.ndarray, np.ndarray]]
    outputs: int
    scale: float


@dataclass(frozen=True)
class Curve:
    """Scores of one training after each epoch [epoch]: validation score, validation loss, test score."""

    score: np.ndarray
    loss: np.ndarray
    test: np.ndarray


def main() -> None:
    """Run the studies and print a table for each set."""
    options = parse_options(__doc__)
    for name in options.sets:
        started, found = time.monotonic(), []
        for split in range(options.splits):
            rows = load_split(options.folder, name, split)
            trials = [_train(rows, options.epochs, 1000 * split + trial) for trial in range(options.trials)]
            found.append({rule: choose(trials) for rule, choose in RULES.items()})
        _print(name, found, time.monotonic() - started)


def parse_options(about: str) -> argparse.Namespace:
    """Return the options that these benchmarks share."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds a folder for each set of UCI")
    every = ["concrete", "energy", "wine-quality-red", "breast-cancer", "wine", "digits"]
    parser.add_argument("--sets", nargs="+", default=every)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=80)
    return parser.parse_args()


def _print(name: str, found: Sequence[Mapping[str, float]], seconds: float) -> None:
    print(f"{name}: {len(found)} splits, {seconds:.0f} s")
    first = np.array([each["best epoch"] for each in found])
    for rule in RULES:
        ours = np.array([each[rule] for each in found])
        gap = (ours - first) / first.mean()
        error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else 0.0
        print(f"  {rule:<34} {ours.mean():.4f}  {gap.mean():+.2%} +- {error:.2%}, better in {(ours < first).sum()}")
    print(flush=True)


# Rules -----------------------------------------------------------------------------------------------------------


def _choose_best_epoch(trials: Sequence[Mapping[str, Curve]], weights: str) -> float:
    """Return the test score of the best single epoch of all trials; ties go to the lower validation loss."""
    ends = []
    for trial in trials:
        curve = trial[weights]
        at = np.lexsort((curve.loss, curve.score))[0]
        ends.append((curve.score[at], curve.loss[at], curve.test[at]))
    return float(min(ends)[2])


def _choose_window(trials: Sequence[Mapping[str, Curve]], keep: str) -> float:
    """Return the test score of the best mean of epochs in a row: of its last, its best, or its weights' mean."""
    ends = []
    for trial in trials:
        curve = trial["plain"]
        score, loss = (np.convolve(each, np.ones(WINDOW) / WINDOW, "valid") for each in (curve.score, curve.loss))
        at = np.lexsort((loss, score.round(9)))[0]
        inside = slice(at, at + WINDOW)
        if keep == "weights":
            test = trial["window"].test[at + WINDOW - 1]
        elif keep == "best":
            test = curve.test[inside][np.lexsort((curve.loss[inside], curve.score[inside]))[0]]
        else:
            test = curve.test[at + WINDOW - 1]
        ends.append((score[at], loss[at], test))
    return float(min(ends)[2])


RULES: Mapping[str, Callable[[Sequence[Mapping[str, Curve]]], float]] = {
    "best epoch": partial(_choose_best_epoch, weights="plain"),
    "mean of 3, its last epoch": partial(_choose_window, keep="last"),
    "mean of 3, its best epoch": partial(_choose_window, keep="best"),
    "mean of 3, mean of its weights": partial(_choose_window, keep="weights"),
    "weights of the last 5 epochs": partial(_choose_best_epoch, weights="last"),
    "moving average of the weights": partial(_choose_best_epoch, weights="moving"),
    "plain or moving average": lambda trials: _choose_best_epoch(
        [each for trial in trials for each in ({"any": trial["plain"]}, {"any": trial["moving"]})], "any"
    ),
}


# Training --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Configuration:
    """Hyperparameters of a training."""

    units: int
    depth: int
    batch: int
    rate: float
    decay: float
    falls: bool


def draw_configuration(random: np.random.Generator) -> Configuration:
    """Return random hyperparameters."""
    return Configuration(
        # Few shapes: each is compiled once.
        units=int(random.choice([32, 128])),
        depth=int(random.integers(1, 3)),
        rate=float(np.exp(random.uniform(np.log(1e-3), np.log(1e-2)))),
        batch=int(random.choice([16, 32])),
        decay=float(np.exp(random.uniform(np.log(1e-7), np.log(1e-3)))),
        falls=bool(random.integers(2)),
    )


def train_epochs(
    rows: Split, configuration: Configuration, epochs: int, seed: int
) -> list[tuple[float, float, np.ndarray, np.ndarray]]:
    """Return validation score, validation loss, and predictions for validation and test rows after each epoch."""
    found = []
    for weights, _ in _iterate_epochs(rows, configuration, epochs, np.random.default_rng(seed)):
        score, loss, _ = _score(weights, rows)
        predictions = [
            _predict_shares(weights, rows.parts[part][0], rows.outputs > 1) for part in ("validation", "test")
        ]
        found.append((score, loss, np.asarray(predictions[0]), np.asarray(predictions[1])))
    return found


def _train(rows: Split, epochs: int, seed: int) -> Mapping[str, Curve]:
    """Return the curves of one random configuration: by the plain weights, and by each average of them."""
    random = np.random.default_rng(seed)
    configuration = draw_configuration(random)
    recent: list[Weights] = []
    curves: dict[str, list[tuple[float, float, float]]] = {"plain": [], "window": [], "last": [], "moving": []}
    for weights, moving in _iterate_epochs(rows, configuration, epochs, random):
        recent = [*recent, weights][-AVERAGED:]
        kinds = {"plain": weights, "window": _average(recent[-WINDOW:]), "last": _average(recent), "moving": moving}
        for kind, each in kinds.items():
            curves[kind].append(_score(each, rows))
    return {kind: Curve(*np.array(points).T) for kind, points in curves.items()}


def _iterate_epochs(
    rows: Split, chosen: Configuration, epochs: int, random: np.random.Generator
) -> Iterator[tuple[Weights, Weights]]:
    """Yield the weights after each epoch, and their moving average."""
    x, y = rows.parts["train"]
    weights = _draw_weights(random, [x.shape[1], *[chosen.units] * chosen.depth, rows.outputs])
    state = (weights, jax.tree.map(jnp.zeros_like, weights), jax.tree.map(jnp.zeros_like, weights), weights, 0.0)
    for epoch in range(epochs):
        order = random.permutation(len(x))[: len(x) // chosen.batch * chosen.batch].reshape(-1, chosen.batch)
        now = chosen.rate * (0.5 * (1 + np.cos(np.pi * epoch / epochs)) if chosen.falls else 1.0)
        state = _run_epoch(state, x, y, order, now, chosen.decay, rows.outputs > 1)
        yield state[0], state[3]


def _draw_weights(random: np.random.Generator, sizes: Sequence[int]) -> Weights:
    """Return weights by Glorot's rule."""
    return [
        (random.uniform(-1, 1, (a, b)).astype(np.float32) * np.float32(np.sqrt(6 / (a + b))), np.zeros(b, np.float32))
        for a, b in itertools.pairwise(sizes)
    ]


def _predict(weights: Any, x: Any) -> Any:
    for kernel, bias in weights[:-1]:
        x = jax.nn.relu(x @ kernel + bias)
    return x @ weights[-1][0] + weights[-1][1]


def _compute_losses(weights: Any, x: Any, y: Any, is_classes: bool) -> Any:
    found = _predict(weights, x)
    if is_classes:
        return -jnp.take_along_axis(jax.nn.log_softmax(found), y.astype(int)[:, None], 1)[:, 0]
    return (found[:, 0] - y) ** 2


@partial(jax.jit, static_argnums=6)
def _run_epoch(state: Any, x: Any, y: Any, order: Any, rate: float, decay: float, is_classes: bool) -> Any:
    """Return the state after an epoch of Adam with decoupled weight decay, and of the moving average."""

    def step(state: Any, rows: Any) -> Any:
        weights, first, second, moving, count = state
        slope = jax.grad(lambda each: _compute_losses(each, x[rows], y[rows], is_classes).mean())(weights)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slope)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, slope)
        count = count + 1
        near, far = 1 - 0.9**count, 1 - 0.999**count
        weights = jax.tree.map(
            lambda w, m, v: w - rate * ((m / near) / (jnp.sqrt(v / far) + 1e-7) + decay * w), weights, first, second
        )
        # As Keras does: the average starts at the first weights.
        moving = jax.tree.map(lambda a, w: MOMENTUM * a + (1 - MOMENTUM) * w, moving, weights)
        return (weights, first, second, moving, count), None

    return jax.lax.scan(step, state, order)[0]


@partial(jax.jit, static_argnums=2)
def _predict_shares(weights: Any, x: Any, is_classes: bool) -> Any:
    found = _predict(weights, x)
    return jax.nn.softmax(found) if is_classes else found


def _average(many: Sequence[Weights]) -> Weights:
    return jax.tree.map(lambda *each: sum(each) / len(each), *many)


def _score(weights: Any, rows: Split) -> tuple[float, float, float]:
    values: list[float] = []
    for part in ("validation", "test"):
        x, y = rows.parts[part]
        score, loss = _evaluate(weights, x, y, rows.outputs > 1)
        values += [float(score) * rows.scale, float(loss)]
    return values[0], values[1], values[2]


@partial(jax.jit, static_argnums=3)
def _evaluate(weights: Any, x: Any, y: Any, is_classes: bool) -> Any:
    losses = _compute_losses(weights, x, y, is_classes)
    if is_classes:
        return (_predict(weights, x).argmax(1) != y).mean(), losses.mean()
    return jnp.sqrt(losses.mean()), losses.mean()


# Rows ------------------------------------------------------------------------------------------------------------


def load_split(folder: Path, name: str, split: int) -> Split:
    """Return the rows of a set, divided: a fifth of those that are not for the test validates."""
    bundled: Mapping[str, Callable[[], Bunch]] = {
        "breast-cancer": load_breast_cancer,
        "wine": load_wine,
        "digits": load_digits,
    }
    random = np.random.default_rng(split)
    if name in bundled:
        data = bundled[name]()
        x, y = data.data.astype(np.float64), data.target
        test = random.choice(len(x), len(x) // 5, replace=False)
    else:
        table = pd.read_csv(folder / name / "data.csv").to_numpy(np.float64)
        x, y = table[:, :-1], table[:, -1]
        test = np.array(json.loads((folder / name / "test_rows.json").read_text())[split])
    rest = random.permutation(np.setdiff1d(np.arange(len(x)), test))
    rows = {"test": test, "validation": rest[: len(rest) // 5], "train": rest[len(rest) // 5 :]}
    mean, spread = x[rows["train"]].mean(0), x[rows["train"]].std(0)
    x = ((x - mean) / np.where(spread > 0, spread, 1)).astype(np.float32)
    scale = 1.0
    if name not in bundled:
        mean, scale = y[rows["train"]].mean(), float(y[rows["train"]].std())
        y = ((y - mean) / scale).astype(np.float32)
    parts = {part: (x[which], y[which]) for part, which in rows.items()}
    return Split(parts, len(np.unique(y)) if name in bundled else 1, scale)


if __name__ == "__main__":
    main()
