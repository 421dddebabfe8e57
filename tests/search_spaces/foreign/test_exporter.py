"""Tools of the writers of other formats: notes on what a format cannot express."""

from __future__ import annotations

import pytest

from search_spaces.foreign.exporter import Losses, steps_are_multiples
from search_spaces.parameters import Categorical, Float, Int


def test_parameters_with_one_loss_share_a_note():
    """There is one note for each loss, with the names of all its parameters."""
    losses = Losses("Tool")
    for name in ("units", "depth"):
        losses.add("has no defaults; left out those of", name)
    losses.add("has no constraints; nothing there keeps", "depth < 3")
    assert losses.make_notes() == (
        "Tool has no defaults; left out those of: units, depth",
        "Tool has no constraints; nothing there keeps: depth < 3",
    )


def test_few_steps_become_choices_and_many_are_left_out():
    """Values that a list can hold are kept exactly; otherwise the range is kept, and the step is not."""
    losses = Losses("Tool")
    assert losses.remove_step(Int("units", 8, 32, step=8, default=16)) == Categorical("units", (8, 16, 24, 32), 16)
    assert losses.remove_step(Float("rate", 0.0, 1.0, step=1e-4)) == Float("rate", 0.0, 1.0)
    assert len(losses.make_notes()) == 2


@pytest.mark.parametrize(
    ("parameter", "multiples"),
    [
        (Float("it", 0.3, 0.9, step=0.1), True),
        (Float("it", 0.25, 0.95, step=0.1), False),
        (Int("it", 8, 64, step=8), True),
        (Int("it", 1, 64, log=True, step=2), False),
        (Int("it", 1, 64), False),
    ],
)
def test_steps_that_are_multiples(parameter, multiples):
    """Multiples are counted in decimal digits, and never on a logarithmic scale."""
    assert steps_are_multiples(parameter) is multiples
