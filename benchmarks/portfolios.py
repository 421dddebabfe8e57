"""Portfolios of starting points for the shipped families, learned on data sets that are bundled or generated.

For each family the same configurations are trained on each of its data sets by `kerastudy run`: its default, random
points of its shipped space, and draws around the default, which a study of a family without a portfolio tries. A
portfolio is chosen greedily among all of them: after the default, each configuration is the one that lowers the mean
regret over the data sets most. It is judged leave-one-out: chosen on all data sets but one, and scored on that one,
beside as many random points and as many of the draws. Sets that `search_real.py` judges searches on only judge.

The score is the validation cross-entropy, or the root mean squared error. The regret on a data set is
(score - best) / (median - best) over its configurations: 0 is the best of them, 1 a median one.

    python benchmarks/portfolios.py measure FAMILY [--points N] [--draws N] [--epochs N]
    python benchmarks/portfolios.py learn FAMILY [--size N]

Measured data sets are kept in `results/portfolios/FAMILY.csv`; those with fewer configurations narrow the others to
the shared ones. `learn` prints the table, and writes the portfolio beside the shipped spaces where its mean regret is
lower than that of every other way to start.
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
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from generated_data import BINARY, REGRESSION, TABLES, locate
from generated_mixed import MIXED
from generated_pictures import PICTURES
from generated_series import SERIES
from generated_texts import TEXTS

from pipelines.search.draws_around import draw_around
from search_spaces.parse import parse_space
from search_spaces.shipped_spaces import read_shipped
from search_spaces.suggest import make_distributions, make_optuna_point, suggest

RESULTS = Path(__file__).parent / "results" / "portfolios"
SHIPPED = Path(__file__).parent.parent / "search_spaces" / "shipped" / "portfolios"
COLUMNS = ("data", "origin", "point", "score", "best_epoch", "seconds")

_PORTFOLIO = "the default, then the portfolio"
_RANDOM = "random"
_DEFAULT = "the default, then random"
_DRAWS = "the default, then draws around it"

_TABLES = ("breast_cancer", "wine", "iris", "digits", "diabetes", "concrete", *TABLES)
DATA_SETS: Mapping[str, tuple[str, ...]] = {
    "mlp": _TABLES,
    "tabular": ("concrete", "friedman2", "moons", "diabetes", "friedman3", "wine", "classes-noisy", "breast_cancer"),
    "mixed": (*MIXED, "ticket-hours", "visits"),
    "text": ("tickets", *TEXTS),
    "series": ("visits", *SERIES),
    "cnn": (*(name for name in PICTURES if name != "moved-digits"), "digits"),
}
UNLEARNED: Mapping[str, frozenset[str]] = {"cnn": frozenset({"digits"})}
"""Sets that only judge: no portfolio is learned on them, because `search_real.py` judges searches there."""


def main() -> None:
    """Measure or learn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("measure", "learn"))
    parser.add_argument("family", choices=sorted(DATA_SETS))
    parser.add_argument("--points", type=int, default=48)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--size", type=int, default=5)
    options = parser.parse_args()
    if options.step == "measure":
        measure(options.family, options.points, options.draws, options.epochs)
    else:
        learn(options.family, options.size)


def measure(family: str, count: int, draws: int, epochs: int) -> None:
    """Train the configurations on every data set that has no results yet."""
    file = RESULTS / f"{family}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    done = {row["data"] for row in read(file)}
    points = list_points(family, count, draws)
    for name in DATA_SETS[family]:
        if name in done:
            continue
        began = time.monotonic()
        rows = train(family, name, points, draws, epochs)
        with file.open("a", newline="") as lines:
            writer = csv.DictWriter(lines, COLUMNS)
            if lines.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)
        print(f"{name}: {len(rows)} configurations, {time.monotonic() - began:.0f} s", flush=True)


def list_points(family: str, count: int, draws: int) -> list[dict[str, Any]]:
    """Return random points of a family's shipped space, then draws around its default; the same at every call."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = parse_space(read_shipped(family), ())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points = [suggest(space, study.ask()) for _ in range(count - 1)]
    default = make_optuna_point(space, space.make_defaults())
    for drawn in draw_around(default, make_distributions(space), draws, seed=0):
        study.enqueue_trial(drawn)
        points.append(suggest(space, study.ask()))
    return [{name: value for name, value in point.items() if name != "epochs"} for point in points]


def train(family: str, name: str, points: Sequence[Mapping[str, Any]], draws: int, epochs: int) -> list[dict[str, Any]]:
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
            "origin": _name_origin(trial["number"], len(points), draws),
            "point": json.dumps({key: value for key, value in trial["params"].items() if key != "epochs"}),
            "score": trial["values"][0],
            "best_epoch": trial["best_epoch"],
            "seconds": round(trial["seconds"], 2),
        }
        for trial in json.loads(listed)
        if trial["state"] == "complete"
    ]


def _name_origin(number: int, points: int, draws: int) -> str:
    """Return where a study's trial has its point from: the default comes first, the draws last."""
    if number == 0:
        return "default"
    return "draw" if number > points - draws else "random"


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
    """Print the leave-one-out table, and write the portfolio that is learned on all data sets where it pays."""
    measured = load_regrets(family)
    held_out = judge(measured, size)
    print(make_table(held_out, size))
    print(make_list(measured.names, held_out))
    # Where that is most of them, the order of the scores is partly that of the speed of training.
    print(f"{measured.cut_off:.0%} of the trainings had their best epoch last.")
    last = {way: float(each[:, -1].mean()) for way, each in held_out.items()}
    if last[_PORTFOLIO] > (least := min(last.values())):
        better = next(way for way, regret in last.items() if regret == least)
        print(f"{family} gets no portfolio: {better} does better")
        return
    chosen = choose(measured.regrets[measured.learned], measured.candidates, size)
    SHIPPED.mkdir(parents=True, exist_ok=True)
    text = _format(family, measured, [measured.points[index] for index in chosen])
    (SHIPPED / f"{family}.yaml").write_text(text)


@dataclass(frozen=True)
class Measured:
    """Regrets of a family's configurations.

    Attributes:
        regrets: [data set, configuration], the default first.
        learned: rows of `regrets` that a portfolio is chosen on; the others only judge it.
        draws: which configurations are draws around the default.
        epochs: the most that a training had.
        cut_off: share of the trainings whose best epoch was their last one.
    """

    names: Sequence[str]
    points: Sequence[Mapping[str, Any]]
    regrets: np.ndarray
    learned: Sequence[int]
    draws: np.ndarray
    epochs: int
    cut_off: float

    @property
    def candidates(self) -> np.ndarray:
        """Return the configurations that a portfolio is chosen among: all but the default."""
        return np.arange(1, len(self.points))

    @property
    def random(self) -> np.ndarray:
        """Return the random configurations."""
        return np.flatnonzero(~self.draws)[1:]


def load_regrets(family: str) -> Measured:
    """Return what was measured of the configurations that every data set has a score of."""
    scores: dict[str, dict[str, float]] = {}
    drawn, rows = set(), read(RESULTS / f"{family}.csv")
    epochs = max(int(row["best_epoch"]) for row in rows)
    for row in rows:
        scores.setdefault(row["data"], {})[row["point"]] = float(row["score"])
        # The family that was measured first has no draws, and no such column.
        if row.get("origin") == "draw":
            drawn.add(row["point"])
    first = next(iter(scores.values()))
    shared = [point for point in first if all(point in by_point for by_point in scores.values())]
    table = np.array([[by_point[point] for point in shared] for by_point in scores.values()])
    best, median = table.min(axis=1, keepdims=True), np.median(table, axis=1, keepdims=True)
    draws = np.array([point in drawn for point in shared])
    regrets = (table - best) / (median - best)
    cut_off = np.mean([int(row["best_epoch"]) == epochs for row in rows])
    learned = [at for at, name in enumerate(scores) if name not in UNLEARNED.get(family, ())]
    points = [json.loads(point) for point in shared]
    return Measured(list(scores), points, regrets, learned, draws, epochs, float(cut_off))


def choose(regrets: np.ndarray, candidates: np.ndarray, size: int) -> list[int]:
    """Return the candidates that lower the mean regret most, one after the other, once the default was tried.

    They are fewer than `size` where no other one lowers it further.
    """
    reached, chosen = regrets[:, 0], []
    for _ in range(size):
        lowered = np.minimum(reached[:, None], regrets[:, candidates]).mean(axis=0)
        if lowered.min() >= reached.mean():
            break
        chosen.append(int(candidates[lowered.argmin()]))
        reached = np.minimum(reached, regrets[:, chosen[-1]])
    return chosen


def judge(measured: Measured, size: int) -> Mapping[str, np.ndarray]:
    """Return the regret of each way to start on the data set that is left out: [data set, number of points tried]."""
    held_out: dict[str, list[Any]] = {}
    random, draws = measured.random, np.flatnonzero(measured.draws)
    for left_out, own in enumerate(measured.regrets):
        others = measured.regrets[[at for at in measured.learned if at != left_out]]
        chosen = choose(others, measured.candidates, size)
        tried = np.minimum.accumulate(own[[0, *chosen]])
        held_out.setdefault(_PORTFOLIO, []).append(np.pad(tried, (0, size - len(chosen)), mode="edge"))
        held_out.setdefault(_RANDOM, []).append([_expect_best(own[random], count) for count in range(1, size + 2)])
        for way, rest in ((_DEFAULT, random), (_DRAWS, draws)):
            if len(rest) >= size:
                after = [_expect_best(np.minimum(own[rest], own[0]), count) for count in range(1, size + 1)]
                held_out.setdefault(way, []).append([own[0], *after])
    return {way: np.array(each) for way, each in held_out.items()}


def make_table(held_out: Mapping[str, np.ndarray], size: int) -> str:
    """Return a Markdown table of the mean regret over data sets left out, by the number of points tried."""
    lines = ["| points tried first | " + " | ".join(map(str, range(1, size + 2))) + " |", "|---" * (size + 2) + "|"]
    for way, each in held_out.items():
        means, errors = np.mean(each, axis=0), np.std(each, axis=0, ddof=1) / np.sqrt(len(each))
        cells = [f"{mean:.2f} ± {error:.2f}" for mean, error in zip(means, errors, strict=True)]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    count = len(held_out[_PORTFOLIO])
    note = f"Mean regret over {count} data sets, each left out in turn (± standard error over data sets)."
    return "\n".join([*lines, "", note])


def make_list(names: Sequence[str], held_out: Mapping[str, np.ndarray]) -> str:
    """Return the regrets on each data set once all points were tried, and by how much the portfolio leads each way."""
    last = {way: each[:, -1] for way, each in held_out.items()}
    lines = ["| data set left out | " + " | ".join(last) + " |", "|---" * (len(last) + 1) + "|"]
    lines += [
        f"| {name} | {' | '.join(f'{each[at]:.2f}' for each in last.values())} |" for at, name in enumerate(names)
    ]
    leads = [(way, each - last[_PORTFOLIO]) for way, each in last.items() if way != _PORTFOLIO]
    compared = [
        f"The portfolio leads {way!r} by {lead.mean():.2f} ± {lead.std(ddof=1) / np.sqrt(len(lead)):.2f},"
        f" and is behind on {np.sum(lead < 0)} of {len(lead)} sets."
        for way, lead in leads
    ]
    return "\n".join(["", *lines, "", *compared])


def _expect_best(regrets: np.ndarray, count: int) -> float:
    """Return the expected lowest of `count` draws without repetition."""
    ordered, total = np.sort(regrets), len(regrets)
    # The chance that the k-th is drawn, given that no lower one is, times the chance of the latter.
    chances, remaining = np.zeros(total), 1.0
    for place in range(total - count + 1):
        chances[place] = remaining * count / (total - place)
        remaining -= chances[place]
    return float(chances @ ordered)


def _format(family: str, measured: Measured, points: Sequence[Mapping[str, Any]]) -> str:
    releases = ", ".join(f"{package} {version(package)}" for package in ("kerastudy", "keras", "scikit-learn"))
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    lines = [
        f"# Starting points of studies whose model is `{family}`, tried after its default.",
        "#",
        f"# Learned by `python benchmarks/portfolios.py measure {family} --points {len(measured.random) + 1}"
        f" --draws {measured.draws.sum()} --epochs {measured.epochs}` and",
        f"# `... learn {family} --size {len(points)}` on {today}, with {releases}.",
        "# Data sets, those of scikit-learn and of studies/data, or made by benchmarks/generated_*.py:",
    ]
    text = ""
    for name in (measured.names[at] for at in measured.learned):
        text, line = (text + f" {name},", None) if len(text) < 95 else (f" {name},", f"#{text}")
        lines += [line] if line else []
    lines.append(f"#{text.rstrip(',')}.")
    shown = [f"  - {json.dumps({key: _round(value) for key, value in point.items()})}" for point in points]
    return "\n".join([*lines, "points:", *shown]) + "\n"


def _round(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
