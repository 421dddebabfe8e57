"""Studies side by side."""

from __future__ import annotations

from dataclasses import replace

from report_studies import PARAMETERS, make_report, make_trials

from tracking.reports.comparison import (
    SharedScores,
    StudyComparison,
    draw_comparison,
    list_data,
    list_overview,
    list_shared,
    list_spaces,
)
from tracking.reports.comparison_page import render_comparison
from tracking.reports.content import ReportParameter


def make_pair(**fields):
    """Return a comparison of two studies, the second with a wider learning rate, without dropout."""
    wide = ReportParameter("learning_rate", 1e-6, 1.0, is_log=True)
    others = [each for each in PARAMETERS if each.name not in ("learning_rate", "dropout")]
    one = replace(make_report(make_trials(20)), study="one", digest="a" * 64)
    other = make_report(make_trials(30, seed=2), parameters=[wide, *others])
    return StudyComparison([one, replace(other, **{"study": "<two>", "digest": "a" * 64, **fields})])


def test_results_are_side_by_side():
    """Each study has a line with its best score, its trials and its epochs."""
    lines = list_overview(make_pair())
    assert [line[0] for line in lines] == ["one", "<two>"]
    assert [line[6] for line in lines] == [20, 30]
    assert all(isinstance(line[3], float) for line in lines)


def test_spaces_are_side_by_side():
    """A hyperparameter that is searched otherwise, or by one study alone, is marked as different."""
    rows = {row[0]: row for row in list_spaces(make_pair())}
    assert rows["learning_rate"][-1] == rows["dropout"][-1] == "different"
    assert rows["dropout"][2].startswith("not searched")
    assert rows["optimizer"][-1] == "same"
    assert "winner" in rows["learning_rate"][1]


def test_data_is_compared_by_digest():
    """Equal digests are the same data and split; others are not, and an unknown one is unknown."""
    assert list_data(make_pair())[1][-1] == "the same data and split"
    assert list_data(make_pair(digest="b" * 64))[1][-1] == "other data, or another split"
    assert list_data(make_pair(digest=""))[1][-1] == "unknown"


def test_curves_of_the_same_metric_are_drawn():
    """Each study has a line by trial, epochs and time; one with another metric is left out, and named."""
    figure = draw_comparison(make_pair())
    assert [panel.title for panel in figure.panels] == ["by trial", "by epochs spent", "by time"]
    assert [text for _, text in figure.legend] == ["one", "<two>"]
    figure = draw_comparison(make_pair(metric="val_loss"))
    assert [text for _, text in figure.legend] == ["one"]
    assert "<two>" in figure.note
    assert draw_comparison(StudyComparison([make_report([]), make_report([])])) is None


def test_the_page_is_whole():
    """The page has all of it, with names of studies as text; winners without a score have a reason."""
    shared = SharedScores("one", "test", 15, "accuracy", {"one": 0.8}, {"<two>": "it has no model"})
    comparison = replace(make_pair(), shared=shared)
    assert list_shared(comparison) == [("one", 0.8, ""), ("<two>", None, "it has no model")]
    page = render_comparison(comparison)
    for text in ("accuracy of 15 test rows of one", "it has no model", "&lt;two&gt;", 'id="best-so-far"'):
        assert text in page
    assert "<two>" not in page
