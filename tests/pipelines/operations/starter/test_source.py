"""Guess of a table's target, and the form of other sources."""

import numpy as np
import pandas as pd
import pytest

from pipelines.operations.starter.source import SourceFacts, read_source
from search_spaces.errors import InputError

WORDS = ["a", "b", "c"]
NAMES = [f"name {row}" for row in range(60)]
SENTENCES = [f"the quick brown fox jumps over {row} dogs" for row in range(60)]


def read(tmp_path, columns, **data) -> SourceFacts:
    pd.DataFrame(columns).to_csv(tmp_path / "d.csv", index=False)
    return read_source({"source": "d.csv", **data}, tmp_path)


@pytest.mark.parametrize(
    ("columns", "target", "why"),
    [
        ({"x": range(60), "price": range(60)}, "price", "a guess, since it is the last column"),
        ({"label": WORDS * 20, "x": range(60)}, "label", "a guess, by its name"),
        ({"Target": WORDS * 20, "x": range(60)}, "Target", "a guess, by its name"),
        (
            {"x": range(60), "kind": WORDS * 20, "note": SENTENCES, "who": NAMES},
            "kind",
            "a guess, since it is the last column that is no text and no name",
        ),
        ({"x": range(60), "euros": [f"{row},5" for row in range(60)]}, "euros", "a guess, since it is the last column"),
        ({"x": range(60), "y2": [1] * 60}, "x", "a guess, since it is the last column that is no text and no name"),
    ],
)
def test_the_target_is_guessed(tmp_path, columns, target, why):
    """By a usual name, else the last column of numbers or classes; texts, names and constants are none."""
    facts = read(tmp_path, columns)
    assert (facts.targets, facts.why, facts.form) == ((target,), why, "table")


def test_a_named_target_is_no_guess(tmp_path):
    """One or several columns, as they are named."""
    columns = {"x": range(9), "y": range(9), "z": range(9)}
    assert read(tmp_path, columns, target="x").targets == ("x",)
    several = read(tmp_path, columns, target=["x", "y"])
    assert (several.targets, several.why) == (("x", "y"), "")


def test_a_target_of_lists_is_found(tmp_path):
    """Cells that combine a few labels in several ways; a mark that names one thing each is none."""
    tags = ["red|blue", "red", "blue", None, "red|green", "green|blue"] * 5
    assert read(tmp_path, {"x": range(30), "tags": tags}, target="tags").holds_lists
    pairs = ["a|b", "c|d"] * 15
    assert not read(tmp_path, {"x": range(30), "pair": pairs}, target="pair").holds_lists


@pytest.mark.parametrize(
    ("columns", "data", "message"),
    [
        ({"x": range(9), "price": range(9)}, {"target": "prise"}, 'no column "prise"; did you mean "price"'),
        ({"x": range(9)}, {}, "got one column"),
        ({"a": SENTENCES, "b": NAMES}, {}, "no column looks like one to predict; name it by --target: a, b"),
    ],
)
def test_what_has_no_target_is_refused(tmp_path, columns, data, message):
    """The error names the columns, or what is missing."""
    with pytest.raises(InputError, match=message):
        read(tmp_path, columns, **data)


@pytest.mark.parametrize(
    ("shape", "form"), [((6, 3), "vectors"), ((6, 4, 4), "images"), ((6, 4, 4, 3), "images"), ((6, 9, 2), "series")]
)
def test_arrays_have_a_form_and_no_target(tmp_path, shape, form):
    """Labels come with arrays, so that a named target is an error."""
    np.savez(tmp_path / "d.npz", x=np.zeros(shape, "float32"), y=np.arange(6) % 2)
    facts = read_source({"source": "d.npz"}, tmp_path)
    assert (facts.form, facts.targets) == (form, ())
    with pytest.raises(InputError):
        read_source({"source": "d.npz", "target": "y"}, tmp_path)
