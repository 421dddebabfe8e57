"""Trials per hour of kerastudy's fleets, beside other tools: same networks, space, rows, split and epochs.

    make bench-fleets                      # or, with options:
    .venv/bin/python benchmarks/fleets.py [--cases TEXT] [--systems A,B] [--trials N] [--peer-trials N] [--epochs N]
        [--runs N] [--adult FOLDER] [--growth] [--to FOLDER]

Every (run, case, system) is a process of its own with an empty folder, timed from its start to its end: imports, first
calls, recording and clean-up included. Systems alternate within a run. Measurements are appended to `fleets.csv` and
not repeated; a system that fails is recorded there and the others continue.

kerastudy records every trial in MLflow on SQLite, and keeps the best models. `optuna-mlflow` records trials and epochs
there too; `optuna`, `keras-tuner` and `ray-tune` record nothing in MLflow, which favours them. No system stops early or
prunes. The score of a trial is its lowest validation loss.

Peers may train fewer trials (`--peer-trials`). What all trials would take is then the measured time plus the missing
trials at the mean cost of those after the second: start-up counts once.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import itertools
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import psutil
import sklearn.datasets
from fleets_report import FLEETS, PEERS, SYSTEMS, read, report
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
KERASTUDY = HERE.parent / ".venv/bin/kerastudy"
PEER_PYTHON = HERE / ".venv/bin/python"
SCRIPTS = {
    "optuna": ["optuna_fit.py"],
    "optuna-mlflow": ["optuna_fit.py", "--mlflow"],
    "keras-tuner": ["keras_tuner_search.py"],
    "ray-tune": ["ray_tune.py"],
}
LONGEST_S = 3 * 3600
COLUMNS = (
    *("run", "case", "system", "trials", "epochs", "rows", "fleet", "finished", "seconds", "cpu_seconds", "first_s"),
    *("warm_trial_s", "best", "load", "error"),
)
SPACES: Mapping[tuple[str, str], Mapping[str, object]] = {
    ("mlp", "structure"): {
        "depth": {"type": "int", "low": 1, "high": 3},
        "units": [32, 64, 128],
        "activation": ["relu", "tanh"],
        "optimizer": ["adam", "rmsprop", "sgd"],
        "batch_size": [32, 64],
    },
    ("mlp", "values"): {"depth": 2, "units": 64, "activation": "relu", "optimizer": "adam", "batch_size": 32},
    ("cnn", "structure"): {
        "blocks": {"type": "int", "low": 1, "high": 2},
        "filters": [8, 16, 32],
        "activation": ["relu", "tanh"],
        "optimizer": ["adam", "rmsprop", "sgd"],
        "batch_size": [32, 64],
    },
    ("cnn", "values"): {"blocks": 2, "filters": 16, "activation": "relu", "optimizer": "adam", "batch_size": 32},
}
SEARCHED = {
    "learning_rate": {"type": "float", "low": 3e-4, "high": 3e-2, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "l2": {"type": "float", "low": 1e-8, "high": 1e-2, "log": True},
}
ONE_CONVOLUTION = {"kernel_size": 3, "convolutions_per_block": 1, "global_pooling": "flatten", "dense_units": 0}


@dataclass(frozen=True)
class Case:
    """What is tuned.

    Attributes:
        data: a data set's name, or `made-N`: N made-up rows of 20 features.
        fleet: `resources.fleet` where it is not the system's own.
    """

    data: str
    family: str
    space: str
    trials: int
    epochs: int
    fleet: str = ""

    @property
    def name(self) -> str:
        """Return the name that tables show."""
        return f"{self.data} {self.family}, {self.space}"


@dataclass(frozen=True)
class Process:
    """How a process went: seconds from its start to its end, CPU seconds of it and what it waited for."""

    seconds: float
    cpu_seconds: float
    error: str


def main() -> None:
    """Measure what is not measured yet, then print the table and draw the pictures."""
    options = _options()
    _adopt_orphans()
    options.to.mkdir(parents=True, exist_ok=True)
    results, scores = options.to / "fleets.csv", options.to / "fleets_scores.csv"
    print(machine())
    (options.to / "machine.txt").write_text(machine() + "\n")
    with tempfile.TemporaryDirectory() as scratch:
        rows = Rows(Path(scratch), options.adult)
        done = {_key(row) for row in read(results)}
        for run, case, system in _plans(options):
            if _key({**vars(case), "run": run, "case": case.name, "system": system}) in done:
                continue
            measured, seen = measure(case, system, rows.file(case), run)
            print(" ".join(f"{name}={measured[name]}" for name in COLUMNS if measured[name] != ""), flush=True)
            _append(results, COLUMNS, [measured])
            columns = ("run", "case", "system", "trials", "epochs", "second", "score")
            shared = {name: measured[name] for name in columns[:5]}
            _append(scores, columns, [{**shared, "second": f"{s:.2f}", "score": f"{v:.6f}"} for s, v in seen])
    report(options.to)


def measure(case: Case, system: str, data: Path, run: int) -> tuple[dict[str, object], list[tuple[float, float]]]:
    """Run one system on one case; return its row of the results, and (second, score) of each trial."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        started, load = time.time(), os.getloadavg()[0]
        train = _kerastudy if system in FLEETS else _peer
        process = train(case, system, data, run, folder)
        read_scores: Callable[[Path], list[tuple[float, float]]] = _our_scores if system in FLEETS else _peer_scores
        seen = sorted((ended - started, score) for ended, score in read_scores(folder))
    seconds = [second for second, _ in seen]
    error = process.error or ("" if len(seen) == case.trials else f"{len(seen)} of {case.trials} trials finished")
    # Two may train at once, so the first two ends are both the start-up's.
    warm_s = (seconds[-1] - seconds[1]) / (len(seconds) - 2) if len(seconds) > 2 else float("nan")
    with np.load(data) as arrays:
        rows = len(arrays["x_train"])
    return {
        **vars(case),
        **{"run": run, "case": case.name, "system": system, "rows": rows, "finished": len(seen), "error": error},
        "seconds": f"{process.seconds:.2f}",
        "cpu_seconds": f"{process.cpu_seconds:.2f}",
        "first_s": f"{seconds[0]:.2f}" if seconds else "",
        "warm_trial_s": f"{warm_s:.4f}",
        "best": f"{min(score for _, score in seen):.5f}" if seen else "",
        "load": f"{load:.1f}",
    }, seen


def _kerastudy(
    case: Case, system: str, data: Path, run: int, folder: Path, name: str = "bench", *, keeps: bool = False
) -> Process:
    fixed = {"epochs": case.epochs, **(ONE_CONVOLUTION if case.family == "cnn" else {})}
    study = {
        "study": name,
        "data": {"source": str(data), "split": {"test": 0}},
        "model": case.family,
        "space": {**SPACES[case.family, case.space], **SEARCHED, **fixed},
        "objective": {"metric": "val_loss", "direction": "minimize"},
        "training": {"early_stopping": None},
        "search": {"pruner": "none", "seed": run},
        "budget": {"trials": case.trials},
        "resources": {"fleet": int(case.fleet) if case.fleet.isdigit() else case.fleet or FLEETS[system]},
    }
    file = folder / "study.json"
    file.write_text(json.dumps(study))
    return _run([str(KERASTUDY), "--home", str(folder / "home"), "run", str(file)], folder, keeps=keeps)


def _peer(case: Case, system: str, data: Path, run: int, folder: Path) -> Process:
    script, *flags = SCRIPTS[system]
    words = {"--data": data, "--family": case.family, "--space": case.space, "--trials": case.trials}
    words |= {"--epochs": case.epochs, "--seed": run, "--to": folder}
    given = [str(part) for pair in words.items() for part in pair]
    return _run([str(PEER_PYTHON), str(HERE / "peers" / script), *given, *flags], folder)


def _run(command: list[str], folder: Path, *, keeps: bool = False) -> Process:
    """Run a command to its end; `keeps` leaves what it keeps for the next one of this folder, and of no other."""
    environ = {**os.environ, "KERASTUDY_WARM_SECONDS": "300" if keeps else "0", "BENCHMARK": str(folder)}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environ, start_new_session=True)
        try:
            code: int | str = process.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = "too long"
    seconds = time.monotonic() - started
    if not keeps:
        _wait_for_orphans()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    last = (folder / "log").read_text(errors="replace").strip().splitlines()[-3:]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Process(seconds, cpu_s, "" if code == 0 else f"{code}: {' | '.join(last)}"[:500])


def _adopt_orphans() -> None:
    """Have processes that outlive their parent counted with it: a fork server's workers, Ray's daemons. Linux only."""
    pr_set_child_subreaper = 36
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)


def _wait_for_orphans(most_s: float = 30) -> None:
    """Wait until every adopted process has ended; kill those that stay."""
    until = time.monotonic() + most_s
    while children := psutil.Process().children(recursive=True):
        if time.monotonic() > until:
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.1)


def _our_scores(folder: Path, name: str = "bench") -> list[tuple[float, float]]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    store = folder / "home/kerastudy.db"
    if not store.exists():
        return []
    trials = optuna.load_study(study_name=name, storage=f"sqlite:///{store}").get_trials(deepcopy=False)
    return [(t.datetime_complete.timestamp(), t.value) for t in trials if t.datetime_complete and t.value is not None]


def _peer_scores(folder: Path) -> list[tuple[float, float]]:
    file = folder / "scores.csv"
    if not file.exists():
        return []
    return [(float(ended), float(score)) for ended, score in csv.reader(file.read_text().splitlines())]


class Rows:
    """The data sets as files of arrays, divided and standardised once for all systems."""

    def __init__(self, folder: Path, adult: Path | None) -> None:
        self._folder, self._adult = folder, adult

    def file(self, case: Case) -> Path:
        """Return the file of a case's rows, written at the first use."""
        file = self._folder / f"{case.data}-{case.family}.npz"
        if not file.exists():
            x, y = self._load(case.data)
            train, validation = train_test_split(np.arange(len(x)), test_size=0.2, random_state=0, stratify=y)
            spread = x[train].std(axis=0)
            x = ((x - x[train].mean(axis=0)) / np.where(spread > 0, spread, 1)).astype(np.float32)
            x = x.reshape(-1, 8, 8, 1) if case.family == "cnn" else x
            parts = {"x_train": x[train], "y_train": y[train], "x_validation": x[validation]}
            np.savez(file, **parts, y_validation=y[validation])
        return file

    def _load(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        if name.startswith("made-"):
            return sklearn.datasets.make_classification(int(name[5:]), 20, n_informative=10, random_state=0)
        if name == "adult":
            return self._load_adult()
        loaders = {"breast-cancer": sklearn.datasets.load_breast_cancer, "digits": sklearn.datasets.load_digits}
        return loaders[name](return_X_y=True)

    def _load_adult(self) -> tuple[np.ndarray, np.ndarray]:
        import pandas as pd

        assert self._adult is not None, "its case is left out without the folder"
        table = pd.read_csv(self._adult / "train.csv", skipinitialspace=True)
        y = (table.pop("income").str.rstrip(".") == ">50K").astype(int)
        return pd.get_dummies(table).to_numpy(np.float32), y.to_numpy()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="", help="only cases whose name holds this text")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--peer-trials", type=int, default=8, help="peers train so many and are extrapolated")
    parser.add_argument("--epochs", type=int, default=20, help="adult trains a quarter of them")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--adult", type=Path, help="folder of UCI Adult's train.csv; left out without it")
    parser.add_argument("--growth", action="store_true", help="measure how kerastudy's own time grows instead")
    parser.add_argument("--to", type=Path, default=HERE / "results")
    options = parser.parse_args()
    options.systems = options.systems.split(",")
    if unknown := set(options.systems) - set(SYSTEMS):
        parser.error(f"--systems: expected some of {', '.join(SYSTEMS)}, got {', '.join(sorted(unknown))}")
    return options


def _plans(options: argparse.Namespace) -> Iterator[tuple[int, Case, str]]:
    """Yield what to measure; the systems start in another order in each run."""
    for run in range(options.runs):
        if options.growth:
            yield from ((run, case, "kerastudy") for case in _growth())
            continue
        systems = options.systems[run % len(options.systems) :] + options.systems[: run % len(options.systems)]
        for (data, family), space in itertools.product(_sets(options), ("structure", "values")):
            epochs = max(1, options.epochs // 4) if data == "adult" else options.epochs
            for system in systems:
                trials = min(options.peer_trials, options.trials) if system in PEERS else options.trials
                case = Case(data, family, space, trials, epochs)
                if options.cases in case.name:
                    yield run, case, system


def _sets(options: argparse.Namespace) -> list[tuple[str, str]]:
    sets = [("breast-cancer", "mlp"), ("digits", "mlp"), ("digits", "cnn")]
    return [*sets, ("adult", "mlp")] if options.adult else sets


def _growth() -> Iterator[Case]:
    """Yield a case, and others that differ from it in one thing."""
    for space in ("structure", "values"):
        for trials in (16, 64, 256):
            yield Case("made-1000", "mlp", space, trials, 20)
        for epochs in (5, 80):
            yield Case("made-1000", "mlp", space, 64, epochs)
        for rows in (4000, 16000):
            yield Case(f"made-{rows}", "mlp", space, 64, 20)
        for fleet in (1, 4, 16, 64):
            yield Case("made-1000", "mlp", space, 64, 20, str(fleet))


def _key(row: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("run", "case", "system", "trials", "epochs", "fleet"))


def _append(file: Path, columns: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    begun = file.exists()
    with file.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, columns, extrasaction="ignore")
        if not begun:
            writer.writeheader()
        writer.writerows(rows)


def machine() -> str:
    """Return what the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{cpu}, {os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
