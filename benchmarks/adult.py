"""A 30-trial study on UCI Adult, scored by the exported SavedModel on the published test rows, from raw columns.

The data set is not part of the project (Kohavi and Becker, 1996, CC BY 4.0): name the folder that holds `train.csv`
and `test.csv` with a header row and the target `income`. Accuracy commonly reported for tuned networks on this test
split: 0.85 to 0.86.

    python benchmarks/adult.py FOLDER [--trials N] [--home FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = """\
study: adult
data:
  source: {folder}/train.csv
  test_source: {folder}/test.csv
  target: income
  missing_values: ["?"]
  split: {{validation: 0.2, seed: 1}}
model: mlp
space: {{extends: mlp, batch_size: [128, 256, 512], epochs: 20}}
training: {{early_stopping: {{patience: 4}}}}
search: {{seed: 1}}
budget: {{trials: {trials}}}
"""


def main() -> None:
    """Run the study, export the winner, and score its SavedModel."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        home = options.home or Path(scratch) / "home"
        file = Path(scratch) / "adult.yaml"
        file.write_text(STUDY.format(folder=options.folder.resolve(), trials=options.trials))
        started = time.monotonic()
        _kerastudy(home, "run", str(file))
        took_s = time.monotonic() - started
        exported = Path(scratch) / "exported"
        _kerastudy(home, "export", "adult", "--format", "saved_model,keras", "--to", str(exported))
        accuracy, rows = _accuracy(exported / "saved_model", options.folder / "test.csv")
    print(f"study: {took_s:.0f} s for {options.trials} trials")
    print(f"SavedModel on the {rows} published test rows, from raw columns: accuracy {accuracy:.4f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds train.csv and test.csv")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--home", type=Path, help="keep the study here instead of in a temporary folder")
    return parser.parse_args()


def _kerastudy(home: Path, *words: str) -> None:
    command = Path(sys.executable).parent / "kerastudy"
    subprocess.run([str(command), "--home", str(home), *words], check=True)


def _accuracy(saved_model: Path, test_csv: Path) -> tuple[float, int]:
    """Return the accuracy of a SavedModel from nothing but the strings and numbers of the file."""
    import numpy as np
    import pandas as pd
    import tensorflow as tf

    rows = pd.read_csv(test_csv, skipinitialspace=True)
    labels = rows.pop("income").str.rstrip(".") == ">50K"
    loaded = tf.saved_model.load(str(saved_model))
    serve = loaded.signatures["serving_default"]
    wanted = serve.structured_input_signature[1]
    given = {}
    for name, spec in wanted.items():
        column = rows[name]
        values = column.replace("?", "").astype(str) if spec.dtype == tf.string else column.astype("float32")
        given[name] = tf.constant(np.asarray(values).reshape(-1, *[1] * (len(spec.shape) - 1)), spec.dtype)
    probability = np.asarray(next(iter(serve(**given).values())))[:, 0]
    return float(np.mean((probability >= 0.5) == labels.to_numpy())), len(labels)


if __name__ == "__main__":
    main()
