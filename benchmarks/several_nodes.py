"""Trials per hour on a Ray cluster of several nodes: kerastudy on Ray, kerastudy on its local engine, and Ray Tune.

    make bench-nodes                      # or, with options:
    .venv/bin/python benchmarks/several_nodes.py [--nodes 1,2,4] [--trials N] [--epochs N] [--runs N] [--kills N]

The nodes are processes of this machine (`ray.cluster_utils.Cluster`), each with one CPU. On a machine with fewer cores
than nodes they share them, as the workers of the local engine do. Every run is a process of its own, timed from its
start to its end, on a cluster that has started before; the systems alternate. All train the same network on the same
rows for the same number of epochs, with a checkpoint after each epoch. kerastudy records every trial in MLflow, and
Ray Tune records in its own folder.

With `--kills N`, nodes are killed and replaced while a run is under way, at equal parts of the time that it took
without.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "support"))

STUDY = """
study: nodes
data: {{source: rows.npz, split: {{validation: 0.25, test: 0.1, seed: 1}}}}
model: mlp
space:
  {{depth: 2, units: 64, activation: relu, optimizer: adam, batch_size: 32, dropout: 0.1, l2: 1.0e-5,
   l1: 0.0, batch_normalization: false, epochs: {epochs},
   learning_rate: {{type: float, low: 3.0e-4, high: 3.0e-2, log: true}}}}
objective: {{metric: val_loss, direction: minimize}}
training: {{early_stopping: null}}
search: {{sampler: random, pruner: none}}
budget: {{trials: {trials}}}
limits: {{attempts: 20}}
resources: {{{engine}, workers: {nodes}, fleet: off}}
selection: {{finalists: 0, baselines: false}}
tracking: {{keep_models: 1}}
"""


def make_rows(folder: Path) -> None:
    """Write 4,000 rows of 20 columns and two classes, for kerastudy and for the peer."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 20)).astype(np.float32)
    y = (x[:, :5].sum(axis=1) + rng.normal(size=4000) > 0).astype(np.int64)
    np.savez(folder / "rows.npz", x=x, y=y)
    np.savez(
        folder / "peer.npz", x_train=x[:2600], y_train=y[:2600], x_validation=x[2600:3600], y_validation=y[2600:3600]
    )


def build_command(system: str, folder: Path, address: str, options: argparse.Namespace, nodes: int) -> list[str]:
    """Return the command of one run in an empty folder."""
    make_rows(folder)
    if system == "ray-tune":
        peer = str(ROOT / "benchmarks" / "peers" / "ray_tune_nodes.py")
        numbers = [str(options.trials), str(options.epochs)]
        return [sys.executable, peer, address, str(folder / "peer.npz"), *numbers, str(folder)]
    engine = f'engine: ray, address: "{address}"' if system == "kerastudy-ray" else "engine: local"
    (folder / "study.yaml").write_text(
        STUDY.format(epochs=options.epochs, trials=options.trials, engine=engine, nodes=nodes)
    )
    return [str(Path(sys.executable).with_name("kerastudy")), "run", "study.yaml"]


def run(command: list[str], folder: Path, cluster: Any, every_s: float, kills: int) -> tuple[float, str]:
    """Return the seconds of a run and its output; kill and replace a node so many times, at equal intervals."""
    output = folder / "output.txt"
    with output.open("w") as file:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT)
        killed = 0
        while process.poll() is None:
            if killed < kills and time.monotonic() - started > every_s * (killed + 1):
                cluster.kill(0)
                cluster.add()
                killed += 1
            time.sleep(0.1)
        took_s = time.monotonic() - started
    text = output.read_text()
    if process.returncode:
        print(text[-2000:], file=sys.stderr)
    return took_s, text


def measure(
    system: str, options: argparse.Namespace, nodes: int, kills: int = 0, every_s: float = 0.0
) -> tuple[float, int]:
    """Return the seconds of one run, and the trials that it finished."""
    from ray_nodes import start_ray

    with tempfile.TemporaryDirectory() as name, start_ray(nodes) as cluster:
        folder = Path(name)
        command = build_command(system, folder, cluster.address, options, nodes)
        took_s, output = run(command, folder, cluster, every_s, kills)
        return took_s, _count_finished(system, folder, output)


def _count_finished(system: str, folder: Path, output: str) -> int:
    if system == "ray-tune":
        return int(output.rpartition("finished ")[2].split()[0]) if "finished " in output else 0
    return len(list(folder.glob(".kerastudy/studies/nodes/trials/*/result.json")))


def describe(times_s: Sequence[float], trials: int) -> str:
    """Return the median with its range, and the trials per hour of it."""
    median_s = statistics.median(times_s)
    return (
        f"{median_s:6.1f} s ({min(times_s):.1f} to {max(times_s):.1f})  {3600 * trials / median_s:6.0f} trials an hour"
    )


def main() -> None:
    """Measure and print a line for each number of nodes and each system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="1,2,4")
    parser.add_argument("--systems", default="kerastudy-local,kerastudy-ray,ray-tune")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=0)
    options = parser.parse_args()
    for nodes in map(int, options.nodes.split(",")):
        times: dict[str, list[float]] = {}
        for _ in range(options.runs):
            for system in options.systems.split(","):
                took_s, finished = measure(system, options, nodes)
                times.setdefault(system, []).append(took_s)
                print(f"  {nodes} nodes, {system}: {took_s:.1f} s, {finished} of {options.trials} trials", flush=True)
        for system, measured in times.items():
            print(f"{nodes} nodes, {system:16}{describe(measured, options.trials)}", flush=True)
            if options.kills and system != "kerastudy-local":
                plain_s = statistics.median(measured)
                took_s, finished = measure(system, options, nodes, options.kills, plain_s / (options.kills + 1))
                print(
                    f"{nodes} nodes, {system:16}{options.kills} nodes lost: {took_s:6.1f} s, {finished} of "
                    f"{options.trials} trials, {took_s / plain_s:.2f} times as long",
                    flush=True,
                )


if __name__ == "__main__":
    main()
