"""Decision on an ensemble by the scores of its folds."""

from __future__ import annotations

import pytest
from small_studies import study_of

from pipelines.selection.ensemble import FoldScores, can_fold, count_members
from pipelines.study.objective import Objective

LESS, MORE = Objective("val_loss", "minimize"), Objective("val_accuracy", "maximize")


@pytest.mark.parametrize(
    ("objective", "folds", "outlier"),
    [
        (LESS, (4.9, 5.1, 5.0, 5.2, 5.6), None),
        (LESS, (0.48, 0.481, 0.479, 0.48, 0.557), None),  # its rows may be harder
        (LESS, (4.9, 5.1, 5.0, 5.2, 17.0), 17.0),
        (LESS, (4.9, 5.1, 5.0, 5.2, 0.1), None),  # a better one is not among the worst
        (MORE, (0.95, 0.95, 0.95, 0.95, 0.9), None),  # equal scores have no spread
        (MORE, (0.95, 0.95, 0.95, 0.95, 0.5), 0.5),
        (MORE, (95.0, 95.0, 95.0, 95.0, 90.0), None),  # in per cent
        (MORE, (95.0, 95.0, 95.0, 95.0, 40.0), 40.0),
        (LESS, (1.0, 1.0, 9.0), None),
    ],
)
def test_a_fold_that_has_gone_wrong_is_an_outlier(objective, folds, outlier):
    """It is worse than the others by far more than they differ."""
    assert FoldScores(objective, 1.0, folds).outlier == outlier


@pytest.mark.parametrize(
    ("selection", "members"),
    [("{}", 0), ("{ensemble: true}", 6), ("{ensemble: 4}", 4), ("{finalists: 2, folds: 3, ensemble: true}", 4)],
)
def test_the_number_of_models_is_declared(selection, members):
    """Six models where none is; where folds rank finalists, as many as there are, and the trial's own."""
    spec = study_of(f"study: s\ndata: {{source: d.csv, target: y}}\nmodel: mlp\nselection: {selection}\n").spec
    assert count_members(spec) == members
    assert can_fold(spec)
