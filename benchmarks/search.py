"""Quality of searches on the surrogate of LCBench: kerastudy beside KerasTuner, Optuna, Ray Tune and SMAC3.

Each study searches one task with one seed. Two budgets:

- pruner `none`: so many trials of 52 epochs; the regret is that of the first 5, 10, 25, ... trials;
- any other pruner: so many epochs in multiples of 52, a full training; the regret is that of the best score seen until
  then. A trial that goes on from a checkpoint costs only the epochs that it adds.

A pruner whose first rung is epoch 1 is judged without the surrogate's epoch 1, which is the untrained network: epoch
e + 1 counts as e. Several workers train in virtual time: every epoch takes equally long, or with `--clock seconds` as
long as the surrogate predicts. A score is a trial's best epoch.

    python benchmarks/search.py FOLDER [--tasks N,...] [--seeds N] [--trials N] [--epochs N] [--workers N,...]
        [--samplers NAME,...] [--pruners NAME,...] [--starts NAME,...] [--clock NAME]

FOLDER holds the surrogate. Measured rows are kept: a second call goes on where the first one ended. One process, with
one thread where OMP_NUM_THREADS=1; `make bench-search` sets that, and also writes the tables and the picture.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib import import_module
from pathlib import Path
from statistics import mean
from typing import get_args

import numpy as np
from simulation import Course, Searcher, Simulation
from surrogate import DEFAULT, EPOCHS, SPACE, TASKS, Surrogate

from pipelines.spec.schema import SearchSpec

COLUMNS = (
    "sampler", "pruner", "start", "workers", "clock", "task", "seed", "trials", "epochs", "regret", "cpu_ask_ms",
)  # fmt: skip
TRIALS = (5, 10, 25, 50, 100, 200, 400)
FULL_TRAININGS = (1, 3, 5, 7, 10, 25, 50)


def _list_names(key: str) -> tuple[str, ...]:
    """Return what a study file may have as sampler or pruner; a grid of these ranges has no order worth measuring."""
    names = get_args(SearchSpec.model_fields[key].annotation)
    # What `auto` chooses is another one of the names: for such a study gp and asha.
    return tuple(name for name in names if name not in ("grid", "auto"))


# As `auto` takes it for more than 500 trials.
OURS = {"samplers": (*_list_names("sampler"), "gp-then-tpe"), "pruners": _list_names("pruner")}
PEERS = (
    ("optuna-tpe", "none"),
    ("optuna-gp", "none"),
    ("optuna-cma-es", "none"),
    ("optuna-tpe", "optuna-median"),
    ("optuna-tpe", "optuna-hyperband"),
    ("optuna-tpe", "optuna-successive-halving"),
    ("keras-tuner-random", "none"),
    ("keras-tuner-bayesian", "none"),
    ("keras-tuner-hyperband", "keras-tuner-hyperband"),
    ("ray-random", "ray-asha"),
    ("ray-bohb", "ray-bohb"),
    ("smac", "none"),
    ("smac", "smac-hyperband"),
)
STARTS = ("none", "default", "portfolio")


@dataclass(frozen=True)
class Plan:
    """One study to search; `budget` counts trials without a pruner, and full trainings with one."""

    sampler: str
    pruner: str
    start: str
    workers: int
    clock: str
    task: int
    seed: int
    budget: int

    @property
    def counts_trials(self) -> bool:
        """Return whether the budget is a number of trials."""
        return self.pruner == "none"

    @property
    def marks(self) -> tuple[int, ...]:
        """Return the points of the budget at which the regret is stored."""
        marks = TRIALS if self.counts_trials else FULL_TRAININGS
        return tuple(mark for mark in marks if mark <= self.budget)


def main() -> None:
    """Search every study that is not in the results yet."""
    options = _read_options()
    surrogate = Surrogate(options.folder)
    options.to.parent.mkdir(parents=True, exist_ok=True)
    done = {_make_key(row) for row in read_rows(options.to)}
    plans = [plan for plan in _list_plans(options) if not _covers(done, plan)]
    is_new = not options.to.exists()
    with tempfile.TemporaryDirectory() as folder, options.to.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if is_new:
            writer.writeheader()
        for place, plan in enumerate(plans, 1):
            began = time.monotonic()
            try:
                rows = list(search(plan, surrogate, Path(folder)))
            except ImportError as error:
                print(f"{place}/{len(plans)} {plan}: left out, {error}", flush=True)
                continue
            writer.writerows(row for row in rows if _make_key(row) not in done)
            file.flush()
            print(f"{place}/{len(plans)} {plan}: {rows[-1]['regret']}, {time.monotonic() - began:.1f} s", flush=True)


def search(plan: Plan, surrogate: Surrogate, folder: Path) -> Iterator[dict[str, object]]:
    """Yield a study's regret at each mark of its budget."""
    searcher = open_searcher(plan, surrogate, folder)
    limit = {"most_trials": plan.budget} if plan.counts_trials else {"most_epochs": plan.budget * EPOCHS}
    course = Simulation(searcher, surrogate, plan.task, workers=plan.workers, clock=plan.clock, **limit).run()
    for mark in plan.marks:
        found, trials, epochs = _read_mark(course, mark, counts_trials=plan.counts_trials)
        named = dict(zip(COLUMNS, astuple(plan), strict=False))
        yield {
            **named,
            "trials": trials,
            "epochs": epochs,
            "regret": f"{surrogate.compute_regret(plan.task, found):.5f}",
            "cpu_ask_ms": f"{1000 * mean(course.ask_s[max(0, trials - 5) : trials]):.2f}",
        }


def open_searcher(plan: Plan, surrogate: Surrogate, folder: Path) -> Searcher:
    """Return a study of the product that the names of sampler and pruner begin with."""
    if plan.sampler in OURS["samplers"]:
        from searchers.kerastudy_search import KerastudySearcher

        return KerastudySearcher(plan.sampler, plan.pruner, plan.seed, folder, list_start(plan, surrogate))
    product, _, sampler = plan.sampler.partition("-")
    if product == "optuna":
        pruner = plan.pruner.removeprefix("optuna-")
        return import_module("searchers.optuna_search").OptunaSearcher(sampler, pruner, plan.seed)
    if product == "keras":
        sampler = plan.sampler.removeprefix("keras-tuner-")
        return import_module("searchers.keras_tuner_search").KerasTunerSearcher(sampler, plan.seed)
    if product == "ray":
        ray = import_module("searchers.ray_search")
        return ray.RayAshaSearcher(plan.seed) if sampler == "random" else ray.RayBohbSearcher(plan.seed)
    smac = import_module("searchers.smac_search")
    return smac.SmacSearcher(plan.seed, budgets=not plan.counts_trials, trials=plan.budget)


def list_start(plan: Plan, surrogate: Surrogate) -> Sequence[Mapping[str, float]]:
    """Return the configurations to try first.

    `default` is a default of common sense and four draws around it; `portfolio` are five configurations that were
    learned on the other tasks.
    """
    if plan.start == "portfolio":
        return surrogate.learn_portfolio(plan.task)
    if plan.start == "default":
        return (DEFAULT, *_draw_around(DEFAULT, 4, plan.seed))
    return ()


def _draw_around(point: Mapping[str, float], count: int, seed: int) -> Iterator[dict[str, float]]:
    """Yield draws around a configuration: normal, with a standard deviation of a fifth of each range."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        drawn: dict[str, float] = {}
        for name, declared in SPACE.items():
            low, high, is_log = declared["low"], declared["high"], declared.get("log")
            start, end, at = np.log([low, high, point[name]]) if is_log else (low, high, point[name])
            moved = np.clip((at - start) / (end - start) + random.normal(0, 0.2), 0, 1) * (end - start) + start
            value = float(np.clip(np.exp(moved) if is_log else moved, low, high))
            drawn[name] = round(value) if declared["type"] == "int" else value
        yield drawn


def _read_mark(course: Course, mark: int, *, counts_trials: bool) -> tuple[float, int, int]:
    """Return the best score at a mark of the budget, with the trials and the epochs until then."""
    if counts_trials:
        return max(course.scores[:mark]), mark, mark * EPOCHS
    epochs = mark * EPOCHS
    return float(course.best[epochs - 1]), course.count_trials(epochs), epochs


def read_rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of a file of results; none where there is no file."""
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _make_key(row: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in (*COLUMNS[:7], "epochs"))


def _covers(done: set[tuple[str, ...]], plan: Plan) -> bool:
    """Return whether every mark of a study is in the results."""
    named = dict(zip(COLUMNS[:7], astuple(plan), strict=False))
    return all(_make_key({**named, "epochs": mark * EPOCHS}) in done for mark in plan.marks)


def _list_plans(options: argparse.Namespace) -> Iterator[Plan]:
    """Yield the studies that were asked for: one seed of all pairs and tasks before the next seed."""
    ours = itertools.product(OURS["samplers"], OURS["pruners"])
    pairs = [pair for pair in (*ours, *PEERS) if pair[0] in options.samplers and pair[1] in options.pruners]
    for seed, workers, (sampler, pruner), start in itertools.product(
        range(options.seeds), options.workers, pairs, options.starts
    ):
        if start != "none" and sampler not in OURS["samplers"]:
            continue
        budget = options.trials if pruner == "none" else options.epochs
        for task in options.tasks:
            yield Plan(sampler, pruner, start, workers, options.clock, task, seed, budget)


def _read_options() -> argparse.Namespace:
    def split(text: str) -> list[str]:
        return text.replace(",", " ").split()

    def split_numbers(text: str) -> list[int]:
        return [int(each) for each in split(text)]

    samplers = [*OURS["samplers"], *dict.fromkeys(sampler for sampler, _ in PEERS)]
    pruners = [*OURS["pruners"], *dict.fromkeys(pruner for _, pruner in PEERS if pruner != "none")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds model.onnx and encoding.json")
    parser.add_argument("--tasks", type=split_numbers, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100, help="budget without a pruner")
    parser.add_argument("--epochs", type=int, default=25, help="budget with a pruner, in full trainings of 52 epochs")
    parser.add_argument("--workers", type=split_numbers, default=[1])
    parser.add_argument("--samplers", type=split, default=samplers, help=", ".join(samplers))
    parser.add_argument("--pruners", type=split, default=pruners, help=", ".join(pruners))
    parser.add_argument("--starts", type=split, default=["none"], help=", ".join(STARTS))
    parser.add_argument("--clock", choices=("epochs", "seconds"), default="epochs", help="how long an epoch takes")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "results" / "search.csv")
    options = parser.parse_args()
    for given, known in ((options.samplers, samplers), (options.pruners, pruners), (options.starts, STARTS)):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"{', '.join(unknown)}: expected names of {', '.join(known)}")
    return options


if __name__ == "__main__":
    main()
