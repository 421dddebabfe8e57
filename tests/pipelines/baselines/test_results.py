"""Results of baselines: their text, the comparison with a winner, and their file."""

from __future__ import annotations

from pipelines.baselines.results import BASELINES_FILE, Baseline, Baselines, read_baselines, write_baselines

FOUND = Baselines(
    "val_accuracy",
    "maximize",
    "abc",
    (
        Baseline("majority", "predicting the commonest class", 0.6, 0.5),
        Baseline("linear", "a linear model", 0.9, 0.85, ("fitted on 10 of 20 training rows",)),
    ),
)


def test_scores_are_described_in_one_line():
    """The metric is named once; test scores and notes stand behind each."""
    assert FOUND.describe() == (
        "predicting the commonest class has val_accuracy 0.6 (test 0.5), a linear model has 0.9 (test 0.85, fitted on "
        "10 of 20 training rows)"
    )


def test_a_missing_baseline_is_described():
    """The reason stands alone, or behind the others."""
    assert Baselines("val_loss", "minimize", "", skipped="no baselines: words").describe() == "no baselines: words"
    one = Baselines("val_loss", "minimize", "", (Baseline("mean", "predicting the mean", 1.0),), "a linear model: no")
    assert one.describe() == "predicting the mean has val_loss 1; a linear model: no"


def test_a_winner_has_to_beat_the_best_of_them():
    """The best of those that it does not beat is named; an equal score beats nothing."""
    assert FOUND.explain_unbeaten(0.95) == ""
    assert FOUND.explain_unbeaten(0.9) == "no better than a linear model: val_accuracy 0.9 against 0.9"
    assert FOUND.explain_unbeaten(0.5) == "no better than a linear model: val_accuracy 0.5 against 0.9"
    assert FOUND.explain_unbeaten(None) == ""


def test_a_score_on_another_scale_beats_nothing():
    """A user model's accuracy in per cent is above every share, and better than none."""
    reason = "not comparable with the baselines: val_accuracy 44.4, and theirs is a share of at most 1"
    assert FOUND.explain_unbeaten(44.4) == reason


def test_metrics_name_model_and_part():
    """MLflow gets a metric for each baseline and part."""
    assert FOUND.list_metrics() == {
        "baseline_majority_val_accuracy": 0.6,
        "baseline_linear_val_accuracy": 0.9,
        "baseline_majority_test_accuracy": 0.5,
        "baseline_linear_test_accuracy": 0.85,
    }


def test_a_file_is_read_back(tmp_path):
    """What was written is read; a damaged file counts as none."""
    write_baselines(tmp_path, FOUND)
    assert read_baselines(tmp_path) == FOUND
    (tmp_path / BASELINES_FILE).write_text("{")
    assert read_baselines(tmp_path) is None
    (tmp_path / BASELINES_FILE).write_text('{"format": 0}')
    assert read_baselines(tmp_path) is None
    assert read_baselines(tmp_path / "other") is None
