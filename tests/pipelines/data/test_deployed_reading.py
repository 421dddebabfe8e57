"""A deployed model on a table as pandas reads it, compared with the rows that training prepared from the same file."""

import io
import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from pipelines.data.model_inputs import read_model_description
from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_part
from pipelines.data.stored_preprocessing import load_preprocessing
from pipelines.spec.data_spec import DataSpec
from tracking.mlflow.model_loader import KerasOnRawColumns

ROWS = 60


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder with a CSV in many forms, its summary and its prepared rows."""
    folder = tmp_path_factory.mktemp("forms")
    random = np.random.default_rng(1)
    dates = pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 900, ROWS), unit="D")
    amounts = random.uniform(500, 90_000, ROWS)
    table = pd.DataFrame(
        {
            "cost": [f"${value:,.2f}" if row % 3 else f"(${value:,.2f})" for row, value in enumerate(amounts)],
            "rate": [f"{value:.1f}%" for value in random.uniform(0, 9, ROWS)],
            "comma": [f"{value:.2f}".replace(".", ",") for value in random.normal(size=ROWS)],
            "fans": [f"{value:.1f}k" if row % 2 else f"{value:.0f}" for row, value in enumerate(amounts / 100)],
            "day": [f"{date:%d/%m/%Y}" for date in dates],
            "compact": [f"{date:%Y%m%d}" for date in dates],
            "took": [f"{row % 5}h {row}m" if row % 2 else f"{row} min" for row in range(ROWS)],
            "lasted": [f"{row}:{row % 60:02d}:07" for row in range(ROWS)],
            "lap": [f"{1 + row % 30}:{row % 60:02d}" for row in range(ROWS)],
            "iso": [f"PT{row}H30M" for row in range(ROWS)],
            "quarter": [f"{2015 + row % 7}-Q{1 + row % 4}" for row in range(ROWS)],
            "week": [f"2020-W{1 + row % 52:02d}" for row in range(ROWS)],
            "stamp": [str(1_577_836_800 + 86_400 * row) for row in range(ROWS)],
            "serial": [f"{43_831.25 + row}" for row in range(ROWS)],
            "clock": [f"{row % 24:02d}:{row % 60:02d}" for row in range(ROWS)],
            "zip": [f"{value:05d}" for value in random.integers(1, 40, ROWS) * 700],
            "age": [str(value) if value > 20 else "-9" for value in random.integers(18, 60, ROWS)],
            "smokes": random.choice(["Y", "N"], ROWS),
            "size": random.choice(["S", "s", "M"], ROWS),
            "land": random.choice(["NA", "DE", "FR"], ROWS),
            "t": random.choice(["no", "yes"], ROWS),
        }
    )
    table.loc[::11, ["cost", "day", "zip", "took", "week", "stamp"]] = ""
    table.to_csv(folder / "data.csv", index=False)
    keys = {
        "missing_values": {"age": ["-9"]},
        "columns": {
            "smokes": {"type": "boolean"},
            "size": {"replace": {"s": "S"}},
            "stamp": {"unit": "s"},
            "serial": {"type": "date", "unit": "excel"},
            "lap": {"type": "numeric", "format": "%M:%S"},
        },
        "split": {"test": 0.1, "validation": 0.3},
    }
    spec = DataSpec.model_validate({"source": "data.csv", "target": "t", **keys})
    return folder, prepare(spec, folder, folder / "ready", "dense")


def load(folder):
    """Return the deployed preprocessing, from what its folder would hold."""
    columns = json.loads(json.dumps(asdict(read_model_description(folder / "ready").columns)))
    return KerasOnRawColumns(load_preprocessing(folder / "ready"), columns["columns"], columns["missing_values"])


def find_rows(folder, part):
    split = pd.read_csv(folder / "ready" / "split.csv")
    return np.flatnonzero(split["part"] == part)


@pytest.mark.parametrize("dtype", [None, str])
@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_table_as_pandas_reads_it(written, part, dtype):
    """Every form of number, date, code and missing value becomes the value that training had."""
    folder, _ = written
    table = pd.read_csv(folder / "data.csv", dtype=dtype).drop(columns="t")
    found = load(folder).predict(table.iloc[find_rows(folder, part)].reset_index(drop=True))
    prepared = load_part(folder / "ready", part).x["dense"]
    assert np.allclose(found, prepared, atol=1e-6)


def test_the_example_is_read_back(written):
    """The example rows of MLflow's signature are in the form of the file, and can be predicted from."""
    folder, _ = written
    example = read_model_description(folder / "ready").example
    rows = find_rows(folder, "validation")[:3]
    assert [len(day) for day in example["day"] if day] and all("/" in day for day in example["day"] if day)
    found = load(folder).predict(pd.DataFrame(example))
    assert np.allclose(found, load_part(folder / "ready", "validation").x["dense"][: len(rows)], atol=1e-5)


def test_types_and_notes(written):
    """Each form is found, and a note states it with its key."""
    _, summary = written
    kinds = {column.column: column.kind for column in summary.raw}
    assert {name for name, kind in kinds.items() if kind == "date"} == {
        *("day", "compact", "clock", "quarter", "week", "stamp", "serial")
    }
    assert {name for name, kind in kinds.items() if kind == "string"} == {"zip", "size", "land"}
    for name in (
        *("cost", "rate", "comma", "fans", "day", "compact", "clock", "zip"),
        *("took", "lasted", "iso", "quarter", "week"),
    ):
        assert any(f'column "{name}"' in note and f"data.columns.{name}" in note for note in summary.notes), name


def test_numbers_that_lost_their_form():
    """Numbers that a table reader made of codes or of thousands are refused by the column's name."""
    forms = {"zip": {"refuses_numbers": True}, "count": {"thousands": ".", "decimal": ","}}
    columns = [
        {"name": "zip", "input": "zip", "kind": "string", "form": forms["zip"]},
        {"name": "count", "input": "count", "kind": "numeric", "form": forms["count"]},
    ]
    loader = KerasOnRawColumns(lambda given, training: given["count"], columns, [])
    text = "zip,count\n01,1.203\n117,987\n"
    with pytest.raises(Exception, match=r'column "zip": expected text, since .* got 1'):
        loader.predict(pd.read_csv(io.StringIO(text)))
    with pytest.raises(Exception, match=r'column "count": expected whole numbers or text, got 1\.203 in row 0'):
        loader.predict(pd.read_csv(io.StringIO(text), dtype={"zip": str}))
    assert loader.predict(pd.read_csv(io.StringIO(text), dtype=str)).tolist() == [1203, 987]
