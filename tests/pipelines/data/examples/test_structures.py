"""Nested structures of leaves."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.examples.structures import Leaf, flatten, from_json, map_leaves, name_leaves, pack, to_json

keys = st.text(min_size=1, max_size=4)
leaves = st.builds(Leaf, keys, st.tuples(st.integers(1, 3)), st.sampled_from(["int32", "string"]))
structures = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.lists(inner, min_size=1, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(structures)
def test_json_keeps_everything(structure):
    """A structure comes back from JSON as it was, lists and tuples apart, dicts in their order."""
    again = from_json(json.loads(json.dumps(to_json(structure))))
    assert again == structure
    assert repr(again) == repr(structure)


@given(structures)
def test_leaves_go_out_and_back(structure):
    """Packing the flattened leaves restores the structure; mapping visits each leaf once."""
    assert pack(structure, iter(flatten(structure))) == structure
    seen = []
    map_leaves(seen.append, structure)
    assert seen == flatten(structure)


@given(structures)
def test_names_are_safe_and_unique(structure):
    """Each leaf has a name of its own that TensorFlow's signatures take."""
    names = name_leaves(structure, "x")
    assert len(set(names)) == len(names) == len(flatten(structure))
    assert all(name[0].isalpha() and name.isidentifier() and name.isascii() for name in names)


@pytest.mark.parametrize(
    ("structure", "names"),
    [
        (1, ["x"]),
        ([1, 2], ["x_0", "x_1"]),
        ({"a": 1, "b c": (2, 3)}, ["a", "b_c_0", "b_c_1"]),
        ({"": 1}, ["x_"]),
        ({"class": 1, "class_": 2}, ["class_", "class__"]),
    ],
)
def test_names_show_the_place(structure, names):
    """A name is the way to the leaf."""
    assert name_leaves(structure, "x") == names
