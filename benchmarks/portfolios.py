"""Portfolios of starting points for the shipped families, learned on data sets that are bundled or generated.

For each family the same configurations, its default and random points of its shipped space, are trained on each of its
data sets by `kerastudy run`. A portfolio is chosen greedily: after the default, each configuration is the one that
lowers the mean regret over the data sets most. It is judged leave-one-out: chosen on all data sets but one, and
scored on that one, beside as many random points.

The score is the validation cross-entropy, or the root mean squared error. The regret on a data set is
(score - best) / (median - best) over its configurations: 0 is the best of them, 1 a median one.

    python benchmarks/portfolios.py measure FAMILY [--points N] [--epochs N]
    python benchmarks/portfolios.py learn FAMILY [--size N]

Measured data sets are kept in `results/portfolios/FAMILY.csv`. `learn` prints the table and writes the portfolio
beside the shipped spaces.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from generated_data import BINARY, PICTURES, REGRESSION, TABLES, locate

from search_spaces.parse import parse_space
from search_spaces.shipped_spaces import read_shipped
from search_spaces.suggest import suggest

RESULTS = Path(__file__).parent / "results" / "portfolios"
SHIPPED = Path(__file__).parent.parent / "search_spaces" / "shipped" / "portfolios"
COLUMNS = ("data", "point", "score", "best_epoch", "seconds")


_TABLES = ("breast_cancer", "wine", "iris", "digits", "diabetes", "concrete", *TABLES)
DATA_SETS: Mapping[str, tuple[str, ...]] = {
    "mlp": _TABLES,
    "tabular": tuple(name for name in _TABLES if name != "digits"),
    "cnn": ("digits", *PICTURES),
}


def main() -> None:
    """Measure or learn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("measure", "learn"))
    parser.add_argument("family", choices=sorted(DATA_SETS))
    parser.add_argument("--points", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--size", type=int, default=5)
    options = parser.parse_args()
    if options.step == "measure":
        measure(options.family, options.points, options.epochs)
    else:
        learn(options.family, options.size)


def measure(family: str, count: int, epochs: int) -> None:
    """Train the configurations on every data set that has no results yet."""
    file = RESULTS / f"{family}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    done = {row["data"] for row in read(file)}
    points = list_points(family, count)
    for name in DATA_SETS[family]:
        if name in done:
            continue
        began = time.monotonic()
        rows = train(family, name, points, epochs)
        with file.open("a", newline="") as lines:
            writer = csv.DictWriter(lines, COLUMNS)
            if lines.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)
        print(f"{name}: {len(rows)} configurations, {time.monotonic() - began:.0f} s", flush=True)


def list_points(family: str, count: int) -> list[dict[str, Any]]:
    """Return random points of a family's shipped space, the same at every call."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = parse_space(read_shipped(family), ())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points = [suggest(space, study.ask()) for _ in range(count - 1)]
    return [{name: value for name, value in point.items() if name != "epochs"} for point in points]


def train(family: str, name: str, points: Sequence[Mapping[str, Any]], epochs: int) -> list[dict[str, Any]]:
    """Return a row for each configuration, the default first."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "it.yaml"
        study.write_text(yaml.safe_dump(_make_study(family, name, points, epochs, Path(folder)), sort_keys=False))
        command = [sys.executable, "-m", "kerastudy", "--home", str(Path(folder) / "home")]
        _run([*command, "run", str(study)])
        listed = _run([*command, "trials", "it", "--json"])
    return [
        {
            "data": name,
            "point": json.dumps({key: value for key, value in trial["params"].items() if key != "epochs"}),
            "score": trial["values"][0],
            "best_epoch": trial["best_epoch"],
            "seconds": round(trial["seconds"], 2),
        }
        for trial in json.loads(listed)
        if trial["state"] == "complete"
    ]


def _run(command: Sequence[str]) -> str:
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)}: {ended.stderr or ended.stdout}")
    return ended.stdout


def _make_study(
    family: str, name: str, points: Sequence[Mapping[str, Any]], epochs: int, folder: Path
) -> dict[str, Any]:
    metric = "root_mean_squared_error" if name in REGRESSION else "sparse_categorical_crossentropy"
    if name in BINARY:
        metric = "binary_crossentropy"
    return {
        "study": "it",
        "data": {**locate(name, folder), "split": {"validation": 0.3, "test": 0.0}},
        "model": family,
        "space": {"extends": family, "epochs": epochs, "start_from": [dict(point) for point in points]},
        "training": {} if name in REGRESSION else {"metrics": [metric]},
        "objective": {"metric": f"val_{metric}", "direction": "minimize"},
        "search": {"sampler": "random", "pruner": "none"},
        "budget": {"trials": len(points) + 1},
        "resources": {"workers": 1},
        "selection": {"finalists": 0},
    }


def read(file: Path) -> list[dict[str, str]]:
    """Return the rows of a file of results; none where there is no file."""
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def learn(family: str, size: int) -> None:
    """Print the leave-one-out table, and write the portfolio that is learned on all data sets."""
    names, points, regrets = load_regrets(family)
    print(make_table(names, regrets, size))
    chosen = choose(regrets, size)
    SHIPPED.mkdir(parents=True, exist_ok=True)
    (SHIPPED / f"{family}.yaml").write_text(_format(family, names, [points[index] for index in chosen]))


def load_regrets(family: str) -> tuple[list[str], list[dict[str, Any]], np.ndarray]:
    """Return data sets, configurations and the regrets: [data set, configuration], the default first."""
    scores: dict[str, dict[str, float]] = {}
    for row in read(RESULTS / f"{family}.csv"):
        scores.setdefault(row["data"], {})[row["point"]] = float(row["score"])
    first = next(iter(scores.values()))
    shared = [point for point in first if all(point in by_point for by_point in scores.values())]
    table = np.array([[by_point[point] for point in shared] for by_point in scores.values()])
    best, median = table.min(axis=1, keepdims=True), np.median(table, axis=1, keepdims=True)
    return list(scores), [json.loads(point) for point in shared], (table - best) / (median - best)


def choose(regrets: np.ndarray, size: int) -> list[int]:
    """Return the configurations that lower the mean regret most, one after the other, once the default was tried."""
    reached, chosen = regrets[:, 0], []
    for _ in range(size):
        chosen.append(int(np.minimum(reached[:, None], regrets).mean(axis=0).argmin()))
        reached = np.minimum(reached, regrets[:, chosen[-1]])
    return chosen


def make_table(names: Sequence[str], regrets: np.ndarray, size: int) -> str:
    """Return a Markdown table of the mean regret over data sets left out, by the number of points tried."""
    held_out = {"portfolio": [], "random": [], "default, then random": []}
    for left_out in range(len(names)):
        others = np.delete(regrets, left_out, axis=0)
        own = regrets[left_out]
        held_out["portfolio"].append(np.minimum.accumulate(own[[0, *choose(others, size)]]))
        held_out["random"].append([_expect_best(own[1:], count) for count in range(1, size + 2)])
        after = [_expect_best(np.minimum(own[1:], own[0]), count) for count in range(1, size + 1)]
        held_out["default, then random"].append([own[0], *after])
    lines = ["| points tried first | " + " | ".join(map(str, range(1, size + 2))) + " |", "|---" * (size + 2) + "|"]
    titles = {"portfolio": "the default, then the portfolio"}
    for way, each in held_out.items():
        means, errors = np.mean(each, axis=0), np.std(each, axis=0, ddof=1) / np.sqrt(len(each))
        cells = [f"{mean:.2f} ± {error:.2f}" for mean, error in zip(means, errors, strict=True)]
        lines.append(f"| {titles.get(way, way)} | {' | '.join(cells)} |")
    note = f"Mean regret over {len(names)} data sets, each left out in turn (± standard error over data sets)."
    return "\n".join([*lines, "", note])


def _expect_best(regrets: np.ndarray, count: int) -> float:
    """Return the expected lowest of `count` draws without repetition."""
    ordered, total = np.sort(regrets), len(regrets)
    # The chance that the k-th is drawn, given that no lower one is, times the chance of the latter.
    chances, remaining = np.zeros(total), 1.0
    for place in range(total - count + 1):
        chances[place] = remaining * count / (total - place)
        remaining -= chances[place]
    return float(chances @ ordered)


def _format(family: str, names: Sequence[str], points: Sequence[Mapping[str, Any]]) -> str:
    releases = ", ".join(f"{package} {version(package)}" for package in ("kerastudy", "keras", "scikit-learn"))
    lines = [
        f"# Starting points of studies whose model is `{family}`, tried after its default.",
        "#",
        f"# Learned by `python benchmarks/portfolios.py measure {family}` and `... learn {family}` on",
        f"# {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, with {releases}.",
        "# Data sets, those of scikit-learn bundled or generated by it, and studies/data/concrete.csv:",
    ]
    text = ""
    for name in names:
        text, line = (text + f" {name},", None) if len(text) < 95 else (f" {name},", f"#{text}")
        lines += [line] if line else []
    lines.append(f"#{text.rstrip(',')}.")
    shown = [f"  - {json.dumps({key: _round(value) for key, value in point.items()})}" for point in points]
    return "\n".join([*lines, "points:", *shown]) + "\n"


def _round(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
