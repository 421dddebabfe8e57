"""A stored study keeps no places of its keys in memory, and finds them where an error needs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.study.load import check_document
from pipelines.study.stored import _load, serialize_study
from search_spaces.yaml_reader import parse_document

STUDIES = Path(__file__).parents[3] / "studies"
FURTHER = [1e-05, 1e20, 1e-16, -0.5, 2**40, "null", "1e3", "caf\u00e9", "a\tb: #", "NaN", None, True, {}, []]
TEXT = 'study: s\ndata: {source: "sklearn:iris"}\nmodel: mlp\nbudget: {trials: 3}\n'


def test_places_are_those_of_the_text(tmp_path):
    """An error names the same line and column as one of a document that was just parsed."""
    stored = serialize_study(check_document(parse_document(TEXT, "s"), tmp_path))
    parsed, loaded = parse_document(stored, "s"), _load("s", stored, str(tmp_path)).document
    assert dict(loaded.key_places) == parsed.key_places
    assert len(loaded.value_places) == len(parsed.value_places)
    for path in (("budget", "trials"), ("budget",), ("budget", "nothing", 3), ()):
        assert loaded.make_problem(path, "why") == parsed.make_problem(path, "why")


@pytest.mark.parametrize("text", [TEXT, *(file.read_text() for file in sorted(STUDIES.glob("*.yaml")))])
def test_a_stored_study_is_read_as_it_was_written(text, tmp_path):
    """A stored study is read by JSON's parser, which is quicker; values and types are those that YAML's finds."""
    stored = json.dumps({**parse_document(text, "s").data, "further": FURTHER})
    assert repr(json.loads(stored)) == repr(parse_document(stored, "s").data)
