"""Lines of a study's log."""

from pipelines.supervisor.event_lines import EventLines
from pipelines.supervisor.events import Noted, TrialPaused


def test_an_event_is_a_line():
    """Before the search starts there is no progress to add, and the lines are the same."""
    lines = EventLines()
    assert lines.format_event(TrialPaused(1, 0.5, "paused after epoch 3 of 9")) == "t001 paused after epoch 3 of 9: 0.5"
    assert lines.format_event(Noted("so it is")) == "note: so it is"
