"""Documents: plain data with the place of every key, and overrides."""

from __future__ import annotations

import pytest

from search_spaces.errors import InputError, Place
from search_spaces.yaml_document import format_path, make_document
from search_spaces.yaml_reader import parse_document

PLACED = """study: digits
space:
  l2:
    low: 1e-8
  units: [16, 32]
  depth: {low: 1}
"""


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        (("study",), 1, 8),
        (("space",), 2, 1),
        (("space", "l2"), 3, 3),
        (("space", "l2", "low"), 4, 10),
        (("space", "units"), 5, 3),
        (("space", "units", 1), 5, 15),
        (("space", "depth", "low"), 6, 16),
    ],
)
def test_every_key_has_a_place(path, line, column):
    """A problem is shown at a plain value, and at the key of a mapping or list."""
    assert parse_document(PLACED, "f").find_place(path) == Place("f", line, column)


def test_a_key_has_its_own_place():
    """What is wrong with a key itself is shown at the key."""
    document = parse_document(PLACED, "f")
    assert str(document.make_key_problem(("space", "l2", "low"), "x")) == "f:4:5: space.l2.low: x"


def test_a_missing_key_is_placed_at_the_nearest_above():
    """What is not in the file is shown where it would belong."""
    document = parse_document(PLACED, "f")
    assert document.find_place(("space", "l2", "high")) == Place("f", 3, 3)
    assert document.find_place(("budget", "trials")) == Place("f", 1, 1)


def test_paths_are_written_with_dots_and_brackets():
    """A path reads as a person would write it."""
    assert format_path(("space", "units", "choices", 2)) == "space.units.choices[2]"


def test_a_value_is_set_from_outside():
    """An override replaces one value, keeps all others with their places, and is shown as its own origin."""
    document = parse_document(PLACED, "f").replace_value(("space", "l2", "low"), 1e-6, "--set space.l2.low=1e-6")
    assert document.data["space"] == {"l2": {"low": 1e-6}, "units": [16, 32], "depth": {"low": 1}}
    assert document.find_place(("space", "l2", "low")) == Place("--set space.l2.low=1e-6", 0, 0)
    assert document.find_place(("space", "l2")) == Place("f", 3, 3)


def test_an_override_makes_what_is_missing():
    """Mappings on the way to a set value are made, and the document it came from is untouched."""
    before = parse_document("study: x", "f")
    after = before.replace_value(("budget", "trials"), 5, "--set")
    assert after.data == {"study": "x", "budget": {"trials": 5}}
    assert before.data == {"study": "x"}


def test_an_override_counts_in_lists():
    """A number in an override's key is the index of a list's item."""
    document = parse_document(PLACED, "f").replace_value(("space", "units", "1"), 64, "--set")
    assert document.data["space"]["units"] == [16, 64]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("study", "x"), 'x: "x" cannot be set inside the text "digits"; set the whole key instead'),
        (("space", "units", "2"), 'x: expected a number from 0 to 1 for the list, got "2"'),
        (("a",) * 3000, "x: the key is nested deeper than 40 levels"),
    ],
)
def test_an_override_must_have_somewhere_to_go(path, message):
    """A key cannot be set inside a plain value, nor an item beyond a list's end."""
    with pytest.raises(InputError) as caught:
        parse_document(PLACED, "f").replace_value(path, 1, "x")
    assert str(caught.value) == message


def test_python_data_is_taken():
    """Data made in Python is a document without places; tuples become lists."""
    document = make_document({"a": (1, 2), "b": {"c": None}})
    assert document.data == {"a": [1, 2], "b": {"c": None}}
    assert str(document.make_problem(("b", "c"), "x")) == "b.c: x"


@pytest.mark.parametrize("data", [[1], {1: 2}, {"a": {1}}, {"a": object()}])
def test_python_data_must_be_what_a_file_can_hold(data):
    """What no file can hold is refused."""
    with pytest.raises(InputError):
        make_document(data)


def test_python_data_that_holds_itself_is_refused():
    """A list inside itself ends as an error, not in endless recursion."""
    data: dict[str, object] = {}
    data["a"] = data
    with pytest.raises(InputError, match="nested deeper"):
        make_document(data)
