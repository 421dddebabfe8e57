"""Studies of convolutional networks: in fleets, by `graph`, and by a script of Optuna, `fit` and MLflow.

    .venv/bin/python benchmarks/convolution_spaces.py [--trials N] [--epochs N] [--cases TEXT] [--sets A,B]
        [--systems A,B]

Every study is a process of its own with an empty home, whose workers are counted with it: random sampler, no pruner.
The sets are scikit-learn's digits of 8 x 8, and the same enlarged to 28 x 28. `resources.fleet` is a number and `off`,
so that the estimate which decides otherwise has no part.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import fleets
import numpy as np
import sklearn.datasets
import yaml
from sklearn.model_selection import train_test_split

SHIPPED = fleets.HERE.parent / "search_spaces/shipped/cnn.yaml"
FEW: dict[str, object] = {"filters": {"type": "int", "low": 8, "high": 16, "log": True}}
SPACES: dict[str, dict[str, object]] = {
    "as shipped": {},
    "8 to 16 filters": FEW,
    "8 to 16 filters, batches of 64, without stride": {**FEW, "pooling": ["max", "average"], "batch_size": 64},
}
SYSTEMS: dict[str, int | str | None] = {"fleets": 8, "graph": "off", "optuna": None}
SETS = {"8x8": 1, "28x28": 3}


def main() -> None:
    """Print the seconds of each set, space and system."""
    options = _parse_options()
    fleets._adopt_orphans()
    for name in options.sets:
        for case, space in SPACES.items():
            for system in options.systems if options.cases in case else ():
                with tempfile.TemporaryDirectory() as scratch:
                    data = write_rows(Path(scratch), SETS[name])
                    measured = measure(Path(scratch), data, space, system, options.trials, options.epochs)
                spent = f"seconds {measured.seconds:.0f}; CPU s {measured.cpu_seconds:.0f}"
                print(f"{name}; {case}; {system}; {spent}; {measured.error}", flush=True)


def write_rows(folder: Path, factor: int) -> Path:
    """Write the digits, each pixel as a square of `factor` pixels; of enlarged ones with a margin of two pixels."""
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    margin = 2 if factor > 1 else 0
    large = np.kron(x.reshape(-1, 8, 8), np.ones((1, factor, factor)))
    images = np.pad(large, ((0, 0), (margin, margin), (margin, margin)))[..., None].astype(np.float32) / 16
    train, validation = train_test_split(np.arange(len(x)), test_size=0.2, random_state=0, stratify=y)
    file = folder / "digits.npz"
    parts = {"x_train": images[train], "y_train": y[train]}
    np.savez(file, **parts, x_validation=images[validation], y_validation=y[validation])
    return file


def measure(
    folder: Path, data: Path, space: dict[str, object], system: str, trials: int, epochs: int
) -> fleets.Process:
    """Run one study."""
    if system == "optuna":
        declared = folder / "space.json"
        declared.write_text(json.dumps({**yaml.safe_load(SHIPPED.read_text()), **space, "epochs": epochs}))
        script = fleets.HERE / "peers" / "optuna_convolutions.py"
        words = ("--data", data, "--space", declared, "--trials", trials, "--to", folder)
        return fleets._run([sys.executable, str(script), *map(str, words)], folder)
    study = {
        "study": "bench",
        "data": {"source": str(data), "split": {"test": 0}},
        "model": "cnn",
        "space": {"extends": "cnn", **space, "epochs": epochs},
        "training": {"early_stopping": None},
        "search": {"sampler": "random", "pruner": "none", "seed": 1},
        "budget": {"trials": trials},
        "resources": {"fleet": SYSTEMS[system]},
    }
    file = folder / "study.json"
    file.write_text(json.dumps(study))
    return fleets._run([str(fleets.KERASTUDY), "--home", str(folder / "home"), "run", str(file)], folder)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--cases", default="shipped", help="only spaces whose name holds this text")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--systems", default="graph,optuna", help=f"of {', '.join(SYSTEMS)}")
    options = parser.parse_args()
    for name, known in (("sets", SETS), ("systems", SYSTEMS)):
        chosen = getattr(options, name).split(",")
        if unknown := set(chosen) - set(known):
            parser.error(f"--{name}: expected some of {', '.join(known)}, got {', '.join(sorted(unknown))}")
        setattr(options, name, chosen)
    return options


if __name__ == "__main__":
    main()
