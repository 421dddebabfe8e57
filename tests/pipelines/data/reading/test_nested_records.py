"""Objects within records."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from pipelines.data.raw import Origin
from pipelines.data.reading.nested_records import MOST_COLUMNS, flatten_records
from pipelines.data.reading.source_file import SourceFile
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError

RECORDS = [
    {"id": 1, "user": {"age": 41, "home": {"city": "Ulm", "zip": "01"}}, "tags": ["a"]},
    {"id": 2, "user": None, "tags": []},
    {"id": 3, "user": {"home": {"city": "Bonn"}}},
]


@pytest.fixture
def flatten(tmp_path):
    """Return a function that flattens records of a file of one a line, with keys of `data`."""

    def flatten(records: list[dict[str, object]], **keys: object):
        spec = DataSpec.model_validate({"source": "d.jsonl", **keys})
        origin = Origin("d.jsonl", "data.source", "line", range(1, len(records) + 1))
        return flatten_records(records, origin, SourceFile(tmp_path / "d.jsonl", "d.jsonl", "data.source", spec))

    return flatten


def test_objects_are_columns(flatten):
    """They have the names and values that `pandas.json_normalize` gives them, and a note lists them."""
    records, notes = flatten(RECORDS)
    expected = pd.json_normalize(RECORDS).drop(columns="user")
    pd.testing.assert_frame_equal(pd.DataFrame(records), expected[list(pd.DataFrame(records))])
    listed = '"user.age", "user.home.city", "user.home.zip"'
    assert notes == (f"objects in the records of d.jsonl are read as columns: {listed} (data.drop)",)


def test_flat_records_are_the_same(flatten):
    """Without objects nothing is changed or noted, whatever dots the names have."""
    records = [{"a.b": 1, "c": [1, 2]}, {"a.b": None}]
    assert flatten(records) == (records, ())


@pytest.mark.parametrize("dropped", ["user", "user.home"])
def test_dropped_objects_stay(flatten, dropped):
    """A column of `data.drop` is left out as a whole, so what is in it does not matter."""
    inner = {"home": [{"n": 1}]} if dropped == "user.home" else [{"n": 1}]
    records, _ = flatten([{"id": 1, "user": inner}], drop=[dropped])
    assert dropped in records[0]


def test_an_object_without_keys_is_a_column_without_values(flatten):
    """Such a column is noted as any without a value, and does not vanish."""
    assert flatten([{"a": {}}, {"a": {}}])[0][0] == {"a": None}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"a": 1}, {"a": {"b": [{"c": 1}]}}], 'column "a.b" of d.jsonl holds a list of objects at line 2, [{"c": 1}]'),
        ([{"a": {"b": 1}}, {"a": 3}], 'column "a" of d.jsonl holds an object at line 1 and 3 at line 2'),
        ([{"a": {"b": 1}, "a.b": 2}], 'line 1 of d.jsonl has "a.b" as a key and as an object in an object'),
        ([json.loads('{"a":' * 60 + "1" + "}" * 60)], "nested deeper than 20 levels at line 1"),
        ([{"words": {f"w{i}": 1 for i in range(MOST_COLUMNS + 1)}}], "have more than 1,000 keys, such as"),
    ],
)
def test_what_has_no_columns_is_refused(flatten, records, message):
    """With the column, both places, and what to write."""
    with pytest.raises(InputError) as caught:
        flatten(records)
    assert message in caught.value.problems[0].message
