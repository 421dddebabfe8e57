"""Overhead of kerastudy on one long trial, beside a plain script with `model.fit` that records in MLflow as well.

    make bench-overhead                    # or, with options:
    .venv/bin/python benchmarks/overhead.py [--cases TEXT] [--epochs N] [--runs N] [--threads N] [--to FOLDER]

The same network of 3 x 256 on the rows of Adult's size, `own-step` with a training step of its own and `own-fit` with a
`fit` of its own: neither can train in one graph or in a fleet, so kerastudy trains them by `Model.fit`, as the script
does. `function` has Keras's own steps, and `family` is the family `mlp` of the same sizes: both train in one graph. A
trial's time is that of its job in the worker: built, trained, scored each epoch, checkpointed, its files and its model
written. The script's is from the line that builds the model to the one that logs it.

Both have the same number of threads, and alternate. The share is of the clock; `cpu` is that of the CPU seconds of the
process that trains, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KERASTUDY = HERE.parent / ".venv/bin/kerastudy"
MODELS = {"own-step": "build_own_step", "own-fit": "OwnFit", "function": "build", "family": "build"}
ROWS, VALIDATION_ROWS, COLUMNS_OF_X, BATCH_SIZE = 26_048, 6_513, 108, 64
COLUMNS = ("run", "case", "system", "epochs", "threads", "trial_s", "cpu_s", "process_s", "trainer", "load")


def main() -> None:
    """Measure, append to the file of results, print the table."""
    options = _parse_options()
    options.to.mkdir(parents=True, exist_ok=True)
    file = options.to / "overhead.csv"
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "rows.npz"
        _write_rows(data)
        for run in range(options.runs):
            for case in (each for each in MODELS if options.cases in each):
                # The other one first in every second run.
                for system in (("script", "kerastudy"), ("kerastudy", "script"))[run % 2]:
                    row = {"run": run, "case": case, "system": system, "epochs": options.epochs}
                    row |= _measure(case, system, data, options)
                    print(row, flush=True)
                    _append(file, row)
    _print_table(file, options.epochs)


def _measure(case: str, system: str, data: Path, options: argparse.Namespace) -> dict[str, Any]:
    started, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        run = _run_script if system == "script" else _run_kerastudy
        measured = run(case, data, options, Path(scratch))
    process_s = f"{time.monotonic() - started:.2f}"
    return {"threads": options.threads, "trainer": "fit", **measured, "process_s": process_s, "load": f"{load:.1f}"}


def _run_script(case: str, data: Path, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    words = {"--data": data, "--model": MODELS[case], "--epochs": options.epochs, "--batch-size": BATCH_SIZE}
    given = [str(part) for pair in {**words, "--to": folder}.items() for part in pair]
    threads = str(options.threads)
    environ = {**os.environ, "TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
    done = _run([sys.executable, str(HERE / "peers/plain_fit.py"), *given], environ, folder)
    measured = json.loads(done.strip().splitlines()[-1])
    return {"trial_s": f"{measured['clock_s']:.3f}", "cpu_s": f"{measured['cpu_s']:.3f}"}


def _run_kerastudy(case: str, data: Path, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    is_family = case == "family"
    space = {"depth": 3, "units": 256, "activation": "relu", "optimizer": "adam"} if is_family else {}
    study = {
        "study": "overhead",
        "data": {"source": str(data), "split": {"test": 0}},
        "model": "mlp" if is_family else f"{HERE / 'peers/overhead_models.py'}:{MODELS[case]}",
        "space": {**space, "learning_rate": 1e-3, "epochs": options.epochs, "batch_size": BATCH_SIZE},
        "objective": {"metric": "val_loss"},
        "training": {"early_stopping": None},
        "search": {"pruner": "none"},
        "budget": {"trials": 1},
        "resources": {"workers": max(1, (os.cpu_count() or 1) // options.threads), "fleet": "off"},
    }
    file = folder / "study.json"
    file.write_text(json.dumps(study))
    _run(
        [str(KERASTUDY), "--home", str(folder / "home"), "run", str(file)],
        {**os.environ, "KERASTUDY_WARM_SECONDS": "0"},
        folder,
    )
    result = json.loads((folder / "home/studies/overhead/trials/0000/result.json").read_text())
    return {
        "trial_s": f"{result['seconds']:.3f}",
        "cpu_s": f"{result['resources']['cpu_s']:.3f}",
        "trainer": result["trainer"],
    }


def _run(command: list[str], environ: dict[str, str], folder: Path) -> str:
    # MLflow keeps artifacts in the current folder.
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
    return done.stdout


def _write_rows(file: Path) -> None:
    """Write made-up rows of Adult's size, whose label follows from them with some noise."""
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS + VALIDATION_ROWS, COLUMNS_OF_X)).astype(np.float32)
    y = (x[:, :8].sum(axis=1) + random.normal(size=len(x)) > 0).astype(np.int32)
    parts = {"x_train": x[:ROWS], "y_train": y[:ROWS], "x_validation": x[ROWS:], "y_validation": y[ROWS:]}
    np.savez(file, **parts)


def _append(file: Path, row: dict[str, Any]) -> None:
    is_new = not file.exists()
    with file.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def _print_table(file: Path, epochs: int) -> None:
    """Print the medians of all runs of so many epochs, with the ranges of the shares."""
    with file.open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if int(row["epochs"]) == epochs]
    print("\n| model | trained by | script, s a trial | kerastudy, s a trial | share | of CPU | whole process |")
    print("|---|---|---|---|---|---|---|")
    for case in MODELS:
        ours, theirs = (
            {row["run"]: row for row in rows if row["case"] == case and row["system"] == system}
            for system in ("kerastudy", "script")
        )
        runs = sorted(ours.keys() & theirs.keys())
        if not runs:
            continue
        cells = [case, ours[runs[0]]["trainer"]]
        cells += [f"{statistics.median(float(each[run]['trial_s']) for run in runs):.1f}" for each in (theirs, ours)]
        for column in ("trial_s", "cpu_s", "process_s"):
            shares = [float(ours[run][column]) / float(theirs[run][column]) for run in runs]
            cells.append(f"{statistics.median(shares):.3f} ({min(shares):.3f} to {max(shares):.3f})")
        print(f"| {' | '.join(cells)} |")


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", default="", help="only cases whose name holds this text")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--to", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
