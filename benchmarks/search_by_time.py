"""Regret of searches after so much time, on the surrogate of LCBench: `gp` with and without the costs of trainings.

One worker trains in virtual seconds, as the surrogate predicts them. The unit of time is the median of random
trainings of a task. `gp-by-seconds` proposes what improves most for its seconds, as in a study that `budget.time` ends,
and `gp-by-root` what improves most for their root; the seconds are the surrogate's.

    PYTHONPATH=. benchmarks/.venv/bin/python benchmarks/search_by_time.py FOLDER [--seeds N] [--tasks N ...] [--to FILE]

FOLDER holds the surrogate. Measured rows are kept: a second call goes on where the first one ended.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

from search import Plan, list_start
from searchers.kerastudy_search import KerastudySearcher
from simulation import Simulation
from surrogate import TASKS, Surrogate

COLUMNS = ("search", "task", "seed", "trainings", "trials", "regret")
MARKS = (1, 2, 3, 5, 7, 10, 15)
POWERS = {"gp": 0.0, "gp-by-root": 0.5, "gp-by-seconds": 1.0, "tpe": 0.0}


def main() -> None:
    """Search what is not in the results yet, and print the means."""
    options = _read_options()
    surrogate, rows = Surrogate(options.folder), _read(options.to)
    done = {(row["search"], row["task"], row["seed"]) for row in rows}
    is_new = not options.to.exists()
    with options.to.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if is_new:
            writer.writeheader()
        for seed, task, name in itertools.product(range(options.seeds), options.tasks, POWERS):
            if (name, str(task), str(seed)) not in done:
                writer.writerows(search(name, surrogate, task, seed))
                file.flush()
                print(name, task, seed, flush=True)
    for name in POWERS:
        found = [row for row in _read(options.to) if row["search"] == name]
        means = [mean(float(row["regret"]) for row in found if int(row["trainings"]) == mark) for mark in MARKS]
        print(f"{name}: {', '.join(f'{each:.3f}' for each in means)}")


def search(name: str, surrogate: Surrogate, task: int, seed: int) -> list[dict[str, object]]:
    """Return a study's regret after each time."""
    unit = surrogate.find_median_seconds(task)

    def estimate(point: Mapping[str, float]) -> float:
        return float(surrogate.predict_curve(task, point).seconds[-1]) ** POWERS[name]

    with tempfile.TemporaryDirectory() as folder:
        sampler, pruner, start = ("tpe", "median", "none") if name == "tpe" else ("gp", "asha", "default")
        points = list_start(Plan(sampler, pruner, start, 1, "seconds", task, seed, 0), surrogate)
        searcher = KerastudySearcher(sampler, pruner, seed, Path(folder), points)
        if POWERS[name]:
            searcher.weigh_costs(estimate)
        limit = MARKS[-1] * unit
        course = Simulation(searcher, surrogate, task, clock="seconds", most_seconds=limit).run()
    return [
        {
            "search": name,
            "task": task,
            "seed": seed,
            "trainings": mark,
            "trials": len(course.scores),
            "regret": f"{surrogate.compute_regret(task, course.find_best_until(mark * unit)):.5f}",
        }
        for mark in MARKS
    ]


def _read(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds model.onnx and encoding.json")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tasks", type=int, nargs="+", default=list(TASKS))
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "results" / "search_by_time.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
