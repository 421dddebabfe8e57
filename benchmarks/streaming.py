"""Memory of a study whose data is larger than its limit, over time; and its speed beside rows in memory.

Writes a table of so many times the limit of memory, or pictures of so many times in pixels, runs a study on it as a
user would, and reads what every process below holds (resident without shared pages) five times a second. Then the same
study runs on a table that fits, once streamed and once in memory: same scores, and the ratio of their times.

    python benchmarks/streaming.py [--limit-gb 1] [--times 10] [--format parquet|csv|pictures] [--held-out 0.05]
        [--folder FOLDER] [--small-only | --large-only]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import yaml
from PIL import Image

COLUMNS = 60
PIECE = 100_000
SMALL_ROWS = 200_000
SIDE = 128  # pixels of a picture
CNN: dict[str, Any] = {
    "blocks": 1, "filters": 8, "kernel_size": 3, "convolutions_per_block": 1, "pooling": "stride", "dense_units": 0,
    "batch_normalization": False, "batch_size": 128,
}  # fmt: skip
EVERY_S = 0.2
KINDS = ("worker", "supervisor", "delivery")
KERASTUDY = [sys.executable, "-m", "kerastudy"]


def main() -> None:
    """Run both parts and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit-gb", type=float, default=1.0)
    parser.add_argument("--times", type=float, default=10.0)
    parser.add_argument("--format", choices=["parquet", "csv", "pictures"], default="parquet")
    parser.add_argument("--held-out", type=float, default=0.05, help="share of rows in validation, and in test")
    parser.add_argument("--folder", type=Path, default=None, help="takes about three times the data; temporary if none")
    parser.add_argument("--small-only", action="store_true")
    parser.add_argument("--large-only", action="store_true", help="pictures are measured alone in any case")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        if not arguments.small_only:
            measure_large(folder, arguments.limit_gb, arguments.times, arguments.format, arguments.held_out)
        if not arguments.large_only and arguments.format != "pictures":
            compare_small(folder, arguments.format)
    finally:
        shutil.rmtree(folder)


def measure_large(folder: Path, limit_gb: float, times: float, form: str, held_out: float) -> None:
    """Run a study on a table or pictures of so many times the limit, and print what its processes held."""
    source, size = folder / f"large.{form}", int(limit_gb * times * 1e9)
    if form == "pictures":
        rows, shown = write_pictures(source, size), "pixels of pictures"
    else:
        rows, shown = write_table(source, size=size), form
        size = source.stat().st_size
    print(
        f"{rows:,} rows, {size / 1e9:.2f} GB of {shown}; limit: {limit_gb:g} GB, so {size / 1e9 / limit_gb:.1f} times"
    )
    spec = {"streaming": "auto", "split": {"validation": held_out, "test": held_out}}
    study = write_study(folder, "large", source, spec, limit=limit_gb, epochs=1, trials=1)
    started, home = time.monotonic(), folder / "home-large"
    watch = Watch(home / "studies" / "large")
    try:
        output = run_command("run", study, "--home", home, watch=watch)
        print("\n".join(f"    {line}" for line in output.splitlines() if "streaming" in line or "complete" in line))
    finally:
        for phase, kind in itertools.product(("preparation", "training", "scoring"), KINDS):
            print(f"{phase}, {kind}: {watch.describe(phase, kind)}")
        print(f"whole study: {time.monotonic() - started:.0f} s", flush=True)
    watch = Watch(home / "studies" / "large")
    run_command("export", "large", "--to", folder / "exported", "--home", home, watch=watch)
    for kind in KINDS:
        # All that is trained and scored is there when it begins.
        print(f"export, {kind}: {watch.describe('scoring', kind)}")
    shutil.rmtree(home)


def compare_small(folder: Path, form: str) -> None:
    """Run a study on a table that fits, streamed and in memory, and print its scores and times."""
    file = folder / f"small.{form}"
    rows, found = write_table(file, rows=SMALL_ROWS), {}
    for streaming in (True, False):
        name = "streamed" if streaming else "in-memory"
        spec = {"streaming": streaming, "split": {"validation": 0.05, "test": 0.05}}
        study = write_study(folder, name, file, spec, limit=None, epochs=4, trials=2)
        home = folder / f"home-{name}"
        run_command("run", study, "--home", home)
        command = [*KERASTUDY, "trials", name, "--json", "--home", str(home)]
        trials = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        found[name] = [(trial["values"][0], trial["seconds"]) for trial in trials]
        print(f"{name}: {rows:,} rows, scores {[value for value, _ in found[name]]}")
    seconds = {name: sum(spent for _, spent in trials) for name, trials in found.items()}
    ratio = seconds["streamed"] / seconds["in-memory"]
    print(f"training, streamed to in memory: {ratio:.1f} times as long ({seconds['streamed']:.0f} s, 8 epochs)")
    apart = max(abs(ours - theirs) / theirs for (ours, _), (theirs, _) in zip(*found.values(), strict=True))
    print(f"largest difference of scores: {apart:.1e} of the score")


class Watch(threading.Thread):
    """What processes below this one hold over time, by the phase of a study."""

    def __init__(self, study: Path) -> None:
        super().__init__(daemon=True)
        self._ends = {
            "preparation": study / "data" / "summary.json",
            "training": study / "trials" / "0000" / "model.keras",
        }
        self._done = threading.Event()
        self.samples: list[tuple[str, str, float, float]] = []

    def run(self) -> None:
        """Sample until `stop`."""
        started = time.monotonic()
        while not self._done.wait(EVERY_S):
            phase = next((phase for phase, end in self._ends.items() if not end.exists()), "scoring")
            for kind, held in measure_kinds(psutil.Process().children(recursive=True)).items():
                self.samples.append((phase, kind, time.monotonic() - started, held / 1e6))

    def stop(self) -> None:
        """Take no further sample."""
        self._done.set()
        self.join()

    def describe(self, phase: str, kind: str, parts: int = 10) -> str:
        """Return the peak of the largest process of a kind in each tenth of a phase."""
        held = [size for word, name, _, size in self.samples if (word, name) == (phase, kind)]
        if not held:
            return "no sample"
        bounds = np.linspace(0, len(held), parts + 1).astype(int)
        tenths = [max(held[low:high]) for low, high in itertools.pairwise(bounds) if high > low]
        peaks = ", ".join(f"{size:.0f}" for size in tenths)
        return f"peak {max(held):.0f} MB; by tenths: {peaks} MB"


def measure_kinds(processes: Sequence[psutil.Process]) -> dict[str, int]:
    """Return the bytes of the largest process of each kind."""
    largest = dict.fromkeys(KINDS, 0)
    for process in processes:
        kind = find_kind(process)
        largest[kind] = max(largest[kind], measure(process))
    return largest


def find_kind(process: psutil.Process) -> str:
    """Return what a process does for a study: the limit holds for workers."""
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return "worker"
    if "-m kerastudy" in words:
        return "supervisor"
    return "delivery" if "delivery_process" in words else "worker"


def measure(process: psutil.Process) -> int:
    """Return the bytes that a process holds, as kerastudy's limit counts them."""
    try:
        held = process.memory_info()
    except psutil.Error:
        return 0
    return int(held.rss - held.shared)


def write_table(file: Path, size: int | None = None, rows: int | None = None) -> int:
    """Write a table until its file has a size or so many rows, and return its rows."""
    random, written = np.random.default_rng(0), 0
    writer: Any = None
    while (rows is not None and written < rows) or (size is not None and (not written or file.stat().st_size < size)):
        table = make_piece(random, written)
        if writer is None:
            writer = open_writer(file, table.schema)
        writer.write_table(table)
        written += table.num_rows
    writer.close()
    return written


def open_writer(file: Path, schema: pa.Schema) -> Any:
    """Return a writer of tables."""
    if file.suffix == ".csv":
        return pyarrow.csv.CSVWriter(file, schema)
    # Random digits have no dictionary, and compressing them takes long.
    return pyarrow.parquet.ParquetWriter(file, schema, compression="none", use_dictionary=["shop"])


def make_piece(random: np.random.Generator, start: int) -> pa.Table:
    """Return some rows: numbers, gaps, a long tail, a column of categories and a target of them."""
    x = random.normal(size=(PIECE, COLUMNS))
    x[:, 1] = np.exp(2 * x[:, 1])
    gaps = random.random(PIECE) < 0.05
    shop = random.integers(0, 30, PIECE)
    y = 2 * x[:, 0] + np.log(x[:, 1]) + 0.1 * shop + random.normal(size=PIECE)
    columns: dict[str, Any] = {f"x{index}": x[:, index] for index in range(COLUMNS)}
    columns["x2"] = pa.array(x[:, 2], mask=gaps)
    columns["shop"] = [f"shop {number}" for number in shop]
    return pa.table({**columns, "y": y})


def write_pictures(folder: Path, size: int) -> int:
    """Write pictures of noise in two classes, one brighter, of so many bytes of pixels; return their number."""
    random, written = np.random.default_rng(0), 0
    while written * 3 * SIDE**2 < size:
        label = written % 2
        pixels = random.integers(0, 200 + 55 * label, (SIDE, SIDE, 3), dtype=np.uint8)
        # Not packed: noise takes long to pack, and no longer to read.
        file = folder / f"class_{label}" / f"{written // 1000}" / f"{written}.bmp"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
        written += 1
    return written


def write_study(
    folder: Path, name: str, source: Path, spec: dict[str, Any], *, limit: float | None, epochs: int, trials: int
) -> Path:
    """Write a study file and return its path."""
    table = {"model": "mlp", "space": {"extends": "mlp", "batch_size": 4096, "depth": 1, "units": 32}}
    pictures = {"model": "cnn", "space": {"extends": "cnn", **CNN}}
    target = {} if source.is_dir() else {"target": "y"}
    family = pictures if source.is_dir() else table
    study = {
        "study": name,
        "data": {"source": source.name, **target, **spec},
        **family,
        "search": {"sampler": "random", "seed": 1},
        "budget": {"trials": trials},
        "limits": {"data_time": "24h", **({} if limit is None else {"memory": f"{limit:g}GB"})},
        "resources": {"workers": 1, "fleet": "off"},
        "selection": {"finalists": 0},
    }
    family["space"]["epochs"] = epochs  # type: ignore[index]
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def run_command(verb: str, *arguments: str | Path, watch: Watch | None = None) -> str:
    """Run a command of kerastudy and return what it printed."""
    command = [*KERASTUDY, verb, *map(str, arguments)]
    if watch is not None:
        watch.start()
    try:
        # What another command left loaded has its processes elsewhere, where they are not counted.
        environ = {**os.environ, "KERASTUDY_WARM_SECONDS": "0"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    finally:
        if watch is not None:
            watch.stop()
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
