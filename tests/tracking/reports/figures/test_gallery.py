"""Figures of made-up studies: what is drawn, what is left out, and what is stated about it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from PIL import Image
from report_studies import (
    make_curve,
    make_forecast_evaluation,
    make_full_report,
    make_regression_evaluation,
    make_report,
    make_trials,
)

from tracking.reports.analysis.regions import find_regions
from tracking.reports.content import ReportParameter, ReportTrial
from tracking.reports.figures.drawn import list_leaders, select_drawn
from tracking.reports.figures.figure import Box, Dots, Line
from tracking.reports.figures.gallery import draw_figures, write_pngs
from tracking.reports.figures.palette import LIGHT
from tracking.reports.figures.svg import render_figure, render_panel
from tracking.reports.figures.timeline import divide_into_lanes


def marks_of(figure, kind):
    return [mark for panel in figure.panels for mark in panel.marks if isinstance(mark, kind)]


def test_a_full_study_has_every_figure():
    """Each figure has a title, a summary for those who cannot see it, and marks inside of its panels."""
    figures = draw_figures(make_full_report())
    assert list(figures) == [
        "optimization-history", "learning-curves", "parameter-importances", "slices", "contour", "rank",
        "parallel-coordinates", "timeline", "time-spent", "confusion-matrix", "roc", "calibration",
    ]  # fmt: skip
    for figure in figures.values():
        assert figure.title
        assert figure.summary.endswith(".")
        assert all(panel.marks for panel in figure.panels)


def test_progress_is_drawn_by_trial_epochs_and_time():
    """The best so far only gets better, in the order in which trials ended."""
    report = make_report(make_trials(40))
    figure = draw_figures(report)["optimization-history"]
    assert [panel.title for panel in figure.panels] == ["by trial", "by epochs spent", "by time"]
    leaders = [trial.score for trial in list_leaders(report)]
    assert leaders == sorted(leaders)
    assert leaders[-1] == max(trial.score for trial in report.complete)
    for line in marks_of(figure, Line):
        heights = [point[1] for point in line.points if point]
        assert heights == sorted(heights)


def test_one_much_worse_trial_does_not_flatten_the_others():
    """Scores far beyond the others are left out of the axis, and counted in words."""
    trials = make_trials(40, lambda params: 0.9 + params["dropout"] / 100)
    report = make_report([*trials, ReportTrial(40, "complete", (-1e6,), trials[0].params, ended=trials[-1].ended)])
    figure = draw_figures(report)["optimization-history"]
    assert "Beyond the axis: 1 much worse trial." in figure.note
    assert all("e" not in text for _, text in figure.panels[0].y.ticks)


def test_large_studies_are_drawn_in_part():
    """Of 3,000 trials 1,000 are drawn: those that led, the best, and a sample; the same in each figure."""
    report = make_report(make_trials(3000))
    drawn = {trial.number for trial in select_drawn(report)}
    assert len(drawn) == 1000
    assert {trial.number for trial in list_leaders(report)} <= drawn
    assert {trial.number for trial in report.ranked[:200]} <= drawn
    figures = draw_figures(report)
    for name in ("optimization-history", "slices", "contour", "rank"):
        assert "1,000 of 3,000 trials are drawn" in figures[name].note
        assert {number for dots in marks_of(figures[name], Dots) for number in dots.trials} <= drawn


def test_conditional_parameters_leave_gaps():
    """A trial without a parameter is not drawn in its slice, and its line has a gap there."""
    report = make_report(make_trials(60))
    figures = draw_figures(report)
    (slice_,) = [panel for panel in figures["slices"].panels if panel.x.title == "momentum"]
    with_it = {trial.number for trial in report.complete if "momentum" in trial.params}
    assert {number for mark in slice_.marks if isinstance(mark, Dots) for number in mark.trials} == with_it
    for line in marks_of(figures["parallel-coordinates"], Line):
        if line.trial is not None:
            assert (None in line.points) is (line.trial not in with_it)


def test_log_parameters_have_log_axes():
    """A parameter that is declared logarithmic has an axis of powers over its whole declared range."""
    report = make_report(make_trials(30))
    (panel,) = [panel for panel in draw_figures(report)["slices"].panels if panel.x.title == "learning_rate"]
    assert [text for _, text in panel.x.ticks] == ["0.0001", "0.001", "0.01", "0.1", "1"]


def test_the_best_region_holds_the_best():
    """The region of a parameter that decides is narrow and holds the best value; without ten trials there is none."""
    region = find_regions(make_report(make_trials(200)))["learning_rate"]
    assert region.low < 0.01 < region.high
    assert region.high / region.low < 30
    assert find_regions(make_report(make_trials(9))) == {}


def test_curves_of_pruned_and_paused_trials_are_drawn():
    """The best have colours of their own, others those of their state; the winner has training beside validation."""
    trials = make_trials(12, states=("complete", "pruned", "paused"))
    curves = {trial.number: make_curve(5 if trial.state != "complete" else 20) for trial in trials}
    figure = draw_figures(make_report(trials, curves=curves))["learning-curves"]
    assert {"pruned", "paused", "c0"} <= {line.colour for line in marks_of(figure, Line)}
    assert figure.panels[-1].title.startswith("winner")
    assert "8 that were pruned or paused" in figure.summary


@pytest.mark.parametrize("trainer", ["fit", "fleet"])
def test_trials_that_train_at_once_have_lanes(trainer):
    """No two trials of a lane overlap, there are as many lanes as workers, and fleets are seen."""
    trials = [replace(trial, trainer=trainer) for trial in make_trials(30, workers=3)]
    spans = sorted(
        ((trial.started, trial.ended, trial) for trial in trials), key=lambda span: (span[0], span[2].number)
    )
    lanes = divide_into_lanes(spans)
    assert len(lanes) == 3
    assert all(before[1] <= after[0] + 0.05 for lane in lanes for before, after in itertools.pairwise(lane))
    figure = draw_figures(make_report(trials))["timeline"]
    assert len(marks_of(figure, Box)) == 30
    assert dict(figure.legend) == ({"c2": "complete in a fleet"} if trainer == "fleet" else {"c0": "complete"})


def test_svg_and_png_are_made_of_one_description(tmp_path):
    """Every dot of a panel is in its SVG, and each figure has a PNG of its panels' size; odd names are text."""
    name = '<b>&"'
    trials = [replace(trial, params={name: trial.number % 5, "units": trial.number}) for trial in make_trials(20)]
    report = make_report(
        trials, parameters=[ReportParameter(name, 0, 4, is_whole=True)], evaluation=make_regression_evaluation()
    )
    figures = draw_figures(report)
    svg = str(render_panel(figures["slices"].panels[0], "label"))
    assert svg.count("h0") == 20
    assert "<b>" not in svg
    assert "<svg" in render_figure(figures["slices"])
    for file in write_pngs(figures, tmp_path):
        with Image.open(file) as picture:
            assert picture.width >= figures[file.stem].panels[0].size[0]
            assert len(picture.getcolors(1 << 20)) > 3


def test_what_is_not_known_is_not_drawn():
    """Trials without times, epochs or curves have no timeline and one panel of progress."""
    trials = [ReportTrial(number, "complete", (number / 10,), {"a": number}) for number in range(5)]
    figures = draw_figures(make_report(trials, parameters=[ReportParameter("a", 0, 4)]))
    assert list(figures) == ["optimization-history", "slices"]
    assert len(figures["optimization-history"].panels) == 1


def test_forecasts_are_drawn_over_time():
    """A panel for each series, with dates along it and a line for each forecast; another with errors by steps."""
    figures = draw_figures(make_report(make_trials(12), evaluation=make_forecast_evaluation()))
    over_time = figures["forecasts"]
    assert [panel.title for panel in over_time.panels] == ["<b>shop</b>", "b"]
    assert [text for _, text in over_time.panels[0].x.ticks][:2] == ["2024-10-04", "2024-10-07"]
    assert [line.colour for line in marks_of(over_time, Line)] == ["line", "best", "best"] * 2
    for panel in over_time.panels:
        for mark in panel.marks:
            assert all(-0.01 <= each <= 1.01 for point in mark.points for each in point)
    naive, winner = marks_of(figures["forecast-steps"], Line)
    assert naive.is_dashed and len(winner.points) == 7


def test_forecasts_without_dates_or_a_naive_one():
    """Times that are numbers have an axis of numbers, and errors of the winner stand alone."""
    evaluation = make_forecast_evaluation(is_date=False, naive=None)
    figures = draw_figures(make_report(make_trials(12), evaluation=evaluation))
    assert all(text.replace(",", "").isdecimal() for _, text in figures["forecasts"].panels[0].x.ticks)
    assert figures["forecasts"].summary.endswith("from 3 times.")


def test_one_trial_is_spoken_of_as_one():
    """A study of one trial has no first among several, and nothing at once."""
    trials = make_trials(1)
    figures = draw_figures(make_report(trials, curves={0: make_curve(20)}))
    assert "of the only complete trial" in figures["optimization-history"].summary
    assert "by epoch of the best trial." in figures["learning-curves"].summary
    assert figures["timeline"].summary.startswith("One trial after the other over")


def test_outputs_that_are_left_out_are_named():
    """Of seven steps of a forecast the nearest and the farthest are drawn, and two between."""
    report = make_report(make_trials(3), evaluation=make_regression_evaluation())
    part = report.evaluation.parts["validation"]
    residuals = {f"y+{step}": part.residuals[next(iter(part.residuals))] for step in range(1, 8)}
    many = replace(report.evaluation, parts={"validation": replace(part, residuals=residuals)})
    figure = draw_figures(replace(report, evaluation=many))["residuals"]
    assert [panel.title.split(",")[0] for panel in figure.panels] == ["y+1", "y+3", "y+5", "y+7"]
    assert "y+1, y+3, y+5, y+7 are drawn" in figure.note


def test_a_picture_has_its_whole_legend(tmp_path):
    """Entries that do not fit in a line begin another one."""
    colours = [f"c{place}" for place in range(8)]
    figure = draw_figures(make_full_report())["roc"]
    figure = replace(figure, legend=[(colour, "a meaning of so many words") for colour in colours])
    write_pngs({figure.name: figure}, tmp_path)
    with Image.open(next(tmp_path.glob("*.png"))) as picture:
        # Their dots stand in front of the words.
        dots = picture.convert("RGB").crop((0, picture.height - 120, picture.width, picture.height))
    found = {f"#{red:02x}{green:02x}{blue:02x}" for _, (red, green, blue) in dots.getcolors(100_000)}
    assert {LIGHT[colour] for colour in colours} <= found
