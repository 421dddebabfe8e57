"""Event files of a study: `events.jsonl` for programs, `study.log` for people, both in the study's folder.

The process that runs a study writes them; others can read them at the same time. An event's id is the position in
bytes where its line ends, so a reader that was cut off continues after the last id that it saw.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO, get_args

from pydantic import TypeAdapter, ValidationError

from pipelines.supervisor.event_lines import EventLines
from pipelines.supervisor.events import EpochEnded, SearchFacts, SearchStarted, StudyEnded, StudyEvent
from pipelines.workspace.home import Home
from search_spaces.safe_text import escape_controls
from search_spaces.values import replace_not_finite
from tracking.store.tables import now_ms

EVENTS_FILE = "events.jsonl"
LOG_FILE = "study.log"
_EPOCH_EVERY_S = 1.0
_LINE_FEED = "\n"
# Chosen: far more than one line, and little enough to hold in memory for each reader.
_MOST_BYTES = 1 << 20
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _name_kind(kind: type) -> str:
    return _WORDS.sub("-", kind.__name__).lower()


_KINDS: Mapping[str, type] = {_name_kind(kind): kind for kind in get_args(StudyEvent)} | {
    _name_kind(SearchStarted): SearchFacts
}


@dataclass(frozen=True)
class StoredEvent:
    """One event of `events.jsonl`.

    Attributes:
        id: position in the file where its line ends, in bytes.
        kind: such as `trial-ended`: the name of its class in `events`, in kebab case.
        content: its attributes, and `at`, in milliseconds since 1970.
    """

    id: int
    kind: str
    content: Mapping[str, Any]


def record_events(
    home: Home, study: str, events: Iterable[StudyEvent], clock: Callable[[], float] = time.monotonic
) -> Iterator[StudyEvent]:
    """Pass a supervisor's events on, and write them to both files; of a trial's epochs at most one a second.

    A full disk costs events, and nothing else.
    """
    folder = home.locate_study(study)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log, (folder / EVENTS_FILE).open("ab") as file:
        _cut_broken_line(folder / EVENTS_FILE)
        writer = _EventWriter(log, file, clock)
        for event in events:
            with suppress(OSError):
                writer.write(event)
            yield event


def append_to_log(home: Home, study: str, line: str) -> None:
    """Write a line to a study's log for people.

    Raises:
        OSError: if the disk is full.
    """
    with (home.locate_study(study) / LOG_FILE).open("a", encoding="utf-8") as log:
        log.write(f"{escape_controls(line)}\n")


class _EventWriter:
    def __init__(self, log: TextIO, file: BinaryIO, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._log = log
        self._file = file
        self._lines = EventLines()
        self._epochs_at: dict[int, float] = {}

    def write(self, event: StudyEvent) -> None:
        """Write one event to both files.

        Raises:
            OSError: if the disk is full.
        """
        if (line := self._lines.format_event(event)) is not None:
            self._log.write(f"{escape_controls(line, keep=_LINE_FEED)}\n")
        if isinstance(event, StudyEnded):
            reason = event.reason.replace("\n", "\n    ")  # a line of a reason is no line of the log
            self._log.write(f"{event.study} {event.state}: {escape_controls(reason, keep=_LINE_FEED)}\n")
        self._log.flush()
        if self._is_due(event):
            self._file.write(_encode_event(event))
            self._file.flush()

    def _is_due(self, event: StudyEvent) -> bool:
        if not isinstance(event, EpochEnded):
            return True
        now = self._clock()
        is_due = now - self._epochs_at.get(event.number, 0.0) > _EPOCH_EVERY_S
        if is_due:
            self._epochs_at[event.number] = now
        return is_due


def read_events_after(home: Home, study: str, position: int) -> tuple[StoredEvent, ...]:
    """Return the next events after a position, of up to a megabyte; an incomplete line is left for the next call."""
    file = home.locate_study(study) / EVENTS_FILE
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
            continue  # the position is inside a line, or a full disk cut the line
    return tuple(found)


def find_last_event(home: Home, study: str) -> StoredEvent | None:
    """Return the last whole event of a study; None where there is none."""
    file = home.locate_study(study) / EVENTS_FILE
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        return None
    found = read_events_after(home, study, max(0, size - _MOST_BYTES))
    return found[-1] if found else None


def _encode_event(event: StudyEvent) -> bytes:
    content = {"event": _name_kind(type(event)), "at": now_ms(), **_describe_event(event)}
    return json.dumps(replace_not_finite(content), default=str, allow_nan=False).encode() + b"\n"


def _describe_event(event: StudyEvent) -> dict[str, Any]:
    if not isinstance(event, SearchStarted):
        return asdict(event)
    notes = [*event.data.notes, *event.notes]
    return {**asdict(event.summarize()), "rows": dict(event.data.rows), "notes": notes}


def parse_event(stored: StoredEvent) -> StudyEvent | SearchFacts | None:
    """Return an event as it was emitted; of the start of a search its facts, of an unknown kind None."""
    if (kind := _KINDS.get(stored.kind)) is None:
        return None
    try:
        parsed: StudyEvent | SearchFacts = TypeAdapter(kind).validate_python(stored.content)
    except ValidationError:  # of another release, or with a number that was not finite
        return None
    return parsed


def _cut_broken_line(file: Path) -> None:
    """Cut off an incomplete last line: a killed process leaves one."""
    with file.open("rb+") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _MOST_BYTES))
        tail = stream.read()
        if tail and not tail.endswith(b"\n"):
            # The writer's handle appends, so it continues at the new end.
            stream.truncate(size - len(tail) + tail.rfind(b"\n") + 1)
