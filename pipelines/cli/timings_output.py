"""Timeline of a study on a terminal: how long each of its processes spent on what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from pipelines.cli.output import make_table, print_json, print_table
from pipelines.cli.safe_console import make_text
from tracking.timings.spans import StudyRun
from tracking.timings.summary import summarize

_LEAST_S = 0.005  # less would be shown as 0.00
_DIGITS = 4


def print_spans(runs: Sequence[StudyRun]) -> None:
    """Print the spans of all runs as JSON; `start` and `end` are seconds of the run, which are counted from 1."""
    print_json(
        [
            {
                **asdict(span),
                "run": number,
                "start": round(span.start - run.start, _DIGITS),
                "end": round(span.end - run.start, _DIGITS),
                "seconds": round(span.seconds, _DIGITS),
            }
            for number, run in enumerate(runs, 1)
            for span in run.spans
        ]
    )


def print_runs(runs: Sequence[StudyRun]) -> None:
    """Print where the time of each run went."""
    if not runs:
        print("no times are stored: the study has not begun, or an earlier release ran it")
    for number, run in enumerate(runs, 1):
        if len(runs) > 1:
            print(f"run {number} of {len(runs)}")
        print_run(run)


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
