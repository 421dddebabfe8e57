"""Studies and trials as the doors show them: plain values, whether they come from the home or from a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.search.space_evolution import Change
from pipelines.selection.finalists import Finalist
from search_spaces.errors import ConflictError, InputError, nearest
from tracking.outbox.records import Value


@dataclass(frozen=True)
class StudyRow:
    """One study in a list; `trials` counts those that have ended."""

    name: str
    state: str
    trials: int
    budget: int
    metric: str
    best: float | None
    best_trial: int | None


@dataclass(frozen=True)
class StudyView:
    """How one study stands.

    Attributes:
        trials: number of trials by state.
        failed_attempts: how many tries cost a worker, after which their trials went on; the latest one in words.
        changes: how the space changed since the study was submitted.
        waiting_for_mlflow: records that MLflow has not taken yet; `mlflow_error` says why not.
        folder: where its files are.
        page: address of its page in MLflow's UI, where a service tells it.
    """

    name: str
    state: str
    reason: str
    model: str
    source: str
    metric: str
    direction: str
    budget: int
    trials: Mapping[str, int]
    failed_attempts: int
    last_failed_attempt: str
    changes: tuple[Change, ...]
    best: float | None
    best_trial: int | None
    best_params: Mapping[str, Value]
    seconds: float
    waiting_for_mlflow: int
    mlflow_error: str
    tracking_uri: str
    folder: str
    page: str = ""


@dataclass(frozen=True)
class TrialRow:
    """One trial in a list; `values` holds the objectives, and is empty where the trial has none."""

    number: int
    state: str
    values: tuple[float, ...]
    params: Mapping[str, Value]
    best_epoch: int | None
    seconds: float | None
    reason: str
    metrics: Mapping[str, float]
    failed_attempts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObjectiveName:
    """One of several objectives, and which way it is better."""

    name: str
    direction: str


@dataclass(frozen=True)
class BestTrial:
    """The winner of a study; while it is not chosen, its best trial.

    Attributes:
        test: metrics of the model that is handed over, on the test rows.
        model: that model's file.
        finalists: what the winner was chosen from by further trainings, the winner first; empty where it was not.
        refit: whether that model was trained on training and validation rows together.
        ensemble: score of the finalists' models averaged, where it beats the winner's on the validation rows.
        ensemble_of: the trials whose models these are.
        objectives: names of several objectives; empty where there is one.
        front: trials that no other equals or betters in all of several objectives, by the first of them.
    """

    study: str
    trial: TrialRow
    metric: str
    direction: str
    test: Mapping[str, float]
    model: str
    finalists: tuple[Finalist, ...] = ()
    refit: bool = False
    ensemble: float | None = None
    ensemble_of: tuple[int, ...] = ()
    objectives: tuple[ObjectiveName, ...] = ()
    front: tuple[TrialRow, ...] = ()


def point_on_front(best: BestTrial, at_most: Mapping[str, float], at_least: Mapping[str, float]) -> int:
    """Return the number of the first trial of a study's front that keeps these bounds.

    Raises:
        InputError: if the study has no such objective, or no trial of its front keeps them.
    """
    names = [objective.name for objective in best.objectives]
    if not names:
        raise InputError(f"{best.study} has one objective and so no front: leave out --at-most and --at-least")
    for name in (*at_most, *at_least):
        if name not in names:
            raise InputError(f'{best.study} has no objective "{name}"; {nearest(name, names)}')
    for trial in best.front:
        value = dict(zip(names, trial.values, strict=True))
        if all(value[name] <= most for name, most in at_most.items()) and all(
            value[name] >= least for name, least in at_least.items()
        ):
            return trial.number
    raise ConflictError(f"no trial of the front of {best.study} keeps these bounds; see: kerastudy best {best.study}")
