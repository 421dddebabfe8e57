"""Text in place of a log that was never written, from the records of its study."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.queries.views import StudyView, TrialRow
from pipelines.supervisor.event_text import format_trial_end
from pipelines.supervisor.events import TrialEnded

_UNFINISHED = ("running", "paused")


def describe_study(study: StudyView, trials: Sequence[TrialRow]) -> str:
    """Return a study's trials and state, a line each, as its log would have them."""
    lines = [
        f"{study.name} has no log yet; what its records hold:" if not trials else f"the records of {study.name}:",
        f"{study.direction} {study.metric} over {study.budget} trials; data {study.source}; model {study.model}",
        *(f"note: {note}" for note in study.notes),
        *(_describe_end(trial, is_best=trial.number == study.best_trial) for trial in trials),
        f"{study.name} {study.state}{f': {study.reason}' if study.reason else ''}",
    ]
    return "\n".join(lines) + "\n"


def describe_trial(study: str, trial: TrialRow) -> str:
    """Return the end of a trial whose worker printed nothing into a file of its own."""
    where = (
        f"it trained in a fleet, whose worker prints to fleet-*.log in the folder of {study}"
        if trial.trainer == "fleet"
        else "its worker has printed nothing"
    )
    return f"{_describe_end(trial, is_best=False)}\n{where}\n"


def _describe_end(trial: TrialRow, *, is_best: bool) -> str:
    value = trial.values[0] if trial.values else None
    line = format_trial_end(TrialEnded(trial.number, trial.state, value, trial.reason, trial.seconds, is_best))
    return f"{line}, after {trial.epochs} epochs" if trial.state in _UNFINISHED and trial.epochs else line
