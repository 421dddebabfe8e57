"""Rows that a loader gave, stored beside the prepared data.

A loader may give other rows with each call, such as augmented ones. A study that has trials goes on with the rows that
these were scored on, also where they are divided again.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

from pipelines.data.examples.example_form import ExampleForm
from pipelines.data.examples.examples import load_examples
from pipelines.data.raw import RawData

_FOLDER = "rows"


def save_rows(folder: Path, raw: RawData) -> None:
    """Write a loader's rows below the folder of their prepared data."""
    below = folder / _FOLDER
    below.mkdir()
    if raw.examples is not None:
        # Ragged tensors cannot be pickled.
        raw.examples.save(below / "all")
        form = json.dumps(raw.examples.describe().to_json())
        (below / "form.json").write_text(form, encoding="utf-8")
    with (below / "rows.pkl").open("wb") as file:
        pickle.dump(replace(raw, examples=None), file, protocol=pickle.HIGHEST_PROTOCOL)


def load_rows(folder: Path) -> RawData | None:
    """Return the rows that `save_rows` wrote; None where there are none."""
    below = folder / _FOLDER
    if not (below / "rows.pkl").exists():
        return None
    with (below / "rows.pkl").open("rb") as file:
        raw: RawData = pickle.load(file)  # our own file, which needs no trust beyond the home's
    form = below / "form.json"
    if not form.exists():
        return raw
    examples = load_examples(below / "all", ExampleForm.from_json(json.loads(form.read_text(encoding="utf-8"))))
    return replace(raw, examples=examples)
