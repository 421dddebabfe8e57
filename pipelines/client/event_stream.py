"""Server-sent events of a service, read from the lines of its answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from pipelines.supervisor.event_log import StoredEvent


def parse_event_stream(lines: Iterable[str]) -> Iterator[StoredEvent]:
    """Yield the events of a stream; comments, which keep a connection open, are left out.

    The format is https://html.spec.whatwg.org/multipage/server-sent-events.html.
    """
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
            continue
        if "data" in fields:
            yield StoredEvent(int(fields.get("id", "0")), fields.get("event", "message"), json.loads(fields["data"]))
        fields.clear()
