"""Division of batches into steps."""

from __future__ import annotations

from pipelines.training.fleet.envelope import find_envelope
from pipelines.training.fleet.member import build_member
from pipelines.training.fleet.steps import count_most_steps, count_step_rows, count_steps


def envelope_of(*batch_sizes, **values):
    return find_envelope([build_member({"batch_size": size, **values}, frozenset()) for size in batch_sizes])


def test_a_step_is_as_large_as_the_smallest_batch():
    """With a floor, since smaller steps are no cheaper; batch normalisation needs the largest batch at once."""
    assert count_step_rows(envelope_of(32, 256)) == 32
    assert count_step_rows(envelope_of(2, 256)) == 16
    assert count_step_rows(envelope_of(4)) == 4
    assert count_step_rows(envelope_of(32, 256, batch_normalization=True)) == 256


def test_a_larger_batch_takes_several_steps():
    """The last batch is smaller, and takes as many as its rows need."""
    assert count_steps(32, rows=100, step_rows=32) == 4
    assert count_steps(64, rows=150, step_rows=32) == 2 + 2 + 1


def test_the_most_steps_are_those_of_any_batch_size_between():
    """A size just above a multiple of the steps' rows takes more of them than the smallest and the largest batch."""
    envelope = envelope_of(16, 32)
    assert count_most_steps(envelope, 170) == count_steps(17, 170, 16) == 20
    assert max(count_steps(size, 170, 16) for size in (16, 32)) == 11
