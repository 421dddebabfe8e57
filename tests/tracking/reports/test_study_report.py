"""The report and the table of a study."""

import csv
import re
from dataclasses import replace

from tracking.reports.plots import PlottedTrial
from tracking.reports.study_report import DataSection, StudyReport, draw_plots, rank_trials, write_page

ROWS = (
    PlottedTrial(0, "complete", 0.5, {"learning_rate": 0.1, "optimizer": "adam"}, 3, 1.25),
    PlottedTrial(
        1, "failed", None, {"learning_rate": 0.2, "optimizer": "sgd"}, reason="ValueError: <script>alert(1)</script>"
    ),
    PlottedTrial(2, "complete", 0.7, {"learning_rate": 0.3, "optimizer": "sgd", "momentum": 0.9}, 4, 2.0),
)


def report(direction="maximize", rows=ROWS):
    return StudyReport(
        "digits", "val_accuracy", direction, "Finished: 3 trials done", rows, "l2: 0.1", {"python": "3.11"}
    )


def write_report(folder, its):
    return write_page(folder, its, draw_plots(folder, its))


def test_the_report_needs_no_other_file(tmp_path):
    """The page holds its pictures, runs no script and fetches nothing."""
    page = write_report(tmp_path, report()).read_text()
    assert "data:image/png;base64," in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert "<script" not in page


def test_the_data_is_shown(tmp_path):
    """Notes, class shares and a line for each column; without any of it there is no such section."""
    data = DataSection(("column <id> is left out",), ("classes: a 1",), ("column", "missing"), (("age", 3),))
    page = write_report(tmp_path, replace(report(), data=data)).read_text()
    for text in ("<h2>Data</h2>", "column &lt;id&gt; is left out", "classes: a 1", "<td>age</td>"):
        assert text in page
    assert "<h2>Data</h2>" not in write_report(tmp_path, report()).read_text()


def test_the_report_says_what_won(tmp_path):
    """The result, the outcome, the space and the facts are in the page, foreign text escaped."""
    page = write_report(tmp_path, report()).read_text()
    for text in ("Best val_accuracy: 0.7, trial 2", "Finished: 3 trials done", "l2: 0.1", "&lt;script&gt;", "3.11"):
        assert text in page
    assert "Best val_accuracy: 0.5, trial 0" in write_report(tmp_path, report("minimize")).read_text()


def test_the_report_of_nothing(tmp_path):
    """A study without a score still has a report."""
    page = write_report(tmp_path, report(rows=ROWS[1:2])).read_text()
    assert "No trial has a score" in page


def test_the_table_has_every_trial(tmp_path):
    """trials.csv has a line a trial by number, with empty cells for parameters a trial does not have."""
    write_report(tmp_path, report(rows=ROWS[::-1]))
    with (tmp_path / "trials.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    assert [row["number"] for row in table] == ["0", "1", "2"]
    assert [row["params_momentum"] for row in table] == ["", "", "0.9"]
    assert [row["value"] for row in table] == ["0.5", "", "0.7"]


def test_the_leaderboard_is_by_score():
    """The best come first in the study's direction; trials without a score are last."""
    assert [row.number for row in rank_trials(ROWS, "maximize")] == [2, 0, 1]
    assert [row.number for row in rank_trials(ROWS, "minimize")] == [0, 2, 1]
