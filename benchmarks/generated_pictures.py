"""Pictures for portfolios, as arrays of rows, height, width and, in colour, channels; the same at every call.

The sets differ in what separates their classes: shape, direction, number, roughness, colour, place, scale, contrast.
Each has enough noise that no network is right on every row. `moved-digits` is for judging searches
(`search_real.py`), so no portfolio is learned on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from sklearn import datasets

Made = tuple[np.ndarray, np.ndarray]


def _make_shapes() -> Made:
    """Return filled circles, squares, crosses and rings of any size and place."""
    random, rows, columns = _start(31, 12)
    pictures, kinds = [], random.integers(0, 4, 1200)
    for kind in kinds:
        size, y, x = random.uniform(2.5, 4), *random.uniform(4, 8, 2)
        far, straight = np.hypot(rows - y, columns - x), np.maximum(abs(rows - y), abs(columns - x))
        thin = np.minimum(abs(rows - y), abs(columns - x)) < 1
        drawn = (far < size, straight < 0.9 * size, thin & (straight < size), abs(far - size) < 1)[kind]
        pictures.append(drawn * random.uniform(0.5, 1) + random.normal(0, 0.35, drawn.shape))
    return np.array(pictures), kinds


def _make_gratings() -> Made:
    """Return stripes in one of five directions, of any width and phase."""
    random, rows, columns = _start(32, 12)
    pictures, kinds = [], random.integers(0, 5, 1200)
    for kind in kinds:
        angle = kind * np.pi / 5 + random.normal(0, 0.08)
        along = rows * np.sin(angle) + columns * np.cos(angle)
        wave = np.sin(along * random.uniform(0.6, 1.6) + random.uniform(0, 7))
        pictures.append(wave + random.normal(0, 1.3, wave.shape))
    return np.array(pictures), kinds


def _make_spots() -> Made:
    """Return one to four soft spots; the class is their number."""
    random, rows, columns = _start(33, 12)
    pictures, kinds = [], random.integers(0, 4, 1200)
    for kind in kinds:
        drawn = [_draw_spot(rows, columns, place, 1.2) for place in random.uniform(1, 11, (kind + 1, 2))]
        pictures.append(sum(drawn) + random.normal(0, 0.15, rows.shape))
    return np.array(pictures), kinds


def _make_rough() -> Made:
    """Return noise that is smooth to one of two degrees."""
    random, rows, _ = _start(34, 16)
    pictures, kinds = [], random.integers(0, 2, 700)
    for kind in kinds:
        noise = random.normal(size=rows.shape)
        blurred = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))) / 2
        share = 0.25 + 0.2 * kind + random.normal(0, 0.05)
        pictures.append(share * blurred + (1 - share) * random.normal(size=noise.shape))
    return np.array(pictures), kinds


def _make_hues() -> Made:
    """Return a spot in one of four colours on a ground of any colour and light."""
    random, rows, columns = _start(35, 10)
    pictures, kinds = [], random.integers(0, 4, 900)
    hues = np.array([[1.0, 0.4, 0.2], [0.8, 0.8, 0.1], [0.2, 0.9, 0.5], [0.3, 0.4, 1.0]])
    for kind in kinds:
        spot = _draw_spot(rows, columns, random.uniform(2, 8, 2), 1.5)[..., None]
        colour = hues[kind] * random.uniform(0.6, 1.2) + random.normal(0, 0.15, 3)
        ground = random.uniform(0, 1, 3)
        pictures.append(spot * colour + (1 - spot) * ground + random.normal(0, 0.25, (*rows.shape, 3)))
    return np.array(pictures), kinds


def _make_places() -> Made:
    """Return a narrow spot and a wide one; the class is where that lies: above, below, left, right or near."""
    random, rows, columns = _start(36, 12)
    pictures, kinds = [], random.integers(0, 5, 1000)
    ways = np.array([[-4, 0], [4, 0], [0, -4], [0, 4], [0, 0]])
    for kind in kinds:
        first = np.where(ways[kind] < 0, 7.5, np.where(ways[kind] > 0, 3.5, 5.5)) + random.uniform(-2.5, 2.5, 2)
        second = first + ways[kind] + random.normal(0, 0.8, 2)
        drawn = _draw_spot(rows, columns, first, 0.8) + _draw_spot(rows, columns, second, 1.6)
        pictures.append(drawn + random.normal(0, 0.25, rows.shape))
    return np.array(pictures), kinds


def _make_scales() -> Made:
    """Return rings of one of four sizes, of any thickness, brightness and place."""
    random, rows, columns = _start(37, 14)
    pictures, kinds = [], random.integers(0, 4, 1200)
    for kind in kinds:
        size, thick = 1.5 + kind + random.normal(0, 0.25), random.uniform(0.5, 1.0)
        far = np.hypot(rows - random.uniform(4.5, 9.5), columns - random.uniform(4.5, 9.5))
        ring = np.exp(-(((far - size) / thick) ** 2)) * random.uniform(0.5, 1.2)
        pictures.append(ring + random.normal(0, 0.2, rows.shape))
    return np.array(pictures), kinds


def _make_contrasts() -> Made:
    """Return a patch of colour on a ground that is lighter, darker, as light but of another colour, or the same."""
    random, rows, columns = _start(38, 8)
    pictures, kinds = [], random.integers(0, 4, 600)
    light, other = np.array([0.35, 0.35, 0.35]), np.array([0.4, -0.4, 0.0])
    for kind in kinds:
        y, x = random.uniform(2, 5, 2)
        patch = ((abs(rows - y) < 1.7) & (abs(columns - x) < 1.7))[..., None]
        added = (light, -light, other * random.choice([-1, 1]), 0 * light)[kind]
        ground = random.uniform(-1, 1, 3)
        pictures.append(ground + patch * added + random.normal(0, 0.3, (*rows.shape, 3)))
    return np.array(pictures), kinds


def _make_moved_digits() -> Made:
    """Return the digits of scikit-learn somewhere in a larger picture."""
    side, random = 16, np.random.default_rng(5)
    digits = datasets.load_digits()
    chosen = random.permutation(len(digits.images))[:1200]
    pictures = random.normal(0, 3, (len(chosen), side, side))
    for picture, index in zip(pictures, chosen, strict=True):
        y, x = random.integers(0, side - 8, 2)
        picture[y : y + 8, x : x + 8] += digits.images[index]
    return pictures, digits.target[chosen]


def _start(seed: int, side: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """Return a set's random numbers, and the row and column of each pixel."""
    rows, columns = np.mgrid[:side, :side]
    return np.random.default_rng(seed), rows, columns


def _draw_spot(rows: np.ndarray, columns: np.ndarray, place: np.ndarray, width: float) -> np.ndarray:
    y, x = place
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))


PICTURES: Mapping[str, Callable[[], Made]] = {
    "shapes": _make_shapes,
    "gratings": _make_gratings,
    "spots": _make_spots,
    "rough": _make_rough,
    "hues": _make_hues,
    "places": _make_places,
    "scales": _make_scales,
    "contrasts": _make_contrasts,
    "moved-digits": _make_moved_digits,
}
