"""Refits and trials' own models on published test splits of UCI regression sets.

A study searches with the training and validation rows of a split. Its winner's own model and its refit are both scored
on the test rows, and beside them stands what the study would deliver: the refit where the comparison on held-out rows
and the score on its own rows allow it (`pipelines/selection/refit.py`), else the trial's own model.

    python benchmarks/refit.py FOLDER [--sets concrete energy wine-quality-red] [--splits N] [--trials N]

Each set is a folder with `data.csv` (a header row, the target last) and `test_rows.json` (test row numbers for
each split): Concrete, Energy Efficiency and Wine Quality of UCI, CC BY 4.0, with the splits of Gal and Ghahramani's
public code.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

import numpy as np
import pandas as pd

from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import run_job
from pipelines.operations.run import run_to_end, supervise
from pipelines.selection.evaluate import make_comparison_job
from pipelines.selection.model_locations import locate_refit, locate_trial
from pipelines.selection.refit import RefitComparison
from pipelines.study.load import load_study
from pipelines.workspace.home import Home

STUDY = """\
study: refit
data: {{source: data.csv, target: {target}, split: {{column: part}}}}
model: mlp
space:
  depth: {{type: int, low: 1, high: 3}}
  units: {{type: int, low: 32, high: 256, log: true}}
  activation: [relu, tanh, silu]
  learning_rate: {{type: float, low: 1e-3, high: 3e-2, log: true}}
  batch_size: [16, 32, 64]
  optimizer: [adam, rmsprop, sgd]
  momentum: {{type: float, low: 0.5, high: 0.95, when: {{optimizer: sgd}}}}
  l2: {{type: float, low: 1e-7, high: 1e-2, log: true}}
  dropout: {{type: float, low: 0.0, high: 0.3}}
  epochs: 60
objective: {{metric: val_root_mean_squared_error, direction: minimize}}
training: {{early_stopping: {{patience: 10}}}}
search: {{seed: {seed}}}
budget: {{trials: {trials}}}
selection: {{refit: true}}
"""


@dataclass(frozen=True)
class Measured:
    """Test RMSE of a winner's own model and of its refit, and whether the study would deliver the refit."""

    own: float
    refit: float
    is_delivered: bool

    @property
    def delivered(self) -> float:
        """Test RMSE of the model that the study would deliver."""
        return self.refit if self.is_delivered else self.own


def main() -> None:
    """Run a study for each set and split, and print a table."""
    options = _parse_options()
    print(f"{options.trials} trials a study; test RMSE, means over {options.splits} splits")
    for name in options.sets:
        started, found = time.monotonic(), []
        for split in range(options.splits):
            found.append(_measure(options.folder / name, split, options.trials))
            print(f"  {name} {split}: {found[-1]}", flush=True)
        print(
            f"{name}: own {fmean(each.own for each in found):.4f}, refit {fmean(each.refit for each in found):.4f}, "
            f"delivered {fmean(each.delivered for each in found):.4f}; the refit is worse in "
            f"{sum(each.refit > each.own for each in found)} of {len(found)} and delivered in "
            f"{sum(each.is_delivered for each in found)}, {time.monotonic() - started:.0f} s",
            flush=True,
        )


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds a folder for each set")
    parser.add_argument("--sets", nargs="+", default=["concrete", "energy", "wine-quality-red"])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--trials", type=int, default=12)
    return parser.parse_args()


def _measure(folder: Path, split: int, trials: int) -> Measured:
    with tempfile.TemporaryDirectory() as scratch:
        target = _write_data(folder, split, Path(scratch))
        file = Path(scratch) / "study.yaml"
        file.write_text(STUDY.format(target=target, seed=split, trials=trials))
        study, home = load_study(file, []), Home(Path(scratch) / "home", str(Path(scratch) / "home"))
        with _train_every_refit() as decided, supervise(study, home) as supervisor:
            ended = run_to_end(supervisor)
        if ended.winner is None or not ended.refit:
            raise RuntimeError(f"no refit was trained: {ended.reason}; {ended.refit_reason}")
        models = locate_trial(home, study.name, ended.winner), locate_refit(home, study.name, ended.winner)
        with closing(LocalEngine(1)) as engine:
            scores = run_job(engine, make_comparison_job(study, models, Path(scratch) / "test.log"))
        own, refit = (each["test_root_mean_squared_error"] for each in scores)
        return Measured(own, refit, all(decided))


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


@contextmanager
def _train_every_refit() -> Iterator[list[bool]]:
    """Have every refit trained and kept, and yield what the comparison and the check of the refit decide."""
    decided: list[bool] = []
    is_as_good, find_defect = RefitComparison.is_as_good.fget, RefitComparison.find_defect

    def note_comparison(comparison: RefitComparison) -> bool:
        decided[:1] = [is_as_good(comparison)]
        return True

    def note_defect(comparison: RefitComparison, value: float) -> str:
        decided.append(not find_defect(comparison, value))
        return ""

    with (
        patch.object(RefitComparison, "is_as_good", property(note_comparison)),
        patch.object(RefitComparison, "find_defect", note_defect),
    ):
        yield decided


if __name__ == "__main__":
    main()
