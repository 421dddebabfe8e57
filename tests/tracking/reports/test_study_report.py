"""The report and the table of a study."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import ClassVar

import pytest
from report_studies import (
    PARAMETERS,
    make_curve,
    make_forecast_evaluation,
    make_full_report,
    make_regression_evaluation,
    make_report,
    make_trials,
)

from tracking.reports.content import DataSection, ReportParameter, ReportTrial
from tracking.reports.figures.gallery import write_pngs
from tracking.reports.study_report import estimate, render_report, write_pictures, write_report

FAILED = ReportTrial(1, "failed", (), {"optimizer": "sgd"}, reason="ValueError: <script>alert(1)</script>")
HOSTILE = '</script><script>alert("x")</script>\x1b[31m'


class Outline(HTMLParser):
    """Elements of a page that are open, and what was found of them."""

    VOID: ClassVar = {"meta", "br", "img", "input", "link"}

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.scripts = 0
        self.unnamed: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "id" in named:
            self.ids.append(named["id"])
        if tag == "script":
            self.scripts += 1
        if tag in ("svg", "nav") and not named.get("aria-label"):
            self.unnamed.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag


def test_the_report_needs_no_other_file():
    """The page fetches nothing, and admits one script: its own, by its digest."""
    page = render_report(make_full_report())
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!#)", page)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page


def test_the_page_is_well_formed():
    """Every element is closed in its place, ids are unique, headings skip no level, and each picture has a name."""
    outline = Outline(render_report(make_full_report()))
    assert outline.open == []
    assert len(set(outline.ids)) == len(outline.ids)
    assert outline.headings[0] == 1
    assert all(later - level <= 1 for level, later in zip(outline.headings, outline.headings[1:], strict=False))
    assert outline.unnamed == []


def test_text_of_others_is_text():
    """Names, values, reasons and classes become no markup, no script and no control character."""
    trials = [
        replace(trial, params={**trial.params, HOSTILE: trial.number % 3}, reason=HOSTILE) for trial in make_trials(30)
    ]
    report = make_report(
        trials,
        parameters=[*PARAMETERS, ReportParameter(HOSTILE, 0, 3)],
        data=DataSection((HOSTILE,), (HOSTILE,), (HOSTILE,), ((HOSTILE, 3),)),
        reason=HOSTILE,
        facts={HOSTILE: HOSTILE},
        space=HOSTILE,
        curves={trial.number: make_curve() for trial in trials},
    )
    page = render_report(replace(report, study=HOSTILE))
    assert "alert(" in page
    assert Outline(page).scripts == 2  # what is pointed at, and the page's own
    assert '<script>alert("x")' not in page
    assert "\x1b" not in page


def test_the_report_states_what_won():
    """The result, how sure it is, baselines, test rows and the winner's values are in the page."""
    page = render_report(make_full_report())
    for text in (
        "Winner: val_accuracy",
        "0.92 to 0.94",
        "a linear model",
        "test_accuracy",
        "Hyperparameters of the winner",
    ):
        assert text in page


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_best_comes_first(direction):
    """The leaderboard and the winner follow the study's direction."""
    trials = make_trials(12)
    report = make_report(trials, direction)
    best = (min if direction == "minimize" else max)(trials, key=lambda trial: trial.score)
    assert report.ranked[0].number == best.number == report.winner
    scores = [trial.score for trial in report.ranked]
    assert scores == sorted(scores, reverse=direction == "maximize")


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [FAILED],
        [ReportTrial(0, "running", (), {"optimizer": "sgd"})],
        [ReportTrial(0, "complete", (0.5,), {"optimizer": "sgd"})],
        [ReportTrial(0, "pruned", (0.5,), {"optimizer": "sgd"}, ended=3.0)],
        [ReportTrial(0, "paused", (0.5,), {}, ended=3.0, seconds=1.0, started=2.0, epochs=3)],
        [ReportTrial(number, "complete", (1.0,), {"optimizer": "sgd"}, ended=3.0) for number in range(30)],
        [ReportTrial(number, "complete", (1e300 * number,), {"a": number}) for number in range(12)],
        [ReportTrial(number, "complete", (float("inf"),), {"a": None}) for number in range(12)],
    ],
)
def test_a_study_with_little_to_show(trials):
    """A study without a result, with one trial, or with equal ones, has a report all the same."""
    page = render_report(make_report(trials))
    assert Outline(page).open == []
    if not any(trial.is_complete for trial in trials):
        assert "No trial is complete" in page


def test_a_regression_is_reported():
    """Residuals stand where classes have a confusion matrix."""
    page = render_report(make_report(make_trials(12), evaluation=make_regression_evaluation()))
    assert 'id="residuals"' in page
    assert 'id="confusion-matrix"' not in page


def test_forecasts_are_reported():
    """They are drawn over time, and their errors stand beside those of the naive forecast from the same times."""
    page = render_report(make_report(make_trials(12), evaluation=make_forecast_evaluation()))
    assert Outline(page).open == []
    assert 'id="forecasts"' in page and 'id="forecast-steps"' in page
    assert "Mean absolute error 3.5 over 3 origins (2.5 to 4.5), no better than the value of a week before" in page
    assert "Rolling origin: mean absolute error of forecasts that begin at several times, on test rows" in page
    assert "<b>shop</b>" not in page


def test_several_objectives_are_reported():
    """The Pareto front stands in a figure and a table, further objectives in the leaderboard."""
    trials = [replace(trial, values=(trial.score, float(trial.number))) for trial in make_trials(20)]
    goals = [("val_accuracy", "maximize"), ("size_mb", "minimize")]
    page = render_report(make_report(trials, objectives=goals, pareto=[3, 1, 0]))
    assert 'id="pareto-front"' in page
    assert "3 trials are on the Pareto front" in page
    assert ">size_mb</th>" in page


def test_a_large_study_has_a_page_of_bounded_size():
    """With 3,000 trials as with 10,000, at most 1,000 are drawn and 200 listed, and the page states both."""
    page = render_report(make_report(make_trials(3000)))
    assert "1,000 of 3,000 trials are drawn" in page
    assert "2800 more are in trials.csv" in page
    assert len(page) < 1_200_000


def test_the_table_has_every_trial(tmp_path):
    """trials.csv has a line a trial by number, with empty cells for parameters a trial does not have."""
    trials = [ReportTrial(0, "complete", (0.5,), {"a": 1}), ReportTrial(1, "failed", (), {"a": 2, "momentum": 0.9})]
    write_report(tmp_path, make_report(trials), has_plots=False)
    with (tmp_path / "trials.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    assert [row["number"] for row in table] == ["0", "1"]
    assert [row["params_momentum"] for row in table] == ["", "0.9"]
    assert [row["value"] for row in table] == ["0.5", ""]


def test_figures_are_written_as_pictures(tmp_path):
    """Each figure of the page is a PNG beside it."""
    page = write_report(tmp_path, make_full_report()).read_text(encoding="utf-8")
    names = {file.stem for file in (tmp_path / "plots").glob("*.png")}
    assert names == set(re.findall(r'<figure id="([a-z-]+)"', page))
    assert {"optimization-history", "timeline", "slices", "contour", "rank", "calibration"} <= names


def test_pictures_that_are_there_are_written_again_only_where_they_changed(tmp_path, monkeypatch):
    """A study's end paints most of them while a worker scores the winner, and the result is the same."""
    report = make_full_report()
    whole, ahead = tmp_path / "whole", tmp_path / "ahead"
    write_report(whole, report)
    painted = write_pictures(ahead, replace(report, evaluation=None), estimate(report))
    written = []
    monkeypatch.setattr(
        "tracking.reports.study_report.write_pngs", lambda figures, folder: written.extend(write_pngs(figures, folder))
    )
    write_report(ahead, report, painted=painted)
    assert "calibration" in {file.stem for file in written}
    assert not {"optimization-history", "slices", "contour"} & {file.stem for file in written}
    for file in (whole / "plots").glob("*.png"):
        assert (ahead / "plots" / file.name).read_bytes() == file.read_bytes()
