"""Studies on published test splits of UCI Concrete, against a published table.

Gal and Ghahramani, "Dropout as a Bayesian Approximation" (ICML 2016), tuned networks on twenty fixed splits of
Concrete Compressive Strength (I-C. Yeh, 1998, CC BY 4.0); their public code holds the splits and each split's RMSE.
Name the folder with `data.csv` (a header row, target `strength_mpa`) and `test_rows.json` (a list of test row numbers
for each split), and `published_rmse.csv` (data_set, split, rmse_tuned_dropout, rmse_monte_carlo).

A fifth of each split's training rows validates; the test rows are used once, by the exported model.

    python benchmarks/concrete_splits.py FOLDER PUBLISHED [--splits N] [--trials N]
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

STUDY = """\
study: concrete-{split}
data:
  source: {folder}/concrete-{split}.csv
  target: strength_mpa
  split: {{column: part}}
model: mlp
space:
  depth: {{type: int, low: 1, high: 4, default: 2}}
  units: {{type: int, low: 32, high: 256, log: true, default: 128}}
  activation: {{choices: [relu, silu, tanh], default: relu}}
  batch_normalization: [false, true]
  dropout: {{type: float, low: 0.0, high: 0.3, default: 0.05}}
  l2: {{type: float, low: 1e-8, high: 1e-3, log: true, default: 1e-6}}
  optimizer: {{choices: [adam, adamw], default: adam}}
  learning_rate: {{type: float, low: 3e-4, high: 2e-2, log: true, default: 3e-3}}
  schedule: {{choices: [cosine, constant], default: cosine}}
  batch_size: {{choices: [16, 32, 64], default: 32}}
  epochs: 150
training: {{early_stopping: {{patience: 40}}}}
search: {{pruner: median, seed: {split}}}
budget: {{trials: {trials}}}
"""


def main() -> None:
    """Run a study for each split and print the table."""
    options = _options()
    published = _published(options.published)
    rows = []
    for split in range(options.splits):
        started = time.monotonic()
        ours = _run(options.folder, split, options.trials)
        rows.append((ours, *published[split], time.monotonic() - started))
        print(
            f"split {split}: ours {ours:.3f}, tuned dropout {rows[-1][1]:.3f}, Monte Carlo {rows[-1][2]:.3f}, "
            f"{rows[-1][3]:.0f} s",
            flush=True,
        )
    ours, dropout, monte_carlo, took_s = np.array(rows).mean(axis=0)
    print(f"mean over {options.splits}: ours {ours:.3f}, tuned dropout {dropout:.3f}, Monte Carlo {monte_carlo:.3f}")
    print(f"{options.trials} trials a study, {took_s:.0f} s a study")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds data.csv and test_rows.json")
    parser.add_argument("published", type=Path, help="published_rmse.csv")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--trials", type=int, default=30)
    return parser.parse_args()


def _run(folder: Path, split: int, trials: int) -> float:
    """Return the test RMSE of the study's winner."""
    with tempfile.TemporaryDirectory() as scratch:
        data = pd.read_csv(folder / "data.csv")
        test = json.loads((folder / "test_rows.json").read_text())[split]
        data["part"] = "train"
        rest = np.setdiff1d(np.arange(len(data)), test)
        chosen = np.random.default_rng(split).choice(rest, len(rest) // 5, replace=False)
        data.loc[chosen, "part"] = "validation"
        data.loc[test, "part"] = "test"
        data.to_csv(Path(scratch) / f"concrete-{split}.csv", index=False)
        file = Path(scratch) / "study.yaml"
        file.write_text(STUDY.format(folder=scratch, split=split, trials=trials))
        command = str(Path(sys.executable).parent / "kerastudy")
        home = str(Path(scratch) / "home")
        with (Path(scratch) / "log").open("w") as log:
            subprocess.run([command, "--home", home, "run", str(file)], check=True, stdout=log)
        best = subprocess.run(
            [command, "--home", home, "best", f"concrete-{split}", "--json"], check=True, capture_output=True, text=True
        )
        return float(json.loads(best.stdout)["test"]["test_root_mean_squared_error"])


def _published(file: Path) -> dict[int, tuple[float, float]]:
    with file.open(newline="") as lines:
        return {
            int(row["split"]): (float(row["rmse_tuned_dropout"]), float(row["rmse_monte_carlo"]))
            for row in csv.DictReader(lines)
            if row["data_set"] == "concrete"
        }


if __name__ == "__main__":
    main()
