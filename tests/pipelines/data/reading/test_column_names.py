"""Names of columns with control characters: shown everywhere as text, and still taken by the model."""

import pandas as pd
import pytest

from pipelines.data.raw import Origin, RawData
from pipelines.data.reading.column_names import clean_column_names
from search_spaces.errors import InputError


def read(*names, **parts):
    table = pd.DataFrame([[1.0] * len(names)], columns=list(names))
    return RawData((Origin("a.csv", "data.source", "line", (2,)),), table=table, **parts)


def test_control_characters_are_written_out():
    """With a note, and with the file's name kept for the model."""
    raw = clean_column_names(read("a\x1b[2J", "b\nforged", "c", headers={"c": " c "}), "data.source")
    assert list(raw.table.columns) == ["a\\u001b[2J", "b\\u000aforged", "c"]
    assert raw.headers == {"a\\u001b[2J": "a\x1b[2J", "b\\u000aforged": "b\nforged", "c": " c "}
    assert len(raw.notes) == 2
    assert not any("\x1b" in note or "\n" in note for note in raw.notes)


def test_plain_names_stay():
    """The rows are the same object."""
    raw = read("a", "ü", "b c")
    assert clean_column_names(raw, "data.source") is raw


def test_two_columns_never_become_one():
    """A name that another column has already is refused."""
    with pytest.raises(InputError, match="two columns are called"):
        clean_column_names(read("a\x1b", "a\\u001b"), "data.source")
