"""Tables with columns of several kinds for portfolios: numbers, categories, texts and pictures; the same at every call.

In each of them no kind of column is enough alone. Pictures are files beside the table, named in a column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from generated_pictures import PICTURES
from generated_texts import TEXTS
from PIL import Image

_ROWS = 600


def _make_complaints(_: Path) -> pd.DataFrame:
    """Return texts of one of five topics, and numbers; the class is of the topic for some, of a number for others."""
    random = np.random.default_rng(41)
    texts, topics = TEXTS["topics"]()
    age, sum_ = random.normal(0, 1, _ROWS), random.lognormal(3, 1, _ROWS)
    channel = random.choice(["post", "phone", "form"], _ROWS, p=[0.2, 0.3, 0.5])
    level = np.where(sum_ * np.exp(0.5 * age) > 25, "high", "low")
    y = np.where(channel == "post", level, topics)
    return pd.DataFrame({"message": texts, "age": age, "sum": sum_, "channel": channel, "y": y})


def _make_offers(_: Path) -> pd.DataFrame:
    """Return texts with a worth, and numbers; the target is the product of one with the worth, and what two add."""
    random = np.random.default_rng(42)
    texts, worth = TEXTS["ratings"]()
    size, year = random.uniform(0.5, 2.5, _ROWS), random.normal(0, 1, _ROWS)
    place = random.choice(["north", "south", "east", "west"], _ROWS)
    added = np.select([place == "north", place == "east"], [0.6, -0.4], 0.0) + 0.3 * np.sin(2 * year)
    y = np.round(size * worth + added + random.normal(0, 0.15, _ROWS), 4)
    return pd.DataFrame({"message": texts, "size": size, "year": year, "place": place, "y": y})


def _make_replies(_: Path) -> pd.DataFrame:
    """Return two texts, one of a good or bad opinion, and a number that turns the class around where it is low."""
    random = np.random.default_rng(43)
    texts, opinions = TEXTS["opinions"]()
    others, _kinds = TEXTS["topics"]()
    score, noise = random.normal(0, 1, _ROWS), random.normal(0, 1, _ROWS)
    is_good = (opinions == "class 1") != (score < -0.7)
    y = np.where(is_good, "keep", "end")
    return pd.DataFrame({"message": texts, "title": others, "score": score, "noise": noise, "y": y})


def _make_parts(folder: Path) -> pd.DataFrame:
    """Return pictures of shapes, and numbers; the class is of the shape and of where a number lies."""
    random = np.random.default_rng(44)
    weight, heat = random.normal(0, 1, _ROWS), random.normal(0, 1, _ROWS)
    pictures, kinds = (each[:_ROWS] for each in PICTURES["shapes"]())
    y = np.where(weight + 0.3 * heat > 0.5, "heavy", np.char.add("shape ", kinds.astype(str)))
    return pd.DataFrame({"picture": _write(pictures, folder), "weight": weight, "heat": heat, "y": y})


def _make_samples(folder: Path) -> pd.DataFrame:
    """Return pictures of one to four spots, and numbers; the target is their count times one, and what another adds."""
    random = np.random.default_rng(45)
    pictures, kinds = (each[:_ROWS] for each in PICTURES["spots"]())
    dose, days = random.uniform(0.5, 1.5, _ROWS), random.integers(1, 30, _ROWS)
    y = np.round((kinds + 1) * dose + 0.8 * np.cos(days / 5) + random.normal(0, 0.3, _ROWS), 4)
    return pd.DataFrame({"picture": _write(pictures, folder), "dose": dose, "days": days, "y": y})


def _write(pictures: np.ndarray, folder: Path) -> list[str]:
    """Write pictures as files in 256 greys; return their names."""
    low, high = pictures.min(), pictures.max()
    names = [f"{place}.png" for place in range(len(pictures))]
    greys = (255 * (pictures - low) / (high - low)).astype(np.uint8)
    for name, picture in zip(names, greys, strict=True):
        Image.fromarray(picture).save(folder / name)
    return names


MIXED: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    "offers": _make_offers,
    "parts": _make_parts,
    "complaints": _make_complaints,
    "samples": _make_samples,
    "replies": _make_replies,
}
"""How each set is made, with the folder of its pictures."""
