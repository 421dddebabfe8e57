"""Plain values of studies and trials, as the interfaces show them; a service answers with the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, WithJsonSchema

from pipelines.baselines.results import Baselines
from pipelines.search.space_evolution import Change
from pipelines.search.trial_summaries import TrialSummary
from pipelines.selection.finalists import Finalist
from pipelines.training.resource_use import UNKNOWN_USE, ResourceUse
from search_spaces.errors import ConflictError, InputError, suggest_choice
from search_spaces.values import Value


def _read_null(value: Any) -> Any:
    return nan if value is None else value


_SCHEMA = WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]})
Measure = Annotated[float, BeforeValidator(_read_null), _SCHEMA]
"""A metric's value; one that is not finite is null in an answer of a service."""

if TYPE_CHECKING:
    from search_spaces.hyperparameters import TrialHyperParameters


@dataclass(frozen=True)
class StudyRow:
    """One study in a list; `trials` counts those that have ended, `host` is where it runs; empty if it does not."""

    name: str
    state: str
    trials: int
    budget: int
    metric: str
    best: float | None
    best_trial: int | None
    archived: bool = False
    host: str = ""


@dataclass(frozen=True)
class StudyView:
    """State of one study.

    Attributes:
        trials: number of trials by state.
        failed_attempts: number of attempts that ended with their worker; their trials went on in another.
        last_failed_attempt: the latest of them in words.
        changes: how the space changed since the study was submitted.
        waiting_for_mlflow: number of records that are not in MLflow yet.
        mlflow_error: the reason for that.
        folder: the folder of its files.
        page: address of its page in MLflow's UI; only a service has it.
        notes: on its data: what was decided for the user and what looks wrong.
        baselines: the study's baselines; None where there are none yet.
        epochs: epochs that all its trials have trained, as far as they are known.
        unbeaten: the baselines that the best score does not beat, in words; empty where it beats all.
        forecast: the delivered model's errors from several times, in words; empty where it makes no forecasts.
        curve: the best score so far after each complete trial, or after some of many.
        resources: what all its trials have used: CPU time in all, greatest peak of memory.
        best_seconds: time of the best trial; None where there is none.
        best_resources: what that trial has used.
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
    notes: tuple[str, ...] = ()
    baselines: Baselines | None = None
    unbeaten: str = ""
    forecast: str = ""
    epochs: int = 0
    archived: bool = False
    curve: tuple[float, ...] = ()
    resources: ResourceUse = UNKNOWN_USE
    best_seconds: float | None = None
    best_resources: ResourceUse = UNKNOWN_USE


@dataclass(frozen=True)
class ListedStudy(StudyRow):
    """One study in a service's list; `submitter` is empty for a study that was not submitted to the service."""

    submitter: str = ""
    priority: int = 0


@dataclass(frozen=True)
class ServedStudy(StudyView):
    """State of one study of a service; `place` counts from 1 in the queue, and is None outside of it."""

    submitter: str = ""
    priority: int = 0
    place: int | None = None


@dataclass(frozen=True)
class StudyList:
    """A part of a service's list of studies; `next` is the argument for the next part, None at the end."""

    studies: tuple[ListedStudy, ...]
    next: str | None


@dataclass(frozen=True)
class UploadedFile:
    """A data file that a service keeps.

    Attributes:
        source: its name in a study file.
        bytes: its size.
        sha256: digest of its content.
    """

    source: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class TrialRow:
    """One trial in a list.

    Attributes:
        values: its objectives; empty for a trial without a score.
        epochs: epochs that it has trained, over all its folds and seeds; None where that is not known.
        trainer: the way in which it trained: fit, graph, fleet, or user for the model's own; empty where unknown.
        resources: CPU time and peak memory of its training.
    """

    number: int
    state: str
    values: tuple[float, ...]
    params: Mapping[str, Value]
    best_epoch: int | None
    seconds: float | None
    reason: str
    metrics: Mapping[str, Measure]
    failed_attempts: tuple[str, ...] = ()
    epochs: int | None = None
    trainer: str = ""
    resources: ResourceUse = UNKNOWN_USE

    @property
    def hyperparameters(self) -> TrialHyperParameters:
        """The trial's hyperparameters as KerasTuner's, for `build(hp)` of a hypermodel; imports Keras."""
        from search_spaces.hyperparameters import make_hyperparameters  # takes five seconds

        return make_hyperparameters(self.params)

    @classmethod
    def from_summary(cls, trial: TrialSummary) -> Self:
        """Return the row of a trial in the store."""
        return cls(
            number=trial.number,
            state=trial.state,
            values=trial.values,
            params=trial.params,
            best_epoch=trial.best_epoch,
            seconds=trial.seconds,
            reason=trial.reason,
            metrics=trial.metrics,
            failed_attempts=tuple(attempt.reason for attempt in trial.failed_attempts),
            epochs=trial.epochs,
            trainer=trial.trainer,
            resources=trial.resources,
        )


@dataclass(frozen=True)
class ObjectiveName:
    """One of several objectives: its name and its direction."""

    name: str
    direction: str


@dataclass(frozen=True)
class BestTrial:
    """Winner of a study; its best trial so far while the winner is not chosen.

    Attributes:
        test: metrics of the delivered model on the test rows.
        model: that model's file; empty where there is none.
        no_model: why there is none.
        finalists: the finalists with their retrainings, the winner first; empty for a study without retrainings.
        finalists_reason: what `selection: auto` decided, and why; empty where the study file names the finalists.
        refit: whether that model was trained on training and validation rows together.
        refit_reason: why that is so, or why it is not, in one line; empty where no refit was compared.
        ensemble: mean score of the ensemble's trainings, where it is kept.
        ensemble_of: for each of its models the number of the trial.
        ensemble_reason: why the winner's ensemble is delivered, or is not, in one line; empty where none was built.
        objectives: names of several objectives; empty for one objective.
        pareto_front: trials that no other trial equals or beats in all of several objectives, the best by the first
            objective first.
        baselines: the study's baselines; None where there are none yet.
        unbeaten: the baselines that the winner does not beat, in words; empty where it beats all.
        forecast: the delivered model's errors from several times, in words; empty where it makes no forecasts.
    """

    study: str
    trial: TrialRow
    metric: str
    direction: str
    test: Mapping[str, Measure]
    model: str
    finalists: tuple[Finalist, ...] = ()
    finalists_reason: str = ""
    refit: bool = False
    refit_reason: str = ""
    ensemble: float | None = None
    ensemble_of: tuple[int, ...] = ()
    ensemble_reason: str = ""
    objectives: tuple[ObjectiveName, ...] = ()
    pareto_front: tuple[TrialRow, ...] = ()
    no_model: str = ""
    baselines: Baselines | None = None
    unbeaten: str = ""
    forecast: str = ""


# On the client's side of HTTP: the same code serves a home and a service.
def find_pareto_trial(best: BestTrial, at_most: Mapping[str, float], at_least: Mapping[str, float]) -> int:
    """Return the number of the first trial of a study's Pareto front that keeps these bounds.

    Raises:
        InputError: if the study has no such objective.
        ConflictError: if no trial of its Pareto front keeps them.
    """
    names = [objective.name for objective in best.objectives]
    if not names:
        raise InputError(f"{best.study} has one objective and so no Pareto front: leave out --at-most and --at-least")
    for name in (*at_most, *at_least):
        if name not in names:
            raise InputError(f'{best.study} has no objective "{name}"; {suggest_choice(name, names)}')
    # In the order of the first objective, so the first one within the bounds is the best.
    for trial in best.pareto_front:
        value = dict(zip(names, trial.values, strict=True))
        if all(value[name] <= most for name, most in at_most.items()) and all(
            value[name] >= least for name, least in at_least.items()
        ):
            return trial.number
    raise ConflictError(
        f"no trial of the Pareto front of {best.study} keeps these bounds; see: kerastudy best {best.study}"
    )
