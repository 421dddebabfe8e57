"""Cost to the search of many trials running at once, and the number that pays.

A fleet trains many trials together, so its sampler suggests a trial before the results of the running ones are known.
That is measured on a surrogate of LCBench (Zimmer, Lindauer and Hutter, 2021): a network that predicts at once the
result of a training, so hundreds of studies are searched in minutes. Two ways to suggest:

- *batches*: M trials are suggested, trained to their last epoch, and stored together;
- *conveyor*: M trials are running; whenever some end, as many are suggested. Early stopping and the median pruner, both
  as a study has them by default, end trials at different epochs. M may also shrink with what is left of the budget,
  or grow with the number of trials that have ended.

The regret of a study is (best known - found) / (best known - median of random) of validation accuracy: 0 is the best of
40,000 random configurations, 1 is worth no more than one random trial; it can fall below 0. Each trial counts with its
best epoch. The seconds are a model of the trainer, not a measurement: see `seconds_an_epoch` and its constants.

    python benchmarks/ask_in_flight.py FOLDER [--seeds N] [--trials N] [--to FOLDER]

FOLDER holds `model.onnx` and `encoding.json` (from `slds-lmu/yahpo_data`, Apache-2.0). Takes about 40 minutes on two
cores; results of an earlier run are kept.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import onnxruntime
import optuna

TASKS = (3945, 34539, 126025, 146212, 167104, 168329, 189862, 189905)
EPOCHS = 52
FIXED = (1, 2, 4, 8, 16, 32, 64)
BATCHES = (1, 4, 16, 64)
LEFT = (4,)  # running: the rest of the budget, divided by this
TOLD = (2, 4)  # running: the trials that have ended, divided by this
BUDGETS = (64, 256)
LEAST, MOST = {"left": 4, "told": 8}, 64
EVERY = 8  # trials from one point of a curve to the next
PATIENCE = 8
WORKERS = 2
COMPILE_S = 3.0
OWN_S = 0.03  # ask, tell and record
# Measured: seconds of one member's epoch (a small dense network, two cores) by the size of its fleet.
MEMBER_EPOCH_S = {1: 0.0030, 16: 0.0013, 64: 0.0010}
COLUMNS = ("way", "under_way", "budget", "task", "seed", "trials", "regret", "epochs", "seconds")


@dataclass(frozen=True)
class Plan:
    """One study to search: `under_way` is a number, or `left/4` or `told/4` for a share of those left or ended."""

    way: str
    under_way: str
    budget: int
    task: int
    seed: int

    def most(self, told: int) -> int:
        """Return the most running trials once so many have ended."""
        of, _, divisor = self.under_way.rpartition("/")
        if not of:
            return int(divisor)
        share = (told if of == "told" else self.budget - told) // int(divisor)
        return min(max(share, LEAST[of]), MOST)


@dataclass(eq=False)
class UnderWay:
    """A trial in training."""

    trial: optuna.Trial
    curve: np.ndarray
    epoch: int = 0
    best: float = -math.inf
    improved_at: int = 0


def main() -> None:
    """Search every study that is not in the results yet, then write the summary and the picture."""
    options = _options()
    options.to.mkdir(parents=True, exist_ok=True)
    every = options.to / "ask_in_flight_runs.csv"
    done = {(row["way"], row["under_way"], row["budget"], row["task"], row["seed"]) for row in _rows(every)}
    plans = [plan for plan in _plans(options.seeds, options.trials) if _key(plan) not in done]
    with ProcessPoolExecutor(options.processes) as pool, every.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if not done:
            writer.writeheader()
        for future in as_completed([pool.submit(search, plan, options.folder) for plan in plans]):
            writer.writerows(future.result())
            file.flush()
    summary = list(_summary(_rows(every)))
    with (options.to / "ask_in_flight.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, summary[0])
        writer.writeheader()
        writer.writerows(summary)
    _print(summary)
    _draw(summary, options.to / "ask_in_flight.png")


def search(plan: Plan, folder: Path) -> list[dict[str, object]]:
    """Return a study's regret and modelled seconds, at every eighth trial of its budget."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=plan.seed, n_startup_trials=10),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=EPOCHS // 5),
    )
    ended: dict[int, tuple[float, int, float]] = {}  # by trial number: score, epochs, second of its end
    under_way: list[UnderWay] = []
    asked, second = 0, COMPILE_S
    while len(ended) < plan.budget:
        if plan.way == "conveyor" or not under_way:
            for _ in range(min(plan.most(len(ended)) - len(under_way), plan.budget - asked)):
                under_way.append(_ask(study, plan.task, folder))
                asked, second = asked + 1, second + OWN_S
        if plan.way == "batches":
            second += EPOCHS * seconds_an_epoch(len(under_way))
            finished = under_way
            for each in finished:
                each.epoch, each.best = EPOCHS, float(each.curve.max())
                study.tell(each.trial, each.best)
        else:
            second += seconds_an_epoch(len(under_way))
            finished = [each for each in under_way if _ends_with_this_epoch(study, each)]
        under_way = [each for each in under_way if each not in finished]
        ended |= {each.trial.number: (each.best, each.epoch, second) for each in finished}
    best_known, of_random = _reference(plan.task, folder)
    rows: list[dict[str, object]] = []
    for count in range(EVERY, plan.budget + 1, EVERY):
        scores, epochs, seconds = zip(*(ended[number] for number in range(count)), strict=True)
        regret = (best_known - max(scores)) / (best_known - of_random)
        numbers = {"trials": count, "regret": f"{regret:.5f}", "epochs": sum(epochs), "seconds": f"{max(seconds):.3f}"}
        rows.append({**vars(plan), **numbers})
    return rows


def seconds_an_epoch(members: int) -> float:
    """Return what an epoch of so many members takes, shared by the workers; logarithmic between the measured sizes."""
    fleet = max(1.0, members / WORKERS)
    sizes, costs = np.log(list(MEMBER_EPOCH_S)), np.log(list(MEMBER_EPOCH_S.values()))
    return float(fleet * np.exp(np.interp(np.log(fleet), sizes, costs)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds model.onnx and encoding.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=max(BUDGETS), help="largest budget")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def _plans(seeds: int, trials: int) -> Iterator[Plan]:
    """Yield the studies; of batches the largest budget alone, since it contains the results of smaller ones."""
    studies = list(itertools.product(TASKS, range(seeds)))
    shares = [f"{of}/{divisor}" for of, divisors in (("told", TOLD), ("left", LEFT)) for divisor in divisors]
    for under_way, budget in itertools.product((*map(str, FIXED), *shares), sorted({*BUDGETS, trials}, reverse=True)):
        if budget <= trials:
            yield from (Plan("conveyor", under_way, budget, *study) for study in studies)
    for most in BATCHES:
        yield from (Plan("batches", str(most), trials, *study) for study in studies)


def _key(plan: Plan) -> tuple[str, ...]:
    return tuple(str(part) for part in vars(plan).values())


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _ask(study: optuna.Study, task: int, folder: Path) -> UnderWay:
    """Ask; wide integers as floats, for TPE takes three times as long over integers and these are as good as dense."""
    trial = study.ask()
    point = (
        round(trial.suggest_float("batch_size", 16, 512, log=True)),
        trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        trial.suggest_float("momentum", 0.1, 0.99),
        trial.suggest_float("weight_decay", 1e-5, 1e-1),
        trial.suggest_int("num_layers", 1, 5),
        round(trial.suggest_float("max_units", 64, 1024, log=True)),
        trial.suggest_float("max_dropout", 0.0, 1.0),
    )
    epochs = np.arange(1, EPOCHS + 1)[:, None]
    return UnderWay(trial, _accuracy(task, np.hstack([epochs, np.tile(point, (EPOCHS, 1))]), folder))


def _ends_with_this_epoch(study: optuna.Study, each: UnderWay) -> bool:
    """Train one epoch; tell the trial if it is pruned, out of patience or at its last epoch."""
    score = float(each.curve[each.epoch])
    each.epoch += 1
    if score > each.best:
        each.best, each.improved_at = score, each.epoch
    rung = math.ceil(EPOCHS / 10)
    if each.epoch % rung == 0:
        each.trial.report(each.best, each.epoch)
        if each.trial.should_prune():
            study.tell(each.trial, state=optuna.trial.TrialState.PRUNED)
            return True
    if each.epoch == EPOCHS or each.epoch - each.improved_at >= PATIENCE:
        study.tell(each.trial, each.best)
        return True
    return False


@cache
def _session(folder: Path) -> tuple[onnxruntime.InferenceSession, dict[str, int]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    codes = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options), codes


def _accuracy(task: int, points: np.ndarray, folder: Path) -> np.ndarray:
    """Return the validation accuracy in per cent; points: [n, 8], epoch first."""
    session, codes = _session(folder)
    tasks = np.full((len(points), 1), codes[str(task)], np.int32)
    return session.run(None, {"x_cat": tasks, "x_cont": points.astype(np.float32)})[0][:, 1]


@cache
def _reference(task: int, folder: Path) -> tuple[float, float]:
    """Return the best and the median accuracy of 40,000 random configurations at their last epoch."""
    draw = np.random.default_rng(0).uniform(size=(40_000, 7))
    points = np.column_stack(
        [
            np.full(len(draw), EPOCHS),
            np.round(np.exp(np.log(16) + draw[:, 0] * np.log(512 / 16))),
            np.exp(np.log(1e-4) + draw[:, 1] * np.log(1e3)),
            0.1 + draw[:, 2] * 0.89,
            1e-5 + draw[:, 3] * (1e-1 - 1e-5),
            np.floor(1 + draw[:, 4] * 5),
            np.round(np.exp(np.log(64) + draw[:, 5] * np.log(1024 / 64))),
            draw[:, 6],
        ]
    )
    found = _accuracy(task, points, folder)
    return float(found.max()), float(np.median(found))


def _summary(rows: Iterable[dict[str, str]]) -> Iterator[dict[str, object]]:
    """Yield the means over tasks and seeds; the error is that of the mean over seeds, of means over tasks."""
    groups: dict[tuple[str, str, int, int], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        groups[row["way"], row["under_way"], int(row["budget"]), int(row["trials"])].append(row)
    for (way, under_way, budget, trials), members in sorted(groups.items(), key=lambda item: _order(item[0])):
        by_seed: dict[str, list[float]] = defaultdict(list)
        for row in members:
            by_seed[row["seed"]].append(float(row["regret"]))
        seeds = [mean(each) for each in by_seed.values()]
        yield {
            "way": way,
            "under_way": under_way,
            "budget": budget,
            "trials": trials,
            "regret": f"{mean(seeds):.4f}",
            "error": f"{stdev(seeds) / math.sqrt(len(seeds)) if len(seeds) > 1 else math.nan:.4f}",
            "epochs_a_trial": f"{mean(int(row['epochs']) for row in members) / trials:.1f}",
            "seconds": f"{mean(float(row['seconds']) for row in members):.2f}",
            "studies": len(members),
        }


def _order(key: tuple[str, str, int, int]) -> tuple[str, str, int, int, int]:
    way, under_way, budget, trials = key
    of, _, number = under_way.rpartition("/")
    return way, of, int(number), budget, trials


def _print(summary: list[dict[str, object]]) -> None:
    for row in summary:
        if row["trials"] == row["budget"] or (row["way"] == "batches" and row["trials"] in BUDGETS):
            print(
                f"{row['way']:<9}{row['under_way']:>7} under way {row['trials']:>4} trials: regret {row['regret']} "
                f"+- {row['error']}, {row['epochs_a_trial']:>4} epochs a trial, modelled {row['seconds']:>6} s"
            )


def _draw(summary: list[dict[str, object]], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (by_trials, by_time) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained", sharey=True)
    longest = [row for row in summary if row["budget"] == max(int(str(each["budget"])) for each in summary)]
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(FIXED)))
    lines = {str(most): colour for most, colour in zip(FIXED, colours, strict=True)}
    lines |= {"told/4": "crimson", "left/4": "grey"}
    for (under_way, colour), (way, style) in itertools.product(lines.items(), (("conveyor", "-"), ("batches", ":"))):
        rows = [row for row in longest if row["way"] == way and row["under_way"] == under_way]
        regret = [float(str(row["regret"])) for row in rows]
        by_trials.plot([int(str(row["trials"])) for row in rows], regret, style, color=colour)
        if way == "conveyor":
            by_time.plot([float(str(row["seconds"])) for row in rows], regret, color=colour, label=under_way)
    by_trials.set(xlabel="trials", ylabel="mean regret of 8 tasks", title="Conveyor (lines), batches (dotted)")
    by_time.set(xlabel="modelled seconds, first call included", xscale="log", title="Conveyor against time")
    by_time.legend(title="under way", fontsize=8)
    by_trials.set_ylim(0.0, 0.6)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
