"""Data sets for portfolios: those that come with scikit-learn or this project, and generated ones.

Each has a name. A table is written to a CSV file with the target `y`, pictures to an `.npz` file. Texts and series are
made in modules of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from generated_series import SERIES
from generated_texts import TEXTS, make_table
from sklearn import datasets

BUNDLED_FOLDER = Path(__file__).parent.parent / "studies" / "data"
SIDE = 16
"""Height and width of generated pictures."""

Made = tuple[np.ndarray, np.ndarray]

_MESSAGE = {"message": {"type": "text"}}
_VISITS = {"time": "day", "by": "museum", "length": 28, "horizon": 7, "known": ["holiday", "day"]}
BUNDLED: Mapping[str, Mapping[str, Any]] = {
    "concrete": {"source": "concrete.csv", "target": "strength_mpa"},
    "tickets": {"source": "tickets.csv", "target": "team", "drop": ["tags", "hours"], "columns": _MESSAGE},
    "visits": {"source": "visits.csv", "target": "visitors", "series": _VISITS},
}
"""The section `data` of those that come with the project."""


def locate(name: str, folder: Path) -> dict[str, Any]:
    """Return a study file's section `data` of a data set, without its split; a generated set is written to `folder`."""
    if name in BUNDLED:
        return {**BUNDLED[name], "source": str(BUNDLED_FOLDER / BUNDLED[name]["source"])}
    if name in SERIES:
        make, series = SERIES[name]
        make().to_csv(folder / "it.csv", index=False)
        return {"source": str(folder / "it.csv"), "target": "value", "series": {"time": "day", **series}}
    if name in TEXTS:
        make_table(name).to_csv(folder / "it.csv", index=False)
        return {"source": str(folder / "it.csv"), "target": "y", "columns": _MESSAGE}
    if name in PICTURES:
        x, y = PICTURES[name]()
        np.savez(folder / "it.npz", x=x, y=y)
        return {"source": str(folder / "it.npz")}
    if name not in TABLES:
        return {"source": f"sklearn:{name}"}
    x, y = TABLES[name]()
    table = pd.DataFrame(np.round(x, 5), columns=[f"x{place}" for place in range(x.shape[1])])
    table["y"] = np.round(y, 5) if name in REGRESSION else [f"class {int(each)}" for each in y]
    table.to_csv(folder / "it.csv", index=False)
    return {"source": str(folder / "it.csv"), "target": "y"}


def _make_classes(**settings: Any) -> Callable[[], Made]:
    return lambda: datasets.make_classification(random_state=0, **settings)


TABLES: Mapping[str, Callable[[], Made]] = {
    "classes-2": _make_classes(n_samples=1000, n_features=20, n_informative=5, n_redundant=5),
    "classes-5": _make_classes(n_samples=1500, n_features=20, n_informative=10, n_classes=5),
    "classes-noisy": _make_classes(n_samples=1000, n_features=10, n_informative=4, flip_y=0.2),
    "hastie": lambda: datasets.make_hastie_10_2(1500, random_state=0),
    "moons": lambda: datasets.make_moons(600, noise=0.3, random_state=0),
    "quantiles": lambda: datasets.make_gaussian_quantiles(n_samples=1200, n_features=8, random_state=0),
    "friedman1": lambda: datasets.make_friedman1(1000, noise=1.0, random_state=0),
    "friedman2": lambda: datasets.make_friedman2(1000, noise=50.0, random_state=0),
    "friedman3": lambda: datasets.make_friedman3(800, noise=0.1, random_state=0),
    "linear": lambda: datasets.make_regression(600, 50, n_informative=10, noise=20.0, random_state=0),
    "sparse": lambda: datasets.make_sparse_uncorrelated(800, random_state=0),
}
REGRESSION = frozenset(
    {"diabetes", "concrete", "friedman1", "friedman2", "friedman3", "linear", "sparse", "ratings", "visits", *SERIES}
)
BINARY = frozenset({"breast_cancer", "classes-2", "classes-noisy", "hastie", "moons", "rough", "opinions", "orders"})


def _make_shapes() -> Made:
    """Return filled circles, squares, crosses and rings of any size and place, in noise."""
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    pictures, kinds = [], random.integers(0, 4, 900)
    for kind in kinds:
        size, y, x = random.uniform(2.5, 5), *random.uniform(5, SIDE - 5, 2)
        far, straight = np.hypot(rows - y, columns - x), np.maximum(abs(rows - y), abs(columns - x))
        thin = np.minimum(abs(rows - y), abs(columns - x)) < 1
        drawn = (far < size, straight < 0.9 * size, thin & (straight < size), abs(far - size) < 1)[kind]
        pictures.append(drawn * random.uniform(0.5, 1) + random.normal(0, 0.35, drawn.shape))
    return np.array(pictures), kinds


def _make_gratings() -> Made:
    """Return stripes in one of five directions, of any width and phase, in noise."""
    random = np.random.default_rng(2)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    kinds = random.integers(0, 5, 900)
    pictures = []
    for kind in kinds:
        angle = kind * np.pi / 5 + random.normal(0, 0.08)
        along = rows * np.sin(angle) + columns * np.cos(angle)
        wave = np.sin(along * random.uniform(0.6, 1.6) + random.uniform(0, 7))
        pictures.append(wave + random.normal(0, 1.6, wave.shape))
    return np.array(pictures), kinds


def _make_spots() -> Made:
    """Return pictures with one to four soft spots; the class is their number."""
    random = np.random.default_rng(3)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    kinds = random.integers(0, 4, 900)
    pictures = []
    for kind in kinds:
        spots = random.uniform(2, SIDE - 2, (kind + 1, 2))
        drawn = [np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 3) for y, x in spots]
        pictures.append(sum(drawn) + random.normal(0, 0.15, rows.shape))
    return np.array(pictures), kinds


def _make_rough() -> Made:
    """Return noise that is smooth to one of two degrees."""
    random = np.random.default_rng(4)
    kinds = random.integers(0, 2, 900)
    pictures = []
    for kind in kinds:
        noise = random.normal(size=(SIDE, SIDE))
        blurred = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))) / 2
        share = 0.25 + 0.2 * kind + random.normal(0, 0.05)
        pictures.append(share * blurred + (1 - share) * random.normal(size=noise.shape))
    return np.array(pictures), kinds


def _make_moved_digits() -> Made:
    """Return the digits of scikit-learn somewhere in a larger picture, in noise."""
    random = np.random.default_rng(5)
    digits = datasets.load_digits()
    chosen = random.permutation(len(digits.images))[:1200]
    pictures = random.normal(0, 3, (len(chosen), SIDE, SIDE))
    for picture, index in zip(pictures, chosen, strict=True):
        y, x = random.integers(0, SIDE - 8, 2)
        picture[y : y + 8, x : x + 8] += digits.images[index]
    return pictures, digits.target[chosen]


PICTURES: Mapping[str, Callable[[], Made]] = {
    "shapes": _make_shapes,
    "gratings": _make_gratings,
    "spots": _make_spots,
    "rough": _make_rough,
    "moved-digits": _make_moved_digits,
}
