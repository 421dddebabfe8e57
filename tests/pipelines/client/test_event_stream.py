"""Server-sent events, read from lines."""

from pipelines.client.event_stream import parse_event_stream
from pipelines.supervisor.event_log import StoredEvent


def test_events_are_read_from_their_lines():
    """A blank line ends an event; data of several lines is one; comments and events without data are left out."""
    lines = [": hello", "id: 7", "event: trial-began", 'data: {"number":', "data: 0}", "", "event: ping", "", "id: 9"]
    assert list(parse_event_stream(lines)) == [StoredEvent(7, "trial-began", {"number": 0})]
