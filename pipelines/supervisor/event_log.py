"""What happened in a study, kept in two files of its folder: `events.jsonl` for programs, `study.log` for people.

Whoever works on a study writes them, and anybody may follow them while it does. An event's id is where its line ends,
in bytes, so a reader that was cut off goes on after the last id that it saw.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.cli.progress_bars import Lines
from pipelines.supervisor.events import EpochEnded, Progress, SearchBegun, StudyEnded
from pipelines.workspace.home import Home
from tracking.store.database import now_ms

EVENTS_FILE = "events.jsonl"
LOG_FILE = "study.log"
_EPOCH_EVERY_S = 1.0
_MOST_BYTES = 1 << 20
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class StoredEvent:
    """One event as it was written.

    Attributes:
        id: where its line ends in the file, in bytes.
        kind: such as `trial-ended`; the names are those of the classes in `progress`.
        content: its attributes, and `at`, in milliseconds since 1970.
    """

    id: int
    kind: str
    content: Mapping[str, Any]


def recorded(home: Home, study: str, progress: Iterable[Progress]) -> Iterator[Progress]:
    """Pass on what a supervisor says, and write it down; of a trial's epochs at most one a second.

    A disk that takes no more costs events, and nothing else.
    """
    folder = home.study(study)
    folder.mkdir(parents=True, exist_ok=True)
    epochs_at: dict[int, float] = {}
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log, (folder / EVENTS_FILE).open("ab") as file:
        _mend(folder / EVENTS_FILE)
        lines = Lines(Console(file=log, width=200))
        for event in progress:
            now = time.monotonic()
            try:
                lines.show(event)
                if isinstance(event, StudyEnded):
                    log.write(f"{event.study} {event.state}: {event.reason}\n")
                log.flush()
                if not isinstance(event, EpochEnded) or now - epochs_at.get(event.number, 0.0) > _EPOCH_EVERY_S:
                    file.write(_line(event))
                    file.flush()
                if isinstance(event, EpochEnded):
                    epochs_at[event.number] = now
            except OSError:
                pass
            yield event


def events_after(home: Home, study: str, position: int) -> tuple[StoredEvent, ...]:
    """Return the next events after a position, of up to a megabyte; a line under way is left for the next time."""
    file = home.study(study) / EVENTS_FILE
    try:
        with file.open("rb") as stream:
            stream.seek(position)
            read = stream.read(_MOST_BYTES)
    except FileNotFoundError:
        return ()
    found = []
    for line in read[: read.rfind(b"\n") + 1].splitlines(keepends=True):
        position += len(line)
        try:
            content = json.loads(line)
            found.append(StoredEvent(position, content.pop("event"), content))
        except (ValueError, KeyError, AttributeError):
            continue  # a place that a reader was given by somebody else, or a disk that was full
    return tuple(found)


def _line(event: Progress) -> bytes:
    content = {"event": _WORDS.sub("-", type(event).__name__).lower(), "at": now_ms(), **_plain(event)}
    return json.dumps(content, default=str).encode() + b"\n"


def _plain(event: Progress) -> dict[str, Any]:
    if not isinstance(event, SearchBegun):
        return asdict(event)
    rows = dict(event.data.rows)
    return {
        "study": event.study,
        "rows": rows,
        "metric": event.objective.metric,
        "direction": event.objective.direction,
        "budget": event.budget,
        "done": event.done,
        "best": event.best,
        "workers": event.workers,
        "trained": event.trained,
    }


def _mend(file: Path) -> None:
    """Cut off what a kill left of a line."""
    with file.open("rb+") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _MOST_BYTES))
        tail = stream.read()
        if tail and not tail.endswith(b"\n"):
            stream.truncate(size - len(tail) + tail.rfind(b"\n") + 1)
