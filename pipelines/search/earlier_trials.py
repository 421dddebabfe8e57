"""Trials of an earlier study as knowledge for another one: its space may differ.

They are copied into the study's folder when it starts, so that it draws the same points whatever becomes of the
earlier study.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from pipelines.search.trial_summaries import VALUES, takes_up_budget
from pipelines.study.context import StudyContext
from pipelines.workspace.atomic_files import write_text
from search_spaces.portfolios import fit_point
from search_spaces.space import Space
from search_spaces.values import Direction, Value

_FILE = "earlier-trials.json"


@dataclass(frozen=True)
class EarlierTrial:
    """A trial of an earlier study.

    Attributes:
        values: active hyperparameters.
        curve: best score so far by the number of epochs.
        score: of a complete trial; None for one that was pruned or paused.
    """

    values: Mapping[str, Value]
    curve: Mapping[int, float]
    score: float | None


@dataclass(frozen=True)
class EarlierTrials:
    """The trials of an earlier study that have a score.

    Attributes:
        study: its name.
        trials: in the order of their numbers.
    """

    study: str = ""
    trials: tuple[EarlierTrial, ...] = ()

    def list_points(self, space: Space, direction: Direction, most: int) -> tuple[dict[str, Value], ...]:
        """Return its best points as points of another space, the best first, each once."""
        sign = 1.0 if direction == "minimize" else -1.0
        complete = [trial for trial in self.trials if trial.score is not None]
        found: list[dict[str, Value]] = []
        for trial in sorted(complete, key=lambda each: sign * (each.score or 0.0)):
            point = fit_point(space, trial.values) or fit_point(space, trial.values, is_narrower=True)
            if point and point not in found and not space.find_violations(point):
                found.append(point)
        return tuple(found[:most])


def collect_earlier_trials(study: str, trials: Iterable[FrozenTrial]) -> EarlierTrials:
    """Return the trials with a score of a study in Optuna; of several objectives the first one counts."""
    found = []
    for trial in trials:
        curve = {epochs: value for epochs, value in trial.intermediate_values.items() if math.isfinite(value)}
        score = trial.values[0] if trial.state == TrialState.COMPLETE and trial.values else None
        if takes_up_budget(trial) and trial.state != TrialState.FAIL and (curve or score is not None):
            found.append(EarlierTrial(dict(trial.user_attrs.get(VALUES, trial.params)), curve, score))
    return EarlierTrials(study, tuple(found))


def write_earlier_trials(folder: Path, earlier: EarlierTrials) -> None:
    """Write trials into the folder of the study that learns from them."""
    write_text(folder / _FILE, json.dumps(asdict(earlier)))


def find_earlier_trials(context: StudyContext) -> EarlierTrials:
    """Return the trials that a study learns from; none where its file names no earlier study, or does so no more."""
    if context.spec.search.start_from is None:
        return EarlierTrials()
    return read_earlier_trials(context.home.locate_study(context.name))


def read_earlier_trials(folder: Path) -> EarlierTrials:
    """Return the trials that `write_earlier_trials` wrote; none where there is no file."""
    file = folder / _FILE
    if not file.exists():
        return EarlierTrials()
    stored = json.loads(file.read_text(encoding="utf-8"))
    trials = (
        EarlierTrial(each["values"], {int(key): value for key, value in each["curve"].items()}, each["score"])
        for each in stored["trials"]
    )
    return EarlierTrials(stored["study"], tuple(trials))
