"""Searches on real training: `kerastudy run` as a user would, beside KerasTuner and Optuna with `model.fit`.

Every system gets the same rows for training, validation and test, the same space and epochs, and so many seconds of
search. Recorded are the validation score of the winner and the test score of the model that is handed over.

- `kerastudy`: sampler and pruner `auto`, starting points and selection as they are where the file names none;
- `kerastudy-tpe`: sampler `tpe`, pruner `median`, no starting points; with `--times 4` four times the seconds;
- peers: see `peers/timed_search.py`. They get standardised columns; kerastudy standardises by itself.

    benchmarks/.venv/bin/python benchmarks/search_real.py FOLDER [--seconds N] [--times N] [--seeds N]
        [--systems NAME ...] [--sets NAME ...]

FOLDER holds UCI's Adult, Energy and Wine Quality (`adult/train.csv`, `energy/data.csv`, `wine-quality-red/data.csv`).
Other sets come with statsmodels (randhie: log of visits; fair: any affair; anes96: party) and scikit-learn.
Measured rows are kept in `results/search_real.csv`. Seconds are of a shared machine: compare within one run.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from generated_pictures import PICTURES
from sklearn import datasets
from statsmodels import datasets as surveys

HERE = Path(__file__).parent
OURS = HERE.parent / ".venv" / "bin" / "python"
COLUMNS = ("data", "system", "seed", "seconds", "took_s", "trials", "epochs", "validation", "test")
PEERS = ("optuna", "keras-tuner-bayesian", "keras-tuner-hyperband")
SYSTEMS = ("kerastudy", "kerastudy-tpe", *PEERS)
REGRESSION = {"energy": "heating_load", "wine-quality-red": "quality", "randhie": "y"}
# None of these sets of rows is one that the portfolio of `mlp` or `cnn` was learned on.
SETS = (*REGRESSION, "adult", "fair", "anes96", "digits-cnn", "moved-digits-cnn")
EPOCHS = 60
_MOST_ROWS = 6000
_SEARCHED = {
    "activation": ["relu", "tanh", "silu"],
    "optimizer": ["adam", "sgd"],
    "batch_size": [32, 64, 128],
    "learning_rate": {"type": "float", "low": 3e-4, "high": 3e-2, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "l2": {"type": "float", "low": 1e-8, "high": 1e-2, "log": True},
    "epochs": EPOCHS,
}
SPACES: Mapping[str, Mapping[str, Any]] = {
    "mlp": {
        "depth": {"type": "int", "low": 1, "high": 4},
        "units": {"type": "int", "low": 16, "high": 256, "log": True},
        **_SEARCHED,
    },
    "cnn": {
        "blocks": {"type": "int", "low": 1, "high": 2},
        "filters": [8, 16, 32],
        **{"kernel_size": 3, "convolutions_per_block": 1, "global_pooling": "flatten", "dense_units": 0},
        **_SEARCHED,
    },
}


@dataclass(frozen=True)
class Rows:
    """A data set in its three parts.

    Attributes:
        table: columns, target and `part`; None for pictures.
        arrays: x and y of each part, standardised, as peers take them.
    """

    table: pd.DataFrame | None
    arrays: Mapping[str, Any]


def main() -> None:
    """Run what is not in the results yet."""
    options = _read_options()
    options.to.parent.mkdir(parents=True, exist_ok=True)
    done = {(row["data"], row["system"], row["seed"], row["seconds"]) for row in read(options.to)}
    for seed, name, system in itertools.product(range(options.seeds), options.sets, options.systems):
        seconds = options.seconds * (options.times if system != "kerastudy" else 1)
        if (name, system, str(seed), str(seconds)) in done:
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            rows = load(name, options.folder, seed)
            measure = run_kerastudy if system.startswith("kerastudy") else run_peer
            found = measure(name, system, rows, seconds, seed, Path(folder))
        row = {"data": name, "system": system, "seed": seed, "seconds": seconds}
        row |= {"took_s": round(time.monotonic() - began, 1), **found}
        is_new = not options.to.exists()
        with options.to.open("a", newline="") as lines:
            writer = csv.DictWriter(lines, COLUMNS)
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        print(row, flush=True)


def run_kerastudy(name: str, system: str, rows: Rows, seconds: int, seed: int, folder: Path) -> dict[str, Any]:
    """Return what a study found."""
    family = "cnn" if name.endswith("cnn") else "mlp"
    search: dict[str, Any] = {"seed": seed}
    if system == "kerastudy-tpe":
        search |= {"sampler": "tpe", "pruner": "median", "starting_points": 0}
    metric = "val_root_mean_squared_error" if name in REGRESSION else "val_accuracy"
    study = {
        "study": "real",
        "data": _write_data(name, rows, folder),
        "model": family,
        "space": dict(SPACES[family]),
        "objective": {"metric": metric, "direction": "minimize" if name in REGRESSION else "maximize"},
        "search": search,
        "budget": {"trials": 1000, "time": f"{seconds}s"},
    }
    file = folder / "real.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    command = [str(OURS), "-m", "kerastudy", "--home", str(folder / "home")]
    _run([*command, "run", str(file)])
    best = json.loads(_run([*command, "best", "real", "--json"]))
    trials = json.loads(_run([*command, "trials", "real", "--json"]))
    # In standard deviations of the training rows, as peers have it.
    scale = 1.0
    if name in REGRESSION:
        assert rows.table is not None
        scale = float(rows.table.loc[rows.table["part"] == "train", REGRESSION[name]].std(ddof=0))
    ended = [trial for trial in trials if trial["values"]]
    values = [trial["values"][0] for trial in ended if trial["state"] == "complete"]
    return {
        "trials": len(trials),
        "epochs": sum(trial.get("epochs") or trial["best_epoch"] or 0 for trial in ended),
        "validation": round((min if name in REGRESSION else max)(values) / scale, 5),
        "test": round(float(best["test"][metric.replace("val_", "test_")]) / scale, 5),
    }


def run_peer(name: str, system: str, rows: Rows, seconds: int, seed: int, folder: Path) -> dict[str, Any]:
    """Return what a peer found."""
    np.savez(folder / "rows.npz", **rows.arrays)
    command = [sys.executable, str(HERE / "peers" / "timed_search.py"), system]
    command += ["--data", str(folder / "rows.npz"), "--family", "cnn" if name.endswith("cnn") else "mlp"]
    command += ["--epochs", str(EPOCHS), "--seconds", str(seconds), "--seed", str(seed), "--to", str(folder / "to")]
    found = json.loads(_run([*command, *(["--regression"] if name in REGRESSION else [])]).splitlines()[-1])
    return {key: round(found[key], 5) for key in ("trials", "epochs", "validation", "test")}


def load(name: str, folder: Path, seed: int) -> Rows:
    """Return at most 6,000 rows of a data set, divided by the seed."""
    if name.endswith("-cnn"):
        digits = datasets.load_digits()
        x, y = (digits.images, digits.target) if name == "digits-cnn" else PICTURES["moved-digits"]()
        x = (x / 8 - 1)[..., None].astype(np.float32)
        parts = _divide(len(y), seed)
        return Rows(None, {f"{key}_{part}": each[rows] for part, rows in parts.items() for key, each in _pair(x, y)})
    table, target = _read_table(name, folder)
    table = table.sample(min(_MOST_ROWS, len(table)), random_state=seed).reset_index(drop=True)
    table["part"] = ""
    for part, rows in _divide(len(table), seed).items():
        table.loc[rows, "part"] = part
    columns = pd.get_dummies(table.drop(columns=[target, "part"]), dtype=float)
    y = table[target]
    is_training = table["part"] == "train"
    x = ((columns - columns[is_training].mean()) / columns[is_training].std().replace(0, 1)).fillna(0)
    y = (
        (y - y[is_training].mean()) / y[is_training].std(ddof=0)
        if name in REGRESSION
        else y.astype("category").cat.codes
    )
    arrays: dict[str, np.ndarray] = {}
    for part in ("train", "validation", "test"):
        chosen = table["part"] == part
        arrays[f"x_{part}"] = x[chosen].to_numpy(np.float32)
        arrays[f"y_{part}"] = y[chosen].to_numpy(np.float32 if name in REGRESSION else np.int64)
    return Rows(table, arrays)


def _read_table(name: str, folder: Path) -> tuple[pd.DataFrame, str]:
    if name == "adult":
        return pd.read_csv(folder / "adult" / "train.csv", na_values="?"), "income"
    if name in ("energy", "wine-quality-red"):
        return pd.read_csv(folder / name / "data.csv").astype({REGRESSION[name]: float}), REGRESSION[name]
    table = getattr(surveys, name).load_pandas().data
    if name == "randhie":
        return table.drop(columns="mdvis").assign(y=np.log1p(table["mdvis"])), "y"
    if name == "fair":
        return table.drop(columns="affairs").assign(y=np.where(table["affairs"] > 0, "some", "none")), "y"
    return table.drop(columns=["PID", "vote"]).assign(y=[f"party {int(each)}" for each in table["PID"]]), "y"


def _divide(count: int, seed: int) -> dict[str, np.ndarray]:
    order = np.random.default_rng(seed).permutation(count)
    first, second = round(0.6 * count), round(0.8 * count)
    return {"train": order[:first], "validation": order[first:second], "test": order[second:]}


def _pair(x: np.ndarray, y: np.ndarray) -> tuple[tuple[str, np.ndarray], ...]:
    return (("x", x), ("y", y))


def _write_data(name: str, rows: Rows, folder: Path) -> dict[str, Any]:
    if rows.table is None:
        np.savez(folder / "rows.npz", **rows.arrays)
        return {"source": str(folder / "rows.npz")}
    rows.table.to_csv(folder / "rows.csv", index=False)
    target = "income" if name == "adult" else REGRESSION.get(name, "y")
    return {"source": str(folder / "rows.csv"), "target": target, "split": {"column": "part"}}


def _run(command: Sequence[str]) -> str:
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(ended.stderr or ended.stdout)[-3000:]}")
    return ended.stdout


def read(file: Path) -> list[dict[str, str]]:
    """Return the rows of a file of results; none where there is no file."""
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds adult, energy and wine-quality-red")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--times", type=int, default=4, help="so many times the seconds for all but kerastudy's auto")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--to", type=Path, default=HERE / "results" / "search_real.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
