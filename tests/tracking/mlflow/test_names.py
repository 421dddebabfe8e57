"""Names in MLflow: accepted by it, unique, and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param

from tracking.mlflow.names import decode_name, describe_cut_names, encode_file_names, encode_name, encode_names

# Letters that are special here, those that fold together, and any others.
NAMES = st.text(st.sampled_from("_u0041./ :aA\u00e4@\n") | st.characters(), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val_auc", "val_auc"),
        ("fold_1/loss", "fold_1/loss"),
        ("gr\u00f6\u00dfe: a-b.c", "gr\u00f6\u00dfe: a-b.c"),
        ("top@5", "top_u0040_5"),
        ("../x", "_u002e__u002e__u002f_x"),
        ("a//b", "a_u002f__u002f_b"),
        (" a", "_u0020_a"),
        ("a_u0040_", "a_u005f_u0040_"),
        ("\U0001f600", "_u1f600_"),
    ],
)
def test_names_as_they_are_shown(name, expected):
    """A name that MLflow takes stays; in any other the odd characters become their codes."""
    assert encode_name(name) == expected
    assert decode_name(expected) == name


@given(st.lists(NAMES, unique=True))
def test_any_names(names):
    """MLflow takes each, no two are one, also where case does not count, and each is read back."""
    encoded = encode_names(names)
    assert len({name.casefold() for name in encoded.values()}) == len(names)
    for name, safe in encoded.items():
        _validate_param(safe, "1")
        _validate_metric_name(safe)
        assert decode_name(safe) == name
    assert len({encode_name(name) for name in names}) == len(names)


def test_names_that_are_one_without_case_and_accents():
    """The letters that differ become codes, in the order of no names."""
    names = ["lr", "LR", "b\u00e4r", "bar", "units"]
    expected = {"lr": "lr", "LR": "_u004c__u0052_", "b\u00e4r": "b_u00e4_r", "bar": "bar", "units": "units"}
    assert encode_names(names) == encode_names(reversed(names)) == expected


def test_names_that_are_too_long():
    """A long name is cut and stays apart from others that begin so; a tag has the whole."""
    one, other = "x" * 300, "x" * 300 + "y"
    encoded = encode_names([one, other, "z"])
    assert len(encoded[one]) == len(encoded[other]) == 250
    assert encoded[one] != encoded[other]
    assert encode_name("x" * 250) == "x" * 250
    tags = describe_cut_names(encoded)
    assert sorted(tags.values()) == [one, other]
    assert all(encoded[name].endswith(tag.removeprefix("kerastudy.name")) for tag, name in tags.items())


def test_names_of_files():
    """Characters that a URL takes for something else become codes; names that differ in case stay two."""
    names = encode_file_names(["a b.csv", "a#b?.csv", "100%.txt", "..x", "y", "Y", "x" * 255])
    assert names["a b.csv"] == "a b.csv"
    assert names["a#b?.csv"] == "a_u0023_b_u003f_.csv"
    assert names["100%.txt"] == "100_u0025_.txt"
    assert (names["..x"], names["y"], names["Y"]) == ("_u002e_.x", "y", "_u0059_")
    assert len(names["x" * 255]) == 120
