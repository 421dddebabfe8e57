"""The file of spans: read back whole, whatever a kill or a stranger left in it."""

from __future__ import annotations

import json

from tracking.timings.spans import TIMINGS_FILE, Span, append_spans, mark_whole, read_runs

ONE = Span("supervisor", "importing", 10.0, 11.0, 1.0)


def test_spans_are_read_as_they_were_written(tmp_path):
    """Of several processes that add lines to one run, each has its spans in it."""
    file = tmp_path / TIMINGS_FILE
    worker = Span("worker 1", "training", 10.5, 12.5, 1.75, "trial-0")
    append_spans(file, 10.0, [ONE])
    append_spans(file, 10.0, [worker])
    [run] = read_runs(tmp_path)
    assert (run.start, run.end, list(run.spans)) == (10.0, 12.5, [ONE, worker])


def test_a_study_without_a_file_has_no_runs(tmp_path):
    """Studies of earlier releases measured nothing."""
    assert read_runs(tmp_path) == ()


def test_a_line_that_a_kill_cut_costs_itself_alone(tmp_path):
    """The next run begins on a line of its own."""
    file = tmp_path / TIMINGS_FILE
    append_spans(file, 10.0, [ONE, ONE])
    file.write_bytes(file.read_bytes()[:-9])
    append_spans(file, 20.0, [Span("supervisor", "importing", 20.0, 21.0, 1.0)])
    assert [len(run.spans) for run in read_runs(tmp_path)] == [1, 1]


def test_lines_that_are_no_spans_are_left_out(tmp_path):
    """Numbers that are none, ends before starts and unknown keys break neither a report nor a table."""
    file = tmp_path / TIMINGS_FILE
    good = {"run": 10.0, "row": "supervisor", "name": "n", "start": 10.0, "end": 11.0, "seconds": 1.0, "job": ""}
    bad = [
        {**good, "end": float("nan")}, {**good, "end": 9.0}, {**good, "start": 5.0}, {**good, "seconds": -1.0},
        {**good, "row": 3}, {**good, "further": 1}, {**good, "start": "soon"}, [], 3, None,
    ]  # fmt: skip
    file.write_text("".join(json.dumps(line) + "\n" for line in [*bad, good]) + "not json\n\xff")
    [run] = read_runs(tmp_path)
    assert [span.name for span in run.spans] == ["n"]


def test_a_run_that_was_killed_is_not_whole(tmp_path):
    """What follows the mark was not known when it was written: a report needs it before the run's end."""
    file = tmp_path / TIMINGS_FILE
    found = []
    for write in (append_spans, mark_whole, append_spans, mark_whole):
        write(file, 10.0, *([[ONE]] if write is append_spans else []))
        found += [run.is_whole for run in read_runs(tmp_path)]
    assert found == [False, True, False, True]


def test_a_full_disk_costs_spans_alone(tmp_path):
    """A file that cannot be written is no reason for a study to end."""
    append_spans(tmp_path / "missing" / TIMINGS_FILE, 10.0, [ONE])
    assert read_runs(tmp_path) == ()
