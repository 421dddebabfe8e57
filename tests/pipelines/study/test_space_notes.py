"""Notes on a space: lists of two numbers, and points that are not tried as they are written."""

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


OPTIMIZER = (
    "optimizer: {choices: [sgd, adam], default: adam}, "
    "momentum: {type: float, low: 0, high: 0.9, when: {optimizer: sgd}}"
)


@pytest.mark.parametrize(
    ("space", "note"),
    [
        (
            f"{OPTIMIZER}, start_from: [{{depth: 2, momentum: 0.5}}], depth: [1, 2]",
            "space.start_from[0].momentum: is left out: it needs optimizer is sgd, and optimizer is adam there; give "
            "optimizer in this point",
        ),
        (
            "units: {type: int, low: 8, high: 64, default: 64}, depth: [1, 2], start_from: [{depth: 2}, {depth: 1}], "
            "constraints: [units * depth <= 64]",
            "space.start_from[0]: with the defaults of what it leaves out, it breaks the constraint units * depth <= "
            "64: it is not tried",
        ),
        (
            "units: {type: int, low: 8, high: 64, default: 64}, constraints: [units <= 32]",
            "space.constraints: the defaults together break the constraint units <= 32: no trial begins with them",
        ),
    ],
)
def test_points_that_are_not_tried_as_they_are_written(space, note):
    """What the first trials do not have of the file is noted with its place."""
    (found,) = load_study(f"{HEAD}space: {{{space}}}\n").list_notes()
    assert f"{found.path}: {found.message}" == note


@pytest.mark.parametrize("points", ["[{momentum: 0.5}]", "[{optimizer: sgd, momentum: 0.5}]", "[{optimizer: adam}]"])
def test_points_that_are_tried(points):
    """A value whose parent is drawn waits for that."""
    space = OPTIMIZER.replace(", default: adam", "")
    assert load_study(f"{HEAD}space: {{{space}, start_from: {points}}}\n").list_notes() == ()
