"""Digests of a study's data."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from pipelines.data.fingerprint import FORMAT, calculate_source_fingerprint, read_fingerprint, update_digest
from pipelines.data.splits.division import Division
from pipelines.spec.data_spec import DataSpec


def digest(*values):
    made = hashlib.sha256()
    update_digest(made, *values)
    return made.hexdigest()


def test_files_count_by_their_content(tmp_path):
    """Where and when a file was written does not matter; content and settings do."""
    for name, text in (("one", "a,y\n1,2\n"), ("two", "a,y\n1,2\n"), ("three", "a,y\n1,3\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "d.csv").write_text(text)
    spec = DataSpec(source="d.csv", target="y")
    one, two, three = (calculate_source_fingerprint(spec, tmp_path / name, "dense") for name in ("one", "two", "three"))
    assert one == two
    others = [
        three,
        calculate_source_fingerprint(spec, tmp_path / "one", "image"),
        calculate_source_fingerprint(spec, tmp_path / "one", "dense", division=Division(3)),
        calculate_source_fingerprint(DataSpec(source="d.csv", target="a"), tmp_path / "one", "dense"),
    ]
    assert len({one, *others}) == 5


def test_every_file_of_a_list_or_pattern_counts(tmp_path):
    """A change in any of the files is other data, and so is another order of a list."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"x\n{name}\n")
    fingerprints = [
        calculate_source_fingerprint(DataSpec(source=source), tmp_path, "dense")
        for source in (["a.csv", "b.csv"], ["b.csv", "a.csv"], "*.csv")
    ]
    (tmp_path / "b.csv").write_text("x\nother\n")
    changed = calculate_source_fingerprint(DataSpec(source="*.csv"), tmp_path, "dense")
    assert len({*fingerprints, changed}) == 4


def test_a_picture_that_changes_its_folder_is_other_data(tmp_path):
    """The folder of a picture is its label: the same files below other folders have another fingerprint."""
    fingerprints = set()
    for name, label in (("one", "cat"), ("two", "dog")):
        folder = tmp_path / name / "pictures"
        for each in ("cat", "dog"):
            (folder / each).mkdir(parents=True)
        (folder / label / "1.png").write_bytes(b"the same picture")
        fingerprints.add(calculate_source_fingerprint(DataSpec(source="pictures"), tmp_path / name, "image"))
    assert len(fingerprints) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(4), np.zeros((2, 2))),
        (np.zeros(4, np.float32), np.zeros(4, np.int32)),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]})),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [2, 1]})),
    ],
)
def test_values_of_another_form_differ(one, other):
    """Shape, type, name and order are part of a digest."""
    assert digest(one) == digest(one.copy())
    assert digest(one) != digest(other)


def test_a_folder_that_cannot_be_read_has_no_fingerprint(tmp_path):
    """Neither has one of another version, so that it is prepared again."""
    assert read_fingerprint(tmp_path) is None
    file = tmp_path / "summary.json"
    for text in ("{", json.dumps({"format": FORMAT + 1, "fingerprint": "it"})):
        file.write_text(text)
        assert read_fingerprint(tmp_path) is None
    file.write_text(json.dumps({"format": FORMAT, "fingerprint": "it"}))
    assert read_fingerprint(tmp_path) == "it"
