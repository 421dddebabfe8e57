"""MLflow's description of a study's models: columns or tensors, and a few rows in the form of their source."""

from __future__ import annotations

import csv

import numpy as np

from pipelines.data.model_inputs import read_model_description
from tracking.mlflow.cell_values import CellForm
from tracking.mlflow.model_folder import Columns, InputColumn, TensorDescription


def test_a_table_is_description_by_its_columns(prepare_data, tmp_path):
    """Names as in the source, the kinds, the words for missing, and rows as in the source."""
    rows = [[f"c{row % 3}" if row % 5 else "?", 0.1 * row, row % 2, "true", "2024-05-01"] for row in range(40)]
    rows[3] = ["", "", 1, "", ""]
    with (tmp_path / "shop.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["the city", "income ", "bought", "member", "since"], *rows])
    source = str(tmp_path / "shop.csv")
    split = {"validation": 0.5, "test": 0.0, "seed": 1}
    description = read_model_description(
        prepare_data(source=source, target="bought", missing_values=["?"], split=split)
    )
    form = CellForm(missing=("?",))
    assert description.columns == Columns(
        (
            InputColumn("the city", "the_city", "string", "string", form=form),
            InputColumn("income", "income", "numeric", header="income ", form=form),
            InputColumn("member", "member", "boolean", form=form),
            InputColumn("since", "since", "date", form=form),
        )
    )
    assert (description.inputs, description.outputs) == ((), (TensorDescription("", "float32", (1,)),))
    assert description.task == {"kind": "binary", "classes": ["0", "1"], "targets": ["bought"]}
    given = [list(row) for row in zip(*description.example.values(), strict=True)]
    known = [[row[0] if row[0] not in ("", "?") else None, row[1], True, row[4]] for row in rows if row[1] != ""]
    assert len(given) == 3
    assert all(row in [*known, [None] * 4] for row in given)


def test_arrays_are_description_as_tensors(prepare_data, tmp_path):
    """With one row, where it is small enough to be read; a gap is null."""
    features = np.arange(120.0).reshape(40, 3)
    features[::2, 1] = np.nan
    np.savez(tmp_path / "few.npz", x=features, y=np.arange(40) % 2)
    description = read_model_description(prepare_data(source=str(tmp_path / "few.npz")))
    assert (description.columns, description.inputs) == (None, (TensorDescription("features", "float32", (3,)),))
    [row] = description.example["features"]
    assert row[0] % 3 == 0
    assert row[1] is None or row[1] == row[0] + 1
    large = np.zeros((40, 101, 100, 1), np.uint8)
    np.savez(tmp_path / "large.npz", x=large, y=np.arange(40) % 2)
    description = read_model_description(prepare_data("image", source=str(tmp_path / "large.npz")))
    assert (description.inputs[0].shape, description.example) == ((101, 100, 1), None)


def test_data_that_was_prepared_before_says_nothing(tmp_path):
    """A model of such data has the description of its file."""
    assert read_model_description(tmp_path) is None
