"""A study's data as it was recorded, compared with the same data prepared anew."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from small_studies import write_mixed_csv

from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_summary
from pipelines.operations.replay.compare_data import compare_data
from pipelines.spec.data_spec import DataSpec

SPLIT = {"validation": 0.25, "test": 0.2, "seed": 1}
WITHOUT_LABEL = "no label differs, and no raw value of a validation or test row: inputs of training rows do"


@pytest.fixture
def source(tmp_path):
    """A table that a study was made from."""
    file = tmp_path / "mixed.csv"
    write_mixed_csv(file)
    return file


@pytest.fixture
def compare(tmp_path, source, mixed_data):
    """Return a function that prepares the table as it is now, and compares it with what it was."""
    report, kept = tmp_path / "report", tmp_path / "kept"
    report.mkdir()
    shutil.copytree(mixed_data, kept)
    shutil.copyfile(kept / "split.csv", report / "split.csv")
    (report / "data.json").write_text(json.dumps(asdict(load_summary(kept))))

    def make(**changed):
        spec = DataSpec.model_validate({"source": source.name, "target": "bought", "split": SPLIT | changed})
        summary = prepare(spec, tmp_path, tmp_path / "anew", "dense")
        return {each.name: each for each in compare_data(report, kept, tmp_path / "anew", summary)}

    return make


def line_in(part: str, folder: Path) -> int:
    """Return the first line of the table that is in a part."""
    rows = [line.split(",") for line in (folder / "split.csv").read_text().splitlines()[1:]]
    return next(int(place.removeprefix("line ")) for place, where in rows if where == part)


def change_cell(source: Path, line: int, column: int, value: str) -> None:
    lines = source.read_text().splitlines()
    cells = lines[line - 1].split(",")
    cells[column] = value
    lines[line - 1] = ",".join(cells)
    source.write_text("\n".join(lines) + "\n")


def test_the_same_source_gives_the_same_data(compare):
    """Digest, rows, split, task, columns and preprocessed rows are equal to the last bit."""
    compared = compare()
    assert {name: each.agreement for name, each in compared.items()} == dict.fromkeys(
        ("digest", "rows", "split", "task", "columns", "prepared rows"), "equal"
    )


def test_a_changed_validation_row_is_named(compare, source, mixed_data):
    """A changed cell of a row whose raw values are kept is named with its line."""
    line = line_in("validation", mixed_data)
    change_cell(source, line, 1, "9.5")
    compared = compare()
    assert (compared["digest"].agreement, compared["split"].agreement) == ("different", "equal")
    assert compared["values"].note == f"other values in line {line} (validation)"
    assert compared["prepared rows"].agreement == "different"


def test_a_changed_training_row_is_recognised(compare, source, mixed_data):
    """Inputs of training rows are kept preprocessed only: the note names no row."""
    change_cell(source, line_in("train", mixed_data), 1, "9.5")
    assert compare()["values"].note == WITHOUT_LABEL


def test_new_rows_and_another_split_are_named(compare, source):
    """Rows that are new are named, and so are rows that went into another part."""
    with source.open("a") as file:
        file.write("33,0.5,1,0.5,0,Oslo,yes\n")
    compared = compare()
    assert compared["rows"].agreement == "different"
    assert "1 rows are new: line 82" in compared["split"].note
    assert "rows moved: line " in compare(seed=2)["split"].note


def test_a_missing_report_is_unknown(compare, tmp_path):
    """A missing report makes no item different."""
    shutil.rmtree(tmp_path / "report")
    compared = compare()
    assert {compared[name].agreement for name in ("digest", "rows", "split", "task", "columns")} == {"unknown"}


def test_without_the_kept_data_only_digests_are_compared(compare, source, tmp_path):
    """Rows cannot be named without the study's prepared data."""
    shutil.rmtree(tmp_path / "kept")
    change_cell(source, 5, 1, "9.5")
    assert set(compare()) == {"digest", "rows", "split", "task", "columns"}
