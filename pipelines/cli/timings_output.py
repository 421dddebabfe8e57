"""Timeline of a study on a terminal: how long each of its processes spent on what."""

from __future__ import annotations

from pathlib import Path

from pipelines.cli.output import make_table, print_table
from pipelines.cli.safe_console import make_text
from tracking.timings.spans import StudyRun, read_runs
from tracking.timings.summary import summarize

_LEAST_S = 0.005  # less would be shown as 0.00


def print_last_run(folder: Path) -> None:
    """Print where the time of the last run of a study went; `folder` is the study's."""
    if runs := read_runs(folder):
        print_run(runs[-1])


def print_run(run: StudyRun) -> None:
    """Print where the time of a run went: a line for each activity of each process."""
    whole_s = run.end - run.start
    table = make_table("where", "seconds", "share", "from", "to", f"spent on, of {whole_s:.2f} s")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for row in summarize(run):
        name = row.row
        for each in row.activities:
            if each.seconds < _LEAST_S:
                continue
            share = f"{each.seconds / whole_s:.0%}"
            ends = ("", "") if each.is_rest else (f"{each.start:.2f}", f"{each.end:.2f}")
            table.add_row(make_text(name), f"{each.seconds:.2f}", share, *ends, make_text(each.name))
            name = ""
    print_table(table)
