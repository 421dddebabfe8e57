"""Costs of the smallest and the largest model of a space."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_channel import FakeChannel

from pipelines.data.prepared_folder import load_summary
from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import TrialJob
from pipelines.training.model_check import build_models, time_models
from search_spaces.errors import InputError


@pytest.fixture
def job(mixed_data, tmp_path):
    """Return a function that makes the job of a model with these values."""

    def make(family="mlp", **values):
        folder = str(tmp_path)
        return TrialJob(
            "it",
            0,
            values,
            frozenset(),
            0,
            family,
            TrainingSpec(),
            str(mixed_data),
            folder,
            "",
            "minimize",
            frozenset(),
        )

    return make


def test_each_model_is_built_and_measured(job, mixed_data):
    """Parameters are counted, memory is estimated, and the epochs are those of the values; nothing is trained."""
    small, large = build_models((job(units=4, depth=1, epochs=2), job(units=64, depth=3, epochs=9)), FakeChannel())
    width = load_summary(mixed_data).features.dense
    assert small.parameters == width * 4 + 4 + 4 + 1
    assert large.parameters > small.parameters
    assert large.memory_bytes > small.memory_bytes > 0
    assert (small.epochs, large.epochs) == (2, 9)
    assert (small.first_s, small.epoch_s) == (0.0, 0.0)


def test_timing_trains_for_a_moment(job, tmp_path):
    """A timed model has the time of an epoch, and leaves no files."""
    [timed] = time_models((job(units=4, depth=1, epochs=30),), FakeChannel())
    assert timed.epoch_s > 0
    assert timed.first_s >= 0
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_explodes_while_it_is_timed_is_no_problem(job):
    """The largest learning rate of a space may be beyond reason; its trials fail, the check does not."""
    [timed] = time_models((job(units=4, optimizer="sgd", learning_rate=1e30),), FakeChannel())
    assert timed.parameters > 0


def test_a_family_that_cannot_take_the_data_is_bad_input(job):
    """A family for images on a table is a problem of the input, not a traceback."""
    with pytest.raises(InputError):
        build_models((job(family="cnn"),), FakeChannel())


def test_a_model_above_a_ceiling_is_not_tried(job):
    """What no trial may train is not timed, and what is far above takes no memory."""
    for units in (64, 10**6):
        [refused] = time_models((replace(job(units=units, depth=2), most_parameters=100),), FakeChannel())
        assert "limits.parameters allows 100" in refused.refused
        assert refused.parameters == 0
