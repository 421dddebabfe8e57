"""Display of a study that another process runs."""

from __future__ import annotations

import time

from rich.console import Console

from pipelines.cli.progress_bars import ProgressBars, can_redraw
from pipelines.client import submission
from pipelines.client.submission import StudyClient
from pipelines.operations.control import StudyStatus
from pipelines.supervisor.event_log import parse_event
from pipelines.supervisor.events import SearchFacts


def watch_study(client: StudyClient, study: str, console: Console) -> StudyStatus:
    """Wait until a study ends or is paused; on a terminal, show its progress meanwhile.

    Raises:
        InputError: if there is no such study.
        KerastudyError: if the service does not answer.
    """
    if can_redraw(console):
        _show_events(client, study, console)
    # Events also end when the service stops, so this decides whether the study is over.
    return submission.wait(client, study)


def _show_events(client: StudyClient, study: str, console: Console) -> None:
    began_at = time.time()
    view = client.read_study(study)
    waiting = f"{study} is {view.state}{f': {view.reason}' if view.reason else ''}"
    with ProgressBars(console, time.time, waiting) as display:
        for stored in client.read_events(study):
            event, at_s = parse_event(stored), stored.content.get("at", 0) / 1000
            if isinstance(event, SearchFacts):
                display.begin(event, at_s)
            elif event is not None and at_s < began_at:
                display.update(event)  # lines of the past would scroll by
            elif event is not None:
                display.show(event)
