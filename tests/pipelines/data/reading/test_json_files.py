"""JSON files of rows."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from pipelines.data.reading.json_files import read_json
from pipelines.data.reading.source_file import SourceFile
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError

ROWS = [{"a": 1, "b": "00501"}, {"a": 2.5, "b": None}, {"b": "x", "c": True}]


@pytest.fixture
def read(tmp_path):
    """Return a function that writes text to a file and reads it."""

    def write_and_read(text: str, name: str = "d.jsonl", **keys: object):
        (tmp_path / name).write_text(text, encoding="utf-8")
        spec = DataSpec.model_validate({"source": name, **keys})
        return read_json(SourceFile(tmp_path / name, name, "data.source", spec))

    return write_and_read


def test_a_record_a_line(read):
    """Types are those of the file, a key that a record lacks is missing, and rows know their lines."""
    raw = read("\n".join(map(json.dumps, ROWS[:1])) + "\n\n" + "\n".join(map(json.dumps, ROWS[1:])))
    assert raw.table["b"].tolist()[0] == "00501"
    assert pd.isna(raw.table["a"][2])
    assert raw.format_place(1) == "line 3"


@pytest.mark.parametrize("orient", ["records", "columns", "split", "table", "list"])
def test_documents_as_pandas_writes_them(read, orient):
    """Records, columns and pandas's forms with a description are the same table."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    text = json.dumps(frame.to_dict("list")) if orient == "list" else frame.to_json(orient=orient)
    assert read(text, "d.json").table.to_numpy().tolist() == [[1, "x"], [2, "y"]]


def test_records_under_a_key(read):
    """The records of a wrapped answer are its rows, with a note."""
    raw = read('{"count": 2, "rows": [{"a": 1}, {"a": 2}]}', "d.json")
    assert raw.table["a"].tolist() == [1, 2]
    assert raw.notes == ('the rows of d.json are the records under "rows"',)


def test_records_under_several_keys(read):
    """The only list of records of a document is found below its keys; of two, none is taken."""
    raw = read('{"meta": {"page": 1}, "data": {"items": [{"a": {"b": 1}}, {"a": {"b": 2}}]}}', "d.json")
    assert raw.table["a.b"].tolist() == [1, 2]
    assert raw.notes[0] == 'the rows of d.json are the records under "data.items"'
    with pytest.raises(InputError, match="got another form"):
        read('{"n": 1, "u": {"rows": [{"a": 1}]}, "v": {"rows": [{"a": 2}]}}', "d.json")


def test_a_record_under_each_key(read):
    """Rows by key are told from columns by the target's name, whatever pandas's `orient` is."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=["r1", "r2"])
    for orient in ("index", "columns"):
        raw = read(frame.to_json(orient=orient), "d.json", target="b")
        assert raw.table.to_numpy().tolist() == [[1, "x"], [2, "y"]]
    assert read(frame.to_json(orient="index"), "d.json", target="b").notes == (
        "each key of d.json is a row; the keys themselves are left out",
    )


def test_lines_in_a_file_called_json(read):
    """The ending .json is used for a record a line too."""
    assert read('{"a": 1}\n{"a": 2}\n', "d.json").rows == 2


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (
            '{"a": 1}\n{"a": \n[2]\n',
            "d.jsonl",
            "line 2 of d.jsonl is no record in JSON: Expecting value (2 such lines: 2, 3)",
        ),
        ('{"a": 1, "a": 2}', "d.jsonl", 'the key "a" stands twice'),
        ('[{"a": 1},\n{"a" 2}]', "d.json", "line 2 of d.json is no JSON: Expecting ':' delimiter"),
        ('{"a": [1, 2], "b": [1]}', "d.json", 'expected columns of one length in d.json, got "a" 2, "b" 1'),
        ('{"rows": 3}', "d.json", "expected a list of records"),
        ("\n", "d.jsonl", "has no rows"),
        ("[" * 100_000, "d.json", "nested deeper than can be read"),
        ('{"a":' * 100_000, "d.jsonl", "nested deeper than can be read"),
    ],
)
def test_unusable_json(read, problem, text, name, message):
    """Broken lines are named all at once, and other forms with those that are read."""
    assert message in problem(read, text, name).message


def test_broken_lines_can_be_left_out(read):
    """`skip_broken` leaves them out, with a note."""
    raw = read('{"a": 1}\n{"a"\n', skip_broken=True)
    assert raw.rows == 1
    assert raw.notes == ("lines of d.jsonl that are no JSON are left out (data.skip_broken): 2",)
