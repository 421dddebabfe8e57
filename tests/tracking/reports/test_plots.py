"""Pictures drawn from plain values."""

import math
import subprocess
import sys

import pytest

from tracking.reports.plots import PlottedTrial, compute_importances, read_history, write_study_plots


def rows(count):
    """Trials whose score depends on the learning rate alone; momentum exists for sgd only."""
    made = []
    for number in range(count):
        rate = 10 ** (-4 + 3 * ((number * 7) % count) / count)
        optimizer = "sgd" if number % 2 else "adam"
        params = {"learning_rate": rate, "optimizer": optimizer, "bias": bool(number % 3), "note": None}
        if optimizer == "sgd":
            params["momentum"] = (number % 5) / 5
        score = 1 - (math.log10(rate) + 2.5) ** 2 / 10
        made.append(PlottedTrial(number, "complete", score, params, 3, 1.5))
    return [*made, PlottedTrial(count, "failed", None, {"learning_rate": 1.0}, reason="it broke")]


def test_a_history_is_read_as_it_was_written(tmp_path):
    """A history.csv gives each epoch's metrics; an empty or odd cell is NaN."""
    (tmp_path / "history.csv").write_text("epoch,loss,val_loss\n0,1.0,2.0\n1,,x\n")
    first, second = read_history(tmp_path / "history.csv")
    assert first == {"loss": 1.0, "val_loss": 2.0}
    assert math.isnan(second["loss"])
    assert math.isnan(second["val_loss"])


def test_a_study_is_drawn(tmp_path):
    """Every picture of a study is written, and listed in the order to show them."""
    curves = {0: [{"val_accuracy": 0.1}, {"val_accuracy": 0.2}]}
    written = write_study_plots(rows(16), tmp_path, metric="val_accuracy", direction="maximize", curves=curves)
    assert [path.stem for path in written] == [
        "optimization-history", "parameter-importances", "slices", "parallel-coordinates", "learning-curves",
    ]  # fmt: skip
    assert all(path.stat().st_size > 1000 for path in written)


@pytest.mark.parametrize(
    "trials", [[], [PlottedTrial(0, "failed", None)], [PlottedTrial(0, "complete", 0.5, {"a": 1})]]
)
def test_a_study_with_little_to_show_is_no_error(tmp_path, trials):
    """Pictures that would be empty are left out."""
    stems = [path.stem for path in write_study_plots(trials, tmp_path, metric="m", direction="minimize")]
    assert stems == (["optimization-history"] if trials and trials[0].value is not None else [])


def test_names_of_any_text(tmp_path):
    """Names are drawn as they are, a formula's marks included, and cut where they are long; nothing is warned of."""
    names = ["$x_{$", "y" * 300, "y" * 300 + "z", "\U0001f600\n\t", "", "a"]
    trials = [
        PlottedTrial(number, "complete", number / 10, dict.fromkeys(names, number / 7) | {"c": "$v_{$"}, 1, 1.5)
        for number in range(12)
    ]
    curves = {0: [{"$m_{$": 0.1}, {"$m_{$": 0.2}]}
    assert len(write_study_plots(trials, tmp_path, metric="$m_{$", direction="minimize", curves=curves)) == 5


def test_importance_finds_what_matters():
    """The parameter that alone decides the score is the most important, conditional ones included."""
    weights = compute_importances(rows(40), direction="maximize")
    assert next(iter(weights)) == "learning_rate"
    assert set(weights) <= {"learning_rate", "optimizer", "bias", "momentum"}


def test_importance_of_few_or_equal_trials_is_unknown():
    """With too few trials there are no importances."""
    assert compute_importances(rows(4), direction="maximize") == {}
    same = [PlottedTrial(number, "complete", 1.0, {"a": number}) for number in range(20)]
    assert compute_importances(same, direction="maximize") == {}


@pytest.mark.parametrize(("lean", "expected"), [(True, "False True True"), (False, "True True True")])
def test_importance_needs_no_sklearn(lean, expected):
    """Loaded leanly, scikit-learn stays out of the process, importances are known, and it can be imported all the same.

    Elsewhere Optuna's other evaluators find it.
    """
    code = f"""
import sys
from tracking.reports.plots import PlottedTrial, compute_importances, load_libraries
load_libraries(lean={lean})
rows = [PlottedTrial(at, "complete", at / 40, {{"a": at / 40, "b": float(at % 3)}}) for at in range(40)]
loaded = "sklearn" in sys.modules
known = set(compute_importances(rows, direction="maximize")) == {{"a", "b"}}
import sklearn
print(loaded, known, sklearn is not None)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == expected.split()
