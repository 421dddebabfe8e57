"""Export of a study's model: refusals that come before any work, and the words of its card."""

from __future__ import annotations

import pytest

from pipelines.operations import export
from pipelines.operations.export import export_study
from pipelines.spec.data_spec import SplitSpec
from pipelines.spec.schema import BudgetSpec
from search_spaces.errors import InputError


def test_a_trial_and_the_ensemble_exclude_each_other(home, tmp_path):
    """Nothing is created."""
    with pytest.raises(InputError, match="expected a trial or the ensemble, got both"):
        export_study(home, "s", 0, None, tmp_path / "out", ensemble=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("split", "text"),
    [
        ({"column": "part"}, "by the column `part`"),
        ({"folds": 5, "test": 0.1, "seed": 3}, "5 folds, 10% test, seed 3"),
        (
            {"validation": 0.25, "test": 0.2, "seed": 1},
            "25% validation, 20% test, seed 1; the same rows whenever it is run",
        ),
    ],
)
def test_a_split_in_words(split, text):
    """A card states how the rows were divided."""
    assert export._describe_split(SplitSpec.model_validate(split)) == text


def test_a_budget_in_words():
    """Whatever ends the search first is one of these."""
    budget = BudgetSpec.model_validate({"trials": 30, "time": "10m", "target": 0.5, "patience": 7})
    assert (
        export._describe_budget(budget) == "30 trials, or 10m00s, or a score of 0.5, or 7 trials without a better one"
    )
