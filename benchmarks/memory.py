"""Memory of the processes of a study over many trials: supervisor, delivery, fork servers and workers.

    .venv/bin/python benchmarks/memory.py [--fleet-trials N] [--graph-trials N] [--epochs N] [--to FOLDER]

Two studies of a small network: one whose trials train in fleets, and one whose trials train one by one, in one graph
each. Every two seconds the proportional set size (PSS) of each process is read from `smaps_rollup`: a page that several
processes share counts once, in equal parts, so the sum is what the study takes of the machine. Linux only.

The table has megabytes of the largest process of each kind: while the first trial is awaited, at a tenth of the trials,
at the middle and at the end, and the growth from there to the end for each hundred trials.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

HERE = Path(__file__).parent
KERASTUDY = HERE.parent / ".venv/bin/kerastudy"
EVERY_S = 2.0
COLUMNS = ("study", "second", "trials", "kind", "process", "pss_mb")


@dataclass(frozen=True)
class Sample:
    """Memory of a process at a moment; `trials` have ended then."""

    study: str
    second: float
    trials: int
    kind: str
    process: int
    pss_mb: float


def main() -> None:
    """Run both studies and print the table."""
    options = _parse_options()
    options.to.mkdir(parents=True, exist_ok=True)
    # Processes that outlive their parent become this one's children, and are found.
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)
    samples: list[Sample] = []
    for study, fleet, trials in (("fleets", "auto", options.fleet_trials), ("graphs", "off", options.graph_trials)):
        if trials:
            samples += _run(study, fleet, trials, options.epochs)
    with (options.to / "memory.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        writer.writerows([*vars(sample).values()] for sample in samples)
    _print_table(samples)


def _run(study: str, fleet: str, trials: int, epochs: int) -> list[Sample]:
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = _write_study(folder, study, fleet, trials, epochs)
        known = {process.pid for process in psutil.Process().children(recursive=True)}
        with (folder / "log").open("w") as log:
            command = [str(KERASTUDY), "--home", str(folder / "home"), "run", str(file)]
            environ = {**os.environ, "KERASTUDY_WARM_SECONDS": "0"}  # else its servers may be another command's
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environ)
            began = time.monotonic()
            while process.poll() is None:
                ended = _count_ended(folder / "home/studies" / study / "events.jsonl")
                samples += _sample(study, time.monotonic() - began, ended, process.pid, known)
                time.sleep(EVERY_S)
        if process.returncode:
            raise SystemExit((folder / "log").read_text()[-3000:])
        print(f"{study}: {trials} trials in {time.monotonic() - began:.0f} s", flush=True)
        for left in psutil.Process().children(recursive=True):
            if left.pid not in known:
                left.terminate()
    return samples


def _write_study(folder: Path, name: str, fleet: str, trials: int, epochs: int) -> Path:
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 20)).astype(np.float32)
    np.savez(folder / "rows.npz", x=x, y=(x[:, 0] + x[:, 1] > 0).astype(np.int32))
    searched = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
    study = {
        "study": name,
        "data": {"source": str(folder / "rows.npz"), "split": {"test": 0}},
        "model": "mlp",
        "space": {"depth": {"type": "int", "low": 1, "high": 2}, "units": [16, 32], "learning_rate": searched}
        | {"batch_size": 32, "epochs": epochs},
        "objective": {"metric": "val_loss"},
        "training": {"early_stopping": None},
        "search": {"sampler": "random", "pruner": "none"},
        "budget": {"trials": trials},
        "resources": {"fleet": fleet},
    }
    file = folder / "study.json"
    file.write_text(json.dumps(study))
    return file


def _count_ended(file: Path) -> int:
    return file.read_bytes().count(b'"event": "trial-ended"') if file.exists() else 0


def _sample(study: str, second: float, trials: int, supervisor: int, known: set[int]) -> Iterator[Sample]:
    for process in psutil.Process().children(recursive=True):
        if process.pid in known:
            continue
        try:
            pss_mb = _read_pss(process.pid) / 1e6
            kind = _find_kind(process, supervisor)
        except (OSError, psutil.Error, ValueError):  # it has just ended
            continue
        yield Sample(study, round(second, 1), trials, kind, process.pid, round(pss_mb, 1))


def _find_kind(process: psutil.Process, supervisor: int) -> str:
    if process.pid == supervisor:
        return "supervisor"
    line = " ".join(process.cmdline())
    if "delivery_process" in line:
        return "delivery"
    if "resource_tracker" in line:
        return "resource tracker"
    parent = process.parent()
    is_forked = parent is not None and parent.pid != supervisor and parent.cmdline() == process.cmdline()
    return "worker" if is_forked else "fork server"


def _read_pss(process: int) -> int:
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no PSS")


def _print_table(samples: list[Sample]) -> None:
    print("\n| study | process | before the first trial | a tenth | half | the end | MB for each 100 trials |")
    print("|---|---|---|---|---|---|---|")
    for study in dict.fromkeys(sample.study for sample in samples):
        of_study = [sample for sample in samples if sample.study == study]
        for kind in (*dict.fromkeys(sample.kind for sample in of_study), "all"):
            print(f"| {study} | {kind} | {' | '.join(_describe(of_study, kind))} |")


def _describe(samples: list[Sample], kind: str) -> Iterator[str]:
    """Yield the cells of a row: the median of the largest process at a few points, and the growth."""
    most = max(sample.trials for sample in samples)
    moments: dict[float, tuple[int, list[float]]] = {}
    for sample in samples:
        if kind in (sample.kind, "all"):
            moments.setdefault(sample.second, (sample.trials, []))[1].append(sample.pss_mb)
    joined = [(trials, sum(found) if kind == "all" else max(found)) for trials, found in moments.values()]
    points = ((0, 0), (0.05 * most, 0.15 * most), (0.45 * most, 0.55 * most), (0.9 * most, most - 1))
    for low, high in points:
        found = [size for trials, size in joined if low <= trials <= high]
        yield f"{statistics.median(found):.0f}" if found else ""
    later = [(trials, size) for trials, size in joined if 0.3 * most <= trials < most]
    yield f"{_fit_slope(later) * 100:+.1f}" if len({trials for trials, _ in later}) > 2 else ""


def _fit_slope(points: list[tuple[int, float]]) -> float:
    slope, _ = np.polyfit([trials for trials, _ in points], [size for _, size in points], 1)
    return float(slope)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fleet-trials", type=int, default=1000)
    parser.add_argument("--graph-trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--to", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
