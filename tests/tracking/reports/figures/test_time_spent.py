"""Figure of where the time of a study went."""

from __future__ import annotations

from report_studies import make_report, make_trials

from tracking.reports.figures.figure import Box, Line
from tracking.reports.figures.gallery import draw_figures
from tracking.reports.figures.svg import render_figure
from tracking.reports.figures.time_spent import draw_time_spent
from tracking.reports.study_report import render_report
from tracking.timings.spans import Span, StudyRun

HOSTILE = "<img src=x onerror=alert(1)>"
FIRST = StudyRun(
    100.0,
    110.0,
    [
        Span("supervisor", "importing", 100.0, 102.0, 2.0),
        Span("supervisor", "waiting for workers", 102.0, 108.0, 3.0),
        Span("supervisor", "drawing trials", 102.0, 108.0, 2.5),
        Span("worker 1", "training", 102.0, 110.0, 8.0, "fleet-1"),
    ],
)
SECOND = StudyRun(5_000.0, 5_010.0, [Span("supervisor", HOSTILE, 5_000.0, 5_010.0, 10.0)])


def list_boxes(figure):
    return [mark for panel in figure.panels for mark in panel.marks if isinstance(mark, Box)]


def test_boxes_cover_the_time_that_was_spent():
    """A row's boxes have the area of its seconds: short pieces that were summed up are stacked, the rest is white."""
    figure = draw_time_spent(make_report(make_trials(4), runs=[FIRST]))
    tops = [top for top, _ in figure.panels[0].y.ticks]
    boxes = {
        row: [box for box in list_boxes(figure) if abs((box.top + box.bottom) / 2 - top) < 0.5 / len(tops)]
        for top, row in figure.panels[0].y.ticks
    }
    height = 0.76 / len(tops)
    area = {
        row: sum((box.right - box.left) * (box.top - box.bottom) / height for box in drawn)
        for row, drawn in boxes.items()
    }
    assert abs(area["supervisor"] - 0.75) < 0.01
    assert abs(area["worker 1"] - 0.8) < 0.01
    assert "importing 2 s" in figure.summary


def test_runs_stand_side_by_side_without_the_time_between_them():
    """A resumed study has both runs in the figure, with a line where the second begins."""
    figure = draw_time_spent(make_report(make_trials(4), runs=[FIRST, SECOND]))
    [border] = [mark for mark in figure.panels[0].marks if isinstance(mark, Line)]
    assert border.points[0][0] == 0.5
    assert "The time between runs is left out." in figure.note
    assert figure.summary.startswith("2 runs of 20 seconds")


def test_a_report_has_figure_and_table_and_escapes_names():
    """Names come from a file that others may have written."""
    page = render_report(make_report(make_trials(4), runs=[FIRST, SECOND]))
    assert 'id="time-spent"' in page
    assert "Where the time of the last run went" in page
    assert HOSTILE not in page
    assert "&lt;img src=x" in page
    assert HOSTILE not in render_figure(draw_time_spent(make_report(make_trials(4), runs=[SECOND])))


def test_a_study_without_times_has_no_such_figure():
    """Studies of earlier releases measured nothing."""
    assert "time-spent" not in draw_figures(make_report(make_trials(4)))
    assert "Where the time" not in render_report(make_report(make_trials(4)))
