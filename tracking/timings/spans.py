"""Spans of a study's time, and their file `timings.jsonl` in the study's folder.

Each run of a study adds its lines, the first of them its start; the last one states that all are written. A killed
process loses its last second, and what its workers had not reported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

TIMINGS_FILE: Final = "timings.jsonl"
SUPERVISOR: Final = "supervisor"
"""Row of the thread that drives a study: its spans add up to the whole time."""

DELIVERY: Final = "delivery"
"""Row of the process that delivers a study's records to MLflow."""

REPORT: Final = "report"
"""Row of the supervisor's thread that prepares a study's report."""

_WHOLE: Final = "is_whole"


@dataclass(frozen=True)
class Span:
    """A piece of one row's time.

    Attributes:
        row: the thread or the worker that spent it.
        name: what it was spent on.
        start: in seconds since 1970; `end` likewise.
        seconds: those spent, fewer than from start to end where many short pieces are summed up.
        job: the worker's job; empty where it was none, or several.
    """

    row: str
    name: str
    start: float
    end: float
    seconds: float
    job: str = ""


@dataclass(frozen=True)
class StudyRun:
    """One run of a study: from the start of its process, or of the call, to its last span.

    Attributes:
        is_whole: whether all of its spans are known; of one that was killed they are not.
    """

    start: float
    end: float
    spans: Sequence[Span]
    is_whole: bool = True


def append_spans(file: Path, run: float, spans: Iterable[Span]) -> None:
    """Add spans of the run that started at `run`. A disk that is full costs these spans, and nothing else."""
    lines = b"".join(json.dumps({"run": run, **asdict(span)}).encode() + b"\n" for span in spans)
    # One write: another process may add lines too. The first line feed ends a line that a kill cut.
    with suppress(OSError), file.open("ab") as stream:
        stream.write(lines if _ends_with_line(file) else b"\n" + lines)


def mark_whole(file: Path, run: float) -> None:
    """Note that all spans of a run are written."""
    with suppress(OSError), file.open("ab") as stream:
        stream.write(json.dumps({"run": run, _WHOLE: True}).encode() + b"\n")


def read_runs(folder: Path) -> tuple[StudyRun, ...]:
    """Return the runs of the study of a folder, the oldest first; lines that are no spans are left out."""
    file = folder / TIMINGS_FILE
    if not file.exists():
        return ()
    runs: dict[float, list[Span]] = {}
    whole = set[float]()
    for line in file.read_bytes().splitlines():
        with suppress(ValueError, TypeError, AttributeError):
            content = json.loads(line)
            started = float(content.pop("run"))
            if content == {_WHOLE: True}:
                whole.add(started)
            elif (span := _parse_span(content, started)) is not None:
                runs.setdefault(started, []).append(span)
                whole.discard(started)  # what was all then is not all
    return tuple(
        StudyRun(
            start,
            max(span.end for span in spans),
            sorted(spans, key=lambda span: (span.row, span.start)),
            start in whole,
        )
        for start, spans in sorted(runs.items())
    )


def _parse_span(content: dict[str, Any], started: float) -> Span | None:
    span = Span(**content)
    numbers = (started, span.start, span.end, span.seconds)
    is_whole = all(math.isfinite(number) for number in numbers) and started <= span.start <= span.end
    return span if is_whole and span.seconds >= 0 and isinstance(span.row, str) and isinstance(span.name, str) else None


def _ends_with_line(file: Path) -> bool:
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 1))
        return stream.read() in (b"", b"\n")
