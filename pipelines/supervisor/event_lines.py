"""Lines of a study's log, from its events."""

from __future__ import annotations

import time

from pipelines.supervisor import events
from pipelines.supervisor.event_text import format_event, format_opening, format_trial_end, format_trial_name
from pipelines.supervisor.study_progress import StudyProgress

# Chosen: a log of short epochs must stay readable.
_EPOCH_LINE_EVERY_S = 10.0


class EventLines:
    """Lines of a log: one for each trial that ends, for the start and the end of the study, and at times an epoch."""

    def __init__(self) -> None:
        self._progress: StudyProgress | None = None
        self._epoch_line_at = time.monotonic()

    def format_event(self, event: events.StudyEvent) -> str | None:
        """Return the text of an event, of one or more lines; None where the log leaves it out."""
        if isinstance(event, events.SearchStarted):
            self._progress = StudyProgress(event.summarize())
            return format_opening(event)
        if self._progress:
            self._progress.update(event)
        if isinstance(event, events.TrialEnded) and self._progress:
            self._epoch_line_at = time.monotonic()
            return f"{format_trial_end(event)}  [{self._progress.format_line()}]"
        if isinstance(event, events.EpochEnded) and time.monotonic() - self._epoch_line_at > _EPOCH_LINE_EVERY_S:
            self._epoch_line_at = time.monotonic()
            return f"{format_trial_name(event.number)} epoch {event.epoch}/{event.of}: {event.value:.5g}"
        return format_event(event)
