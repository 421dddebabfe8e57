"""CPU seconds of studies of convolutional networks, in fleets and by `graph`: the space that ships, and smaller ones.

    .venv/bin/python benchmarks/convolution_spaces.py [--trials N] [--epochs N] [--cases TEXT]

Every study is a process of its own with an empty home, whose workers are counted with it: scikit-learn's digits, random
sampler, no pruner. `resources.fleet` is a number and `off`, so that the estimate which decides otherwise has no part.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import fleets

SPACES: dict[str, dict[str, object]] = {
    "shipped": {},
    "shipped, 8 to 16 filters": {"filters": {"type": "int", "low": 8, "high": 16, "log": True}},
    "shipped, 8 to 16 filters, batches of 64, without stride": {
        "filters": {"type": "int", "low": 8, "high": 16, "log": True},
        "pooling": ["max", "average"],
        "batch_size": 64,
    },
}


def main() -> None:
    """Print the CPU seconds of each space and trainer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--cases", default="", help="only spaces whose name holds this text")
    options = parser.parse_args()
    fleets._adopt_orphans()
    for name, space in SPACES.items():
        fleets_of: tuple[int | str, ...] = (8, "off") if options.cases in name else ()
        for fleet in fleets_of:
            with tempfile.TemporaryDirectory() as scratch:
                measured = measure(Path(scratch), space, fleet, options.trials, options.epochs)
            print(f"{name}; fleet {fleet}; CPU s {measured.cpu_seconds:.0f}; {measured.error}", flush=True)


def measure(folder: Path, space: dict[str, object], fleet: int | str, trials: int, epochs: int) -> fleets.Process:
    """Run one study."""
    study = {
        "study": "bench",
        "data": {"source": "sklearn:digits"},
        "model": "cnn",
        "space": {"extends": "cnn", **space, "epochs": epochs},
        "training": {"early_stopping": None},
        "search": {"sampler": "random", "pruner": "none", "seed": 1},
        "budget": {"trials": trials},
        "resources": {"fleet": fleet},
    }
    file = folder / "study.json"
    file.write_text(json.dumps(study))
    return fleets._run([str(fleets.KERASTUDY), "--home", str(folder / "home"), "run", str(file)], folder)


if __name__ == "__main__":
    main()
