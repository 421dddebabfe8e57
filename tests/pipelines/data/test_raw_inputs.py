"""Raw inputs by name, and the structures that models take."""

from __future__ import annotations

from pipelines.data.raw_inputs import make_pack


def test_inputs_are_arranged_as_the_model_takes_them():
    """A structure of names becomes the same structure of inputs; without one the names are its keys."""
    raw = {"a": 1, "b": 2, "c": 3}
    assert make_pack("b")(raw) == 2
    assert make_pack({"left": "a", "right": ["b", ("c",)]})(raw) == {"left": 1, "right": [2, (3,)]}
    assert make_pack(None)(raw) == raw
