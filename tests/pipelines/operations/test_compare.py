"""Winners of several studies on the same rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_studies import make_report, make_trials

from pipelines.operations import compare
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError
from tracking.reports.content import DataSection


@pytest.fixture
def studies(monkeypatch):
    """Reports by name, which `compare_studies` reads in place of a home's."""
    data = DataSection(part_rows={"train": 80, "test": 20})
    made = make_report(make_trials(12), data=data, digest="d" * 64, test={"test_accuracy": 0.9})
    found = {"a": replace(made, study="a"), "b": replace(made, study="b", test={"test_accuracy": 0.8})}
    monkeypatch.setattr(compare, "read_report", lambda home, name: found[name])
    return found


HOME = Home.find("nowhere")


def test_the_same_split_has_scores_already(studies):
    """Winners of the same data and split have been scored on the same test rows: no model is loaded."""
    shared = compare.compare_studies(HOME, ["a", "b", "a"]).shared
    assert (shared.part, shared.rows, shared.metric) == ("test", 20, "test_accuracy")
    assert shared.scores == {"a": 0.9, "b": 0.8}


def test_a_winner_without_a_score_has_a_reason(studies):
    """A study whose winner was not scored stands there without a score."""
    studies["b"] = replace(studies["b"], test={})
    shared = compare.compare_studies(HOME, ["a", "b"]).shared
    assert shared.scores == {"a": 0.9}
    assert shared.notes == {"b": "it has no test_accuracy"}


def test_one_study_is_not_compared(studies):
    """A comparison needs two studies; one named twice is one."""
    with pytest.raises(InputError, match="two studies or more"):
        compare.compare_studies(HOME, ["a", "a"])


def test_other_files_are_not_replaced(studies, tmp_path):
    """The page replaces an earlier page, and no other file; a missing folder is an error."""
    found = compare.compare_studies(HOME, ["a", "b"])
    target = tmp_path / "c.html"
    assert compare.write_comparison(found, target).bytes == target.stat().st_size
    compare.write_comparison(found, target)
    target.write_text("mine")
    with pytest.raises(ConflictError, match="is no report"):
        compare.write_comparison(found, target)
    assert target.read_text() == "mine"
    with pytest.raises(InputError, match="create it first"):
        compare.write_comparison(found, tmp_path / "no" / "c.html")
