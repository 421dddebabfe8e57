"""Scores of predictions by the loss and the metrics of a task."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.prepared import Task
from pipelines.export.scoring import Deciding, TaskScorer
from pipelines.spec.schema import TrainingSpec

PRICES = Task("regression", ("price",), target_mean=(0.0,), target_scale=(1.0,), is_weighted=True)


def test_scores_weigh_rows():
    """Loss and weighted metrics weigh rows; the objective is found among them."""
    y, weights = np.array([[0.0], [0.0]], np.float32), np.array([3.0, 1.0], np.float32)
    wanted = Deciding("weighted_root_mean_squared_error", minimize=True)
    scorer = TaskScorer(PRICES, TrainingSpec(), y, wanted, weights)
    scores = scorer.score([np.array([[2.0], [0.0]], np.float32)])
    assert scores["loss"] == pytest.approx(3 * 4 / 2)
    assert scores["root_mean_squared_error"] == pytest.approx(2**0.5)
    assert scores["weighted_root_mean_squared_error"] == pytest.approx(3**0.5)
    assert scorer.choose(scores) == wanted


def test_an_objective_that_predictions_lack_gives_way_to_the_default():
    """A measure of the model's file needs more than predictions."""
    scorer = TaskScorer(PRICES, TrainingSpec(), np.zeros((2, 1)), Deciding("size_mb", minimize=True))
    assert scorer.choose({}) == Deciding("weighted_root_mean_squared_error", minimize=True)
