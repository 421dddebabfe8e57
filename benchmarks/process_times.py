"""CPU seconds of a whole small study, by process: what a cold study of fleets costs on a machine without idle cores.

    .venv/bin/python benchmarks/process_times.py [--data D,F] [--trials N] [--runs N] [--spaces A,B]
        [--against CHECKOUT] [--to F]

Every study has an empty home, and nothing is kept from one command for the next. The sum is the kernel's, of all
processes that have ended; the parts are each process's own times as last seen, every 20 ms, so they lack a little. With
`--against`, studies of this checkout and of another alternate. The cases are those of `fleets.py`, of breast cancer
with dense networks unless `--data` names others.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import statistics
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import fleets
import psutil
from fleets import HERE, Case, Rows

COLUMNS = ("run", "checkout", "space", "trials", "seconds", "cpu_seconds", "load", "error")
_EVERY_S = 0.02


class Census(threading.Thread):
    """Times of all processes below this one, each as last seen.

    Attributes:
        seconds: CPU seconds by process id, with the last name of each.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds: dict[int, tuple[str, float]] = {}
        self._has_ended = threading.Event()

    def run(self) -> None:
        """Look until `stop`."""
        while not self._has_ended.wait(_EVERY_S):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    before = self.seconds.get(process.pid, ("", 0.0))[0]
                    # One that has ended has no command line any more.
                    self.seconds[process.pid] = (_name(process) or before, times.user + times.system)

    def stop(self) -> dict[str, float]:
        """Return the seconds by name."""
        self._has_ended.set()
        self.join()
        sums: dict[str, float] = {}
        for name, seconds in self.seconds.values():
            sums[name] = sums.get(name, 0.0) + seconds
        return sums


def _name(process: psutil.Process) -> str:
    """Return the kind of a process; empty where it has ended."""
    words = process.cmdline()
    text = " ".join(words)
    if "delivery_process" in text:
        return "delivery"
    if "run" in words and "--home" in words:
        return "supervisor"
    if (found := re.search(r"preload\.(\w+)['\"]?\]", text)) is None:
        return text[:40]
    # A worker is forked, and has its server's command line.
    is_worker = (parent := process.parent()) is not None and parent.cmdline() == words
    return f"{found[1]}, {'workers' if is_worker else 'server'}"


def main() -> None:
    """Measure, append to the file of results, print the medians."""
    options = _parse_options()
    options.to.mkdir(parents=True, exist_ok=True)
    file = options.to / "process_times.csv"
    fleets._adopt_orphans()
    checkouts = [HERE.parent, *([options.against.resolve()] if options.against else [])]
    sums: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        rows = Rows(Path(scratch), None)
        for run in range(options.runs):
            for space in options.spaces.split(","):
                data, family = options.data.split(",")
                case = Case(data, family, space, options.trials, 20)
                for checkout in checkouts if run % 2 == 0 else checkouts[::-1]:
                    row, parts = _measure(case, checkout, rows.file(case), run)
                    print(row, {name: round(part, 2) for name, part in sorted(parts.items())}, flush=True)
                    _append(file, row)
                    sums.setdefault((space, checkout.name), []).append({"all": float(row["cpu_seconds"]), **parts})
    for (space, checkout_name), found in sums.items():
        print(f"\n{space}, {checkout_name}, {len(found)} runs: CPU seconds, medians (ranges)")
        for name in sorted({name for each in found for name in each}):
            numbers = [each.get(name, 0.0) for each in found]
            print(f"  {name}: {statistics.median(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f})")


def _measure(case: Case, checkout: Path, data: Path, run: int) -> tuple[dict[str, str], dict[str, float]]:
    fleets.KERASTUDY = checkout / ".venv/bin/kerastudy"
    census, load = Census(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        census.start()
        process = fleets._kerastudy(case, "kerastudy", data, run, Path(scratch))
        parts = census.stop()
    return {
        "run": str(run),
        "checkout": checkout.name,
        "space": case.space,
        "trials": str(case.trials),
        "seconds": f"{process.seconds:.2f}",
        "cpu_seconds": f"{process.cpu_seconds:.2f}",
        "load": f"{load:.1f}",
        "error": process.error,
    }, parts


def _append(file: Path, row: dict[str, str]) -> None:
    is_new = not file.exists()
    with file.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--spaces", default="structure,values")
    parser.add_argument("--data", default="breast-cancer,mlp", help="data and family, as digits,cnn")
    parser.add_argument("--against", type=Path)
    parser.add_argument("--to", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
