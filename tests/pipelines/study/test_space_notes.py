"""Lists of two numbers in a space."""

import pytest

from pipelines.study.load import load_study

HEAD = "study: s\ndata: {source: d.csv, target: y}\nmodel: mlp\n"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("learning_rate: [0.0001, 0.01]", "{type: float, low: 0.0001, high: 0.01, log: true}"),
        ("units: [8, 512]", "{type: int, low: 8, high: 512, log: true}"),
        ("dropout: [0.0, 0.5]", "{type: float, low: 0.0, high: 0.5}"),
    ],
)
def test_a_list_that_may_be_meant_as_a_range(written, meant):
    """Two numbers far apart are noted, with the range to write."""
    (note,) = load_study(f"{HEAD}space: {{{written}}}\n").list_notes()
    assert meant in note.message
    assert note.path.startswith("space.")


@pytest.mark.parametrize("written", ["units: [32, 64]", "activation: [relu, tanh]", "units: [8, 64, 512]", "depth: 2"])
def test_lists_of_choices(written):
    """Sizes side by side, words and longer lists are choices, without a note."""
    assert load_study(f"{HEAD}space: {{{written}}}\n").list_notes() == ()
