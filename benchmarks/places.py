"""Ways to give a network a place on earth: as two numbers, with the longitude's sine and cosine, as a unit vector.

A network of 2 x 64 (scikit-learn) learns made values that depend on places: some places of the earth, of the Pacific on
both sides of the date line, or of a town, each with its surroundings. Root mean squared error of a fifth of the rows,
mean over seeds with its standard deviation; the noise alone is 0.1.

    python benchmarks/places.py [--seeds N] [--rows N]
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

REGIONS = {"earth": (-90, 90, -180, 180, 25), "Pacific": (-45, 0, 160, 200, 8), "town": (48, 48.4, 11.3, 11.9, 0.06)}
"""Per region its latitudes, its longitudes (on beyond the date line), and the reach of a place, in degrees."""


def main() -> None:
    """Print a row for each region."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2000)
    options = parser.parse_args()
    ways = ("two numbers", "with sine and cosine", "unit vector")
    print(f"| region | {' | '.join(ways)} |\n|---|---|---|---|", flush=True)
    for region in REGIONS:
        errors = np.array([_measure(region, seed, options.rows) for seed in range(options.seeds)])
        cells = (
            f"{mean:.3f} ({spread:.3f})" for mean, spread in zip(errors.mean(axis=0), errors.std(axis=0), strict=True)
        )
        print(f"| {region} | {' | '.join(cells)} |", flush=True)


def _measure(region: str, seed: int, rows: int) -> list[float]:
    """Return the error of each way."""
    random = np.random.default_rng(seed)
    south, north, west, east, reach = REGIONS[region]
    latitude, longitude = _draw(random, south, north, rows), random.uniform(west, east, rows)
    centres = np.stack([_draw(random, south, north, 8), random.uniform(west, east, 8)], axis=1)
    vectors = _make_vectors(latitude, longitude)
    near = [
        np.exp(-(((1 - vectors @ _make_vectors(*centre[:, None])[0]) * 2) / np.radians(reach) ** 2))
        for centre in centres
    ]
    y = random.normal(size=8) * 2 @ np.array(near) + random.normal(0, 0.1, rows)
    longitude = np.where(longitude > 180, longitude - 360, longitude)
    angle = np.radians(longitude)
    is_test, spread = random.random(rows) < 0.2, y.std()
    errors = []
    for features in (
        np.stack([latitude, longitude], axis=1),
        np.stack([latitude, longitude, np.sin(angle), np.cos(angle)], axis=1),
        vectors,
    ):
        x = StandardScaler().fit_transform(features)
        model = MLPRegressor(
            hidden_layer_sizes=(64, 64), learning_rate_init=3e-3, early_stopping=True, max_iter=150, random_state=seed
        )
        model.fit(x[~is_test], y[~is_test] / spread)
        errors.append(float(np.sqrt(np.mean((model.predict(x[is_test]) * spread - y[is_test]) ** 2))))
    return errors


def _draw(random: np.random.Generator, south: float, north: float, rows: int) -> np.ndarray:
    """Return latitudes of places that are spread evenly over the earth's surface."""
    return np.degrees(np.arcsin(random.uniform(np.sin(np.radians(south)), np.sin(np.radians(north)), rows)))


def _make_vectors(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return unit vectors [row, 3] of places in degrees."""
    up, around = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], axis=1)


if __name__ == "__main__":
    main()
