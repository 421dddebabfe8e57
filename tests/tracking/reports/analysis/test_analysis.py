"""Importances, certainty and failures of made-up studies."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from report_studies import PARAMETERS, make_classes_evaluation, make_full_report, make_report, make_trials

from tracking.reports.analysis.certainty import assess_certainty
from tracking.reports.analysis.cost import list_costs
from tracking.reports.analysis.failures import group_failures
from tracking.reports.analysis.importances import compute_importances, estimate_importances
from tracking.reports.content import ReportTrial


@pytest.mark.parametrize("count", [60, 2000])
def test_importance_finds_what_matters(count):
    """The parameter that alone decides is first, its interval holds its share, and others are small."""
    first, *rest = estimate_importances(make_trials(count), PARAMETERS, "maximize")
    assert first.name == "learning_rate"
    assert first.low <= first.share <= first.high
    assert all(each.share < first.share / 2 for each in rest)
    assert {each.name for each in rest} <= {parameter.name for parameter in PARAMETERS}


@pytest.mark.long
def test_intervals_narrow_with_trials():
    """With few trials the interval is wide; more trials narrow it."""
    few, many = (estimate_importances(make_trials(count), PARAMETERS, "maximize")[0] for count in (20, 400))
    assert few.high - few.low > many.high - many.low


def test_importance_of_few_or_equal_trials_is_unknown():
    """With too few trials, or equal ones, there are no importances."""
    assert estimate_importances(make_trials(4), PARAMETERS, "maximize") == []
    assert compute_importances(make_trials(20, lambda params: 1.0), PARAMETERS, "maximize") == {}


def test_importance_needs_no_sklearn():
    """Loaded leanly, scikit-learn and matplotlib stay out of the process, and importances are known all the same."""
    code = """
import sys
from tracking.reports.lean_imports import load_libraries
from tracking.reports.analysis.importances import compute_importances
from tracking.reports.content import ReportTrial
load_libraries(lean=True)
trials = [ReportTrial(at, "complete", (at / 40,), {"a": at / 40, "b": float(at % 3)}) for at in range(40)]
loaded = {"sklearn", "matplotlib"} & set(sys.modules)
known = set(compute_importances(trials, (), "maximize")) == {"a", "b"}
import sklearn
print(loaded, known, sklearn is not None)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["set()", "True", "True"]


def test_the_best_evidence_counts():
    """Further trainings count before test rows, these before validation rows, and without any that is stated."""
    report = make_full_report()
    assert assess_certainty(report).interval == (0.92, 0.94)
    found = assess_certainty(replace(report, finalists=()))
    assert found.name == "test accuracy"
    evaluation = make_classes_evaluation(report.winner)
    parts = {"validation": evaluation.parts["validation"]}
    found = assess_certainty(replace(report, finalists=(), evaluation=replace(evaluation, parts=parts)))
    assert found.name == "validation accuracy"
    assert "optimistic" in found.basis
    found = assess_certainty(replace(report, finalists=(), evaluation=None))
    assert found.interval is None
    assert "selection.finalists" in found.basis
    assert assess_certainty(make_report([])) is None


def test_reasons_that_differ_in_numbers_are_one():
    """Failures are grouped by their reason without its numbers, the most frequent first."""
    reasons = ["loss became nan in epoch 3", "no memory: 0x7f and 12.5 GB", "loss became nan in epoch 12", ""]
    trials = [ReportTrial(number, "failed", reason=reason) for number, reason in enumerate(reasons)]
    groups = group_failures([*trials, ReportTrial(9, "pruned", reason="pruned")])
    assert [group.numbers for group in groups] == [(0, 2), (1,), (3,)]
    assert groups[0].reason == "loss became nan in epoch 3"


def test_the_cost_of_a_study():
    """Epochs, hours, CPU and memory are summed over trials; pruned trials have saved epochs."""
    trials = make_trials(12, states=("complete", "pruned", "failed"))
    used = [replace(trial, resources={"cpu_s": 10.0, "peak_mb": 500.0 + trial.number}) for trial in trials]
    costs = dict(list_costs(make_report(used)))
    assert costs["epochs trained"] == "120"
    assert costs["epochs saved by ending trials early"] == "about 60"
    assert costs["CPU time of trials"] == "2 min 0 s"
    assert costs["largest memory of a worker"] == "511 MB"
    assert costs["trials an hour"] == "360"
    assert list_costs(make_report([], seconds=None)) == []
