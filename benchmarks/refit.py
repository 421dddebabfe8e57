"""Models that a study delivers, on published test splits of UCI regression sets, beside a published table.

A study searches with the training and validation rows of a split. The model of its winner as the search trained it and
the model that it delivers are scored on the test rows: an ensemble or a refit where the study's comparison allows it
(`pipelines/selection/`), else the same one.

    python benchmarks/refit.py FOLDER [--sets NAME ...] [--splits N] [--first N] [--trials N] [--selection TEXT]

Each set is a folder with `data.csv` (a header row, the target last) and `test_rows.json` (test row numbers for
each split): Concrete, Energy Efficiency and Wine Quality of UCI, CC BY 4.0, with the splits of Gal and Ghahramani's
public code. `published_rmse.csv` beside them has the test RMSE of their tuned networks on each split ("Dropout as a
Bayesian Approximation", ICML 2016): data_set, split, rmse_tuned_dropout, rmse_monte_carlo.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd

from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import run_job
from pipelines.operations.run import run_to_end, supervise
from pipelines.selection.evaluate import make_comparison_job
from pipelines.selection.model_locations import find_winning_model, locate_trial
from pipelines.study.load import load_study
from pipelines.workspace.home import Home

STUDY = """\
study: delivered
data: {{source: data.csv, target: {target}, split: {{column: part}}}}
model: mlp
space:
  depth: {{type: int, low: 1, high: 3}}
  units: {{type: int, low: 32, high: 256, log: true}}
  activation: [relu, silu]
  learning_rate: {{type: float, low: 1e-3, high: 1e-2, log: true}}
  schedule: [cosine, constant]
  batch_size: [16, 32]
  l2: {{type: float, low: 1e-8, high: 1e-4, log: true}}
  dropout: {{type: float, low: 0.0, high: 0.1}}
  epochs: {epochs}
objective: {{metric: val_root_mean_squared_error, direction: minimize}}
training: {{early_stopping: {{patience: {patience}}}}}
search: {{seed: {seed}}}
budget: {{trials: {trials}}}
resources: {{workers: {workers}}}
selection: {selection}
"""


@dataclass(frozen=True)
class Measured:
    """Test RMSE of a winner's own model and of the delivered one, and the published ones of the split."""

    own: float
    delivered: float
    reason: str
    published: tuple[float, float]
    seconds: float


def main() -> None:
    """Run a study for each set and split, and print a table."""
    options = _parse_options()
    published = _read_published(options.folder / "published_rmse.csv")
    print(f"{options.trials} trials a study of {options.epochs} epochs, selection: {options.selection}; test RMSE")
    for name in options.sets:
        found = []
        for split in range(options.first, options.first + options.splits):
            found.append(_measure(options, name, split, published[name, split]))
            last = found[-1]
            print(
                f"  {name} {split}: own {last.own:.4f}, delivered {last.delivered:.4f}, published "
                f"{last.published[0]:.4f} and {last.published[1]:.4f}, {last.seconds:.0f} s; {last.reason}",
                flush=True,
            )
        print(f"{name}, {len(found)} splits: {_summarize(found)}", flush=True)


def _summarize(found: Sequence[Measured]) -> str:
    columns = [fmean(each.published[column] for each in found) for column in (0, 1)]
    return (
        f"own {fmean(each.own for each in found):.4f}, delivered {fmean(each.delivered for each in found):.4f}, "
        f"published {columns[0]:.4f} and {columns[1]:.4f}; another model delivered in "
        f"{sum(each.delivered != each.own for each in found)}, worse than the own one in "
        f"{sum(each.delivered > each.own for each in found)}; {fmean(each.seconds for each in found):.0f} s a study"
    )


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds a folder for each set, and published_rmse.csv")
    parser.add_argument("--sets", nargs="+", default=["concrete", "energy", "wine-quality-red"])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first split")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--patience", type=int, default=40)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--selection", default="{ensemble: true}", help="the study file's `selection`")
    return parser.parse_args()


def _measure(options: argparse.Namespace, name: str, split: int, published: tuple[float, float]) -> Measured:
    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        target = _write_data(options.folder / name, split, Path(scratch))
        file = Path(scratch) / "study.yaml"
        settings = {key: getattr(options, key) for key in ("trials", "epochs", "patience", "workers", "selection")}
        file.write_text(STUDY.format(target=target, seed=split, **settings))
        study, home = load_study(file, []), Home(Path(scratch) / "home", str(Path(scratch) / "home"))
        with supervise(study, home) as supervisor:
            ended = run_to_end(supervisor)
        if ended.winner is None:
            raise RuntimeError(f"no trial won: {ended.reason}")
        took_s = time.monotonic() - started
        models = locate_trial(home, study.name, ended.winner), find_winning_model(study, home, ended.winner)
        with closing(LocalEngine(1)) as engine:
            scores = run_job(
                engine, make_comparison_job(study, study.spec.training, models, Path(scratch) / "test.log")
            )
        own, delivered = (each["test_root_mean_squared_error"] for each in scores)
        return Measured(own, delivered, ended.ensemble_reason or ended.refit_reason, published, took_s)


def _write_data(folder: Path, split: int, scratch: Path) -> str:
    """Write the rows of a split with their parts, and return the target's name; a fifth of the others validates."""
    data = pd.read_csv(folder / "data.csv")
    test = json.loads((folder / "test_rows.json").read_text())[split]
    rest = np.setdiff1d(np.arange(len(data)), test)
    chosen = np.random.default_rng(split).choice(rest, len(rest) // 5, replace=False)
    target = str(data.columns[-1])
    data["part"] = "train"
    data.loc[chosen, "part"] = "validation"
    data.loc[test, "part"] = "test"
    data.to_csv(scratch / "data.csv", index=False)
    return target


def _read_published(file: Path) -> dict[tuple[str, int], tuple[float, float]]:
    with file.open(newline="") as lines:
        return {
            (row["data_set"], int(row["split"])): (float(row["rmse_tuned_dropout"]), float(row["rmse_monte_carlo"]))
            for row in csv.DictReader(lines)
        }


if __name__ == "__main__":
    main()
