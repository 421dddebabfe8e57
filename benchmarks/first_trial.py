"""Time from the command to the first finished trial, cold and warm, beside other tools.

    .venv/bin/python benchmarks/first_trial.py [--trials N] [--epochs N] [--runs N] [--systems A,B] [--to FOLDER]

Cold: an empty home, and nothing of kerastudy runs. Warm: a second study, of another name and seed, in the same home
ten seconds after the first has ended; `cpu_seconds` lack those of what is kept. The peers keep nothing for a second
command, so both of theirs are measured alike. The cases are those of `fleets.py` for breast cancer. A first trial is
finished when its result is stored: for kerastudy in Optuna's tables, for a peer when its objective returns. Each (run,
case, system) alternates.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fleets
import optuna
from fleets import HERE, Case, Process, Rows

SYSTEMS = ("kerastudy", "optuna-mlflow", "keras-tuner")
TURNS = ("cold", "warm")
_PAUSE_S = 10  # the server of the next command is loaded once the first command has ended
COLUMNS = ("run", "case", "system", "turn", "first_s", "all_s", "cpu_seconds", "trials", "load", "error")


def main() -> None:
    """Measure, append to the file of results, print the table."""
    options = _parse_options()
    options.to.mkdir(parents=True, exist_ok=True)
    file = options.to / "first_trial.csv"
    fleets._adopt_orphans()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        rows = Rows(Path(scratch), None)
        for run in range(options.runs):
            for space in ("structure", "values"):
                case = Case("breast-cancer", "mlp", space, options.trials, options.epochs)
                for system in options.systems.split(","):
                    for row in _measure(case, system, rows.file(case), run):
                        print(row, flush=True)
                        _append(file, row)
    _print_table(file)


def _measure(case: Case, system: str, data: Path, run: int) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        for index, turn in enumerate(TURNS):
            started, load = time.time(), os.getloadavg()[0]
            folder = Path(scratch) if system == "kerastudy" else Path(scratch) / turn
            folder.mkdir(exist_ok=True)
            if system == "kerastudy":
                time.sleep(_PAUSE_S * index)
                started = time.time()
                process = fleets._kerastudy(case, "kerastudy", data, 2 * run + index, folder, name=turn, keeps=True)
                ends = [ended - started for ended, _ in fleets._our_scores(folder, turn)]
            else:
                process = fleets._peer(case, system, data, 2 * run + index, folder)
                ends = [ended - started for ended, _ in fleets._peer_scores(folder)]
            yield {"run": run, "case": case.name, "system": system, "turn": turn, **_describe(process, ends, load)}
    subprocess.run([fleets.KERASTUDY, "warm", "--end"], check=True, stdout=subprocess.DEVNULL)


def _describe(process: Process, ends: list[float], load: float) -> dict[str, Any]:
    return {
        "first_s": f"{min(ends):.2f}" if ends else "",
        "all_s": f"{process.seconds:.2f}",
        "cpu_seconds": f"{process.cpu_seconds:.2f}",
        "trials": len(ends),
        "load": f"{load:.1f}",
        "error": process.error,
    }


def _append(file: Path, row: dict[str, Any]) -> None:
    is_new = not file.exists()
    with file.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def _print_table(file: Path) -> None:
    """Print the medians of all runs with their ranges."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if not row["error"]:
                groups.setdefault((row["case"], row["system"], row["turn"]), []).append(row)
    print("\n| case | system | | first trial, s | all trials, s |\n|---|---|---|---|---|")
    for key, rows in groups.items():
        cells = [_format_median([float(row[name]) for row in rows]) for name in ("first_s", "all_s")]
        print(f"| {' | '.join([*key, *cells])} |")


def _format_median(numbers: list[float]) -> str:
    spread = f" ({min(numbers):.1f} to {max(numbers):.1f})" if len(numbers) > 1 else ""
    return f"{statistics.median(numbers):.1f}{spread}"


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--to", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
