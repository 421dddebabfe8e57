"""A study and its trials as rows for MLflow: the same, whether they are told as it happens or later from the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipelines.data.model_inputs import read_model_description
from pipelines.data.prepared import DataSummary
from pipelines.search.optuna_search import TrialSummary
from pipelines.selection.finalists import Finalist
from pipelines.spec.schema import MEASURES
from pipelines.study.objective import Objective
from pipelines.study.study import Study
from pipelines.training.messages import EpochDone
from pipelines.training.trial_folder import ARTIFACTS, MODEL_FILE, read_epochs
from pipelines.workspace.home import Home
from search_spaces.values import Value
from tracking.mlflow.model_folder import write_model_folder
from tracking.outbox.records import (
    EpochsRecorded,
    ParametersDrawn,
    Record,
    StudyClosed,
    StudyOpened,
    StudyState,
    TrialFinished,
)
from tracking.store.retrainings import Retraining

MLFLOW_MODEL = "mlflow_model"
"""The folder in a trial's folder that holds its model as MLflow keeps it, while it is among the best."""


def build_study_opened(
    study: Study,
    objective: Objective,
    summary: DataSummary,
    home: Home,
    *,
    started_ms: int,
    undeclared: Iterable[str] = (),
) -> StudyOpened:
    """Return the row of a study that begins; `undeclared` is searched and not in the space."""
    spec = study.spec
    return StudyOpened(
        study=spec.study,
        experiment=spec.tracking.experiment or spec.study,
        metric=objective.metric,
        direction=objective.direction,
        parameters=(*study.space.parameters, *dict.fromkeys(undeclared)),
        started_ms=started_ms,
        artifacts=str(home.report(spec.study)),
        dataset_name=spec.study,
        dataset_source=summary.source,
        dataset_digest=summary.digest,
        dataset_rows=summary.rows,
        columns=tuple(goal.name if goal.metric in MEASURES else f"best_{goal.name}" for goal in objective.goals[1:]),
        tags={"model": spec.model, "sampler": spec.search.sampler, "pruner": spec.search.pruner},
    )


def build_parameters_drawn(study: Study, number: int, params: Mapping[str, Value]) -> list[Record]:
    """Return the row of what a model of the study's own asked for; not all of it was known when the trial started."""
    if not study.has_user_model or not params:
        return []
    return [ParametersDrawn(study.name, number, dict(params))]


def build_epochs_recorded(
    study: str, number: int, epochs: Sequence[EpochDone], folds: int, *, mean: bool = False, retraining: str = ""
) -> list[Record]:
    """Return the row of some epochs of a trial: of several folds by names of their own, unless it is their `mean`."""
    if not epochs:
        return []
    points = tuple(
        (
            done.epoch,
            done.at_ms,
            dict(done.metrics)
            if folds == 1 or mean
            else {f"fold_{done.fold + 1}/{name}": value for name, value in done.metrics.items()},
        )
        for done in epochs
    )
    return [EpochsRecorded(study, number, points, retraining)]


def build_trial_finished(
    study: str,
    trial: TrialSummary,
    objective: Objective,
    home: Home,
    *,
    keeps_model: bool,
    best_so_far: float | None,
    finished_ms: int,
) -> TrialFinished:
    """Return the row of a trial that ended.

    Raises:
        ValueError: if it has not.
    """
    if trial.state == "running":
        raise ValueError(f"trial {trial.number} has not ended")
    folder = home.trial(study, trial.number)
    return TrialFinished(
        study=study,
        number=trial.number,
        state=trial.state,
        value=trial.value,
        metrics=collect_best_metrics(trial, objective),
        reason=trial.reason,
        finished_ms=finished_ms,
        folder=str(folder / ARTIFACTS),
        model=str(folder / MLFLOW_MODEL) if keeps_model else None,
        best_so_far=best_so_far,
        tags={"kerastudy.trainer": trial.trainer} if trial.trainer else {},
        scored_ms=max((done.at_ms for done in read_epochs(folder)), default=None),
    )


def build_retraining_finished(retraining: Retraining, home: Home, *, keeps_model: bool) -> TrialFinished:
    """Return the row of a retraining that ended."""
    folder = home.retraining(retraining.study, retraining.number, retraining.name)
    best = {f"best_{name}": value for name, value in retraining.metrics.items()}
    return TrialFinished(
        study=retraining.study,
        number=retraining.number,
        retraining=retraining.name,
        state=retraining.state,
        value=retraining.value,
        metrics={**best, "best_epoch": float(retraining.epochs)} if retraining.epochs is not None else best,
        reason=retraining.reason,
        finished_ms=retraining.ended_ms,
        folder=str(folder / ARTIFACTS),
        model=str(folder / MLFLOW_MODEL) if keeps_model else None,
        tags={"kerastudy.trainer": retraining.trainer} if retraining.trainer else {},
        scored_ms=max((done.at_ms for done in read_epochs(folder)), default=None),
    )


def build_study_closed(
    study: Study,
    state: StudyState,
    reason: str,
    home: Home,
    *,
    best: TrialSummary | None,
    trials: Mapping[str, int],
    test: Mapping[str, float],
    finished_ms: int,
    finalists: Sequence[Finalist] = (),
    retraining: str = "",
    pareto_front: Sequence[TrialSummary] = (),
) -> StudyClosed:
    """Return the row of a study that ended or paused.

    Args:
        study: the study.
        state: how it stands.
        reason: why.
        home: where its files are.
        best: the winner.
        trials: number of its trials by state.
        test: the winner's metrics on the test rows.
        finished_ms: when it ended.
        finalists: what the winner was chosen from, the winner first.
        retraining: the winner's retraining whose model is handed over; empty for the trial's own.
        pareto_front: the trials that no other equals or betters in all of several objectives.
    """
    spec = study.spec
    return StudyClosed(
        study=spec.study,
        state=state,
        reason=reason,
        finished_ms=finished_ms,
        winner=best.number if best else None,
        best_value=best.value if best else None,
        trials=trials,
        artifacts=str(home.report(spec.study)),
        register=(spec.export.register_as or spec.study) if state == "finished" else None,
        alias=spec.export.alias if state == "finished" else None,
        test=dict(test),
        retraining=retraining if state == "finished" else "",
        metrics=_spread(finalists[0]) if finalists else {},
        pareto_front=tuple(trial.number for trial in pareto_front),
    )


def _spread(winner: Finalist) -> dict[str, float]:
    low, high = winner.interval or (winner.mean, winner.mean)
    return {"winner_mean": winner.mean, "winner_low": low, "winner_high": high}


def collect_best_metrics(trial: TrialSummary, objective: Objective) -> dict[str, float]:
    """Return what MLflow shows of a trial's best epoch, and of its model where that is among the objectives."""
    if trial.best_epoch is None:
        return {}
    measures = {
        goal.name: value
        for goal, value in zip(objective.goals[1:], trial.goals, strict=False)
        if goal.metric in MEASURES
    }
    best = {f"best_{name}": value for name, value in trial.metrics.items()}
    return {**best, "best_epoch": float(trial.best_epoch), **measures}


def write_mlflow_model(folder: Path, data: Path, *, anew: bool = True) -> None:
    """Write a trial's model as MLflow keeps it, if the trial's folder holds its model.

    Args:
        folder: the trial's folder.
        data: the study's prepared data.
        anew: also over one that is there.
    """
    if (folder / MODEL_FILE).exists() and (anew or not (folder / MLFLOW_MODEL).exists()):
        write_model_folder(folder / MODEL_FILE, folder / MLFLOW_MODEL, read_model_description(data))
