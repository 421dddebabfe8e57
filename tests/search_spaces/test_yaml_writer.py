"""The writer of YAML: the reader gives the same data back."""

from __future__ import annotations

from hypothesis import given, settings
from plain_data import DATA

from search_spaces.yaml_reader import parse_document
from search_spaces.yaml_writer import to_yaml


@settings(deadline=None, derandomize=True)
@given(DATA.filter(bool))
def test_what_is_written_is_read_back(data):
    """YAML that we write gives the same data back, floats as floats and text as text."""
    read = parse_document(to_yaml(data), "f").data
    assert read == data
    assert repr(read) == repr(data)
