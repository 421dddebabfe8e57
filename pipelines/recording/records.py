"""Records of a study and its trials for MLflow; a running study and a later backfill build the same ones."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.baselines.results import read_baselines
from pipelines.data.model_inputs import describe_user_model, read_model_description
from pipelines.search.pruners import choose_pruner
from pipelines.search.sampler_choice import choose_sampler
from pipelines.search.starting_points import choose_starting_points
from pipelines.search.trial_summaries import TrialSummary, count_by_state, find_pareto_front
from pipelines.selection.evaluation_files import WINNER_ARTIFACTS, list_evaluation_metrics, read_evaluation
from pipelines.selection.finalists import Finalist
from pipelines.selection.model_locations import find_winning_model
from pipelines.spec.schema import MEASURES
from pipelines.study.context import StudyContext
from pipelines.study.objective import Objective
from pipelines.study.study import Study
from pipelines.training.messages import EpochDone
from pipelines.training.resource_use import sum_use
from pipelines.training.trainings import name_training
from pipelines.training.trial_folder import ARTIFACTS, MODEL_FILE, read_epochs, read_model_facts, read_refusal
from pipelines.training.user_model.model_code import is_portable, read_requirements, write_portable_model
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

_LONGEST_TAG = 5_000  # of MLflow's servers; the report has all
MLFLOW_MODEL = "mlflow_model"
"""The folder in a trial's folder that holds its model as MLflow keeps it, while it is among the best."""


def build_study_opened(
    context: StudyContext,
    *,
    started_ms: int,
    user: str = "",
) -> StudyOpened:
    """Return the record of a study that starts."""
    spec, summary, objective = context.spec, context.summary, context.objective
    undeclared = (each.name for each in context.undeclared)
    return StudyOpened(
        study=spec.study,
        experiment=spec.tracking.experiment or spec.study,
        metric=objective.metric,
        direction=objective.direction,
        # A model may request one name under several conditions.
        parameters=(*context.study.space.parameters, *dict.fromkeys(undeclared)),
        started_ms=started_ms,
        artifacts=str(context.home.locate_report(spec.study)),
        dataset_name=spec.study,
        dataset_source=summary.source,
        dataset_digest=summary.digest,
        dataset_rows=summary.rows,
        # The names under which `collect_best_metrics` records them.
        user=user,
        columns=tuple(goal.name if goal.metric in MEASURES else f"best_{goal.name}" for goal in objective.goals[1:]),
        tags={
            **{"model": spec.model, **_tag_search(context)},
            **({"kerastudy.notes": _join_notes(summary.notes)} if summary.notes else {}),
        },
    )


def _tag_search(context: StudyContext) -> dict[str, str]:
    sampler, pruner = choose_sampler(context), choose_pruner(context)
    return {
        "sampler": sampler.label,
        "kerastudy.sampler": sampler.describe(),
        "pruner": pruner.name,
        "kerastudy.pruner": pruner.reason,
        **({"kerastudy.starting_points": starting} if (starting := choose_starting_points(context).describe()) else {}),
    }


def _join_notes(notes: Sequence[str]) -> str:
    return "\n".join(f"- {note}" for note in notes)[:_LONGEST_TAG]


def build_parameters_drawn(study: Study, number: int, params: Mapping[str, Value]) -> list[Record]:
    """Return the record of what a user model requested: not all of it was known when the trial started."""
    if not study.has_user_model or not params:
        return []
    return [ParametersDrawn(study.name, number, dict(params))]


def build_epochs_recorded(
    study: str,
    number: int,
    epochs: Sequence[EpochDone],
    folds: int,
    seeds: int = 1,
    *,
    mean: bool = False,
    retraining: str = "",
) -> list[Record]:
    """Return the record of some epochs of a trial; with several trainings, `fold_N/` or `seed_N/` precedes names.

    In their mean nothing does.
    """
    if not epochs:
        return []
    points = tuple(
        (
            done.epoch,
            done.at_ms,
            dict(done.metrics)
            if folds * seeds == 1 or mean
            else {f"{name_training(done.fold, folds, seeds)}/{name}": value for name, value in done.metrics.items()},
        )
        for done in epochs
    )
    return [EpochsRecorded(study, number, points, retraining)]


def build_trial_finished(
    context: StudyContext,
    trial: TrialSummary,
    *,
    keeps_model: bool,
    best_so_far: float | None,
    finished_ms: int,
) -> TrialFinished:
    """Return the record of a trial that ended.

    Raises:
        ValueError: if it has not ended.
    """
    if (state := trial.end) is None:
        raise ValueError(f"trial {trial.number} has not ended")
    folder = context.home.locate_trial(context.name, trial.number)
    return TrialFinished(
        study=context.name,
        number=trial.number,
        state=state,
        value=trial.value,
        metrics=collect_best_metrics(trial, context.objective),
        reason=trial.reason,
        finished_ms=finished_ms,
        folder=str(folder / ARTIFACTS),
        model=str(folder / MLFLOW_MODEL) if keeps_model else None,
        best_so_far=best_so_far,
        tags={"kerastudy.trainer": trial.trainer} if trial.trainer else {},
        score_time_ms=max((done.at_ms for done in read_epochs(folder)), default=None),
    )


def build_retraining_finished(retraining: Retraining, home: Home, *, keeps_model: bool) -> TrialFinished:
    """Return the record of a retraining that ended."""
    folder = home.locate_retraining(retraining.study, retraining.number, retraining.name)
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
        score_time_ms=max((done.at_ms for done in read_epochs(folder)), default=None),
    )


@dataclass(frozen=True)
class StudyOutcome:
    """State of a study that ended or was paused, and its result so far.

    Attributes:
        reason: why it is in that state.
        best: the winner; while it is not chosen, the best trial.
        test: the winner's metrics on the test rows.
        finalists: the candidates for the winner, the winner first; empty where nothing was retrained.
        retraining: the retraining whose model wins; empty for the trial's own.
        refit_reason: why the winner's refit is delivered, or is not; empty where none was compared.
        ensemble_reason: the same of its ensemble.
        finalists_reason: what `selection: auto` decided, and why; empty where the study file names the finalists.
    """

    state: StudyState
    reason: str
    best: TrialSummary | None
    test: Mapping[str, float] = field(default_factory=dict)
    finalists: Sequence[Finalist] = ()
    retraining: str = ""
    refit_reason: str = ""
    ensemble_reason: str = ""
    finalists_reason: str = ""

    @property
    def score(self) -> float | None:
        """Return the winner's score: its mean over retrainings where there are any."""
        if self.finalists:
            return self.finalists[0].mean
        return self.best.value if self.best else None


def build_study_closed(
    context: StudyContext, outcome: StudyOutcome, trials: Sequence[TrialSummary], *, finished_ms: int
) -> StudyClosed:
    """Return the record of a study that ended or paused; `trials` are all its trials."""
    spec, best, objective = context.spec, outcome.best, context.objective
    is_finished = outcome.state == "finished"
    pareto_front = find_pareto_front(trials, objective) if objective.goals else ()
    is_registered = is_finished and not _is_refused(context, best)
    baselines = _describe_baselines(context, outcome)
    model = find_winning_model(context.study, context.home, best.number) if is_finished and best else None
    return StudyClosed(
        study=spec.study,
        state=outcome.state,
        reason=outcome.reason,
        finished_ms=finished_ms,
        winner=best.number if best else None,
        best_value=best.value if best else None,
        trials=count_by_state(trials),
        artifacts=str(context.home.locate_report(spec.study)),
        # A paused or cancelled study must not move the alias of a registered model.
        register=context.study.registered_name if is_registered else None,
        alias=spec.export.alias if is_registered else None,
        test=dict(outcome.test),
        retraining=outcome.retraining if is_finished else "",
        metrics={
            **(_describe_interval(outcome.finalists[0]) if outcome.finalists else {}),
            **baselines[0],
            **_count_epochs(trials),
            **_list_use(trials),
        },
        pareto_front=tuple(trial.number for trial in pareto_front),
        tags=baselines[1],
        winner_artifacts=str(Path(model.folder) / WINNER_ARTIFACTS) if model else "",
        winner_metrics=list_evaluation_metrics(read_evaluation(model)) if model else {},
    )


def _describe_baselines(context: StudyContext, outcome: StudyOutcome) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics and the tags of the study's baselines; empty where it has none."""
    baselines = read_baselines(context.home.locate_study(context.name))
    if baselines is None:
        return {}, {}
    # The second also where it is empty: an earlier end may have left a reason.
    unbeaten = baselines.explain_unbeaten(outcome.score)
    return baselines.list_metrics(), {"kerastudy.baselines": baselines.describe(), "kerastudy.unbeaten": unbeaten}


def _is_refused(context: StudyContext, best: TrialSummary | None) -> bool:
    """Return whether MLflow could not load the winner's model."""
    if best is None:
        return False
    return bool(read_refusal(Path(find_winning_model(context.study, context.home, best.number).folder)))


def _describe_interval(winner: Finalist) -> dict[str, float]:
    low, high = winner.interval or (winner.mean, winner.mean)
    return {"winner_mean": winner.mean, "winner_low": low, "winner_high": high}


def collect_best_metrics(trial: TrialSummary, objective: Objective) -> dict[str, float]:
    """Return the metrics of a trial's best epoch, and those of its model that are objectives."""
    if trial.best_epoch is None:
        return {}
    measures = {
        goal.name: value
        # A pruned trial has a best epoch, and no further objectives.
        for goal, value in zip(objective.goals[1:], trial.goals, strict=False)
        if goal.metric in MEASURES
    }
    best = {f"best_{name}": value for name, value in trial.metrics.items()}
    return {**best, "best_epoch": float(trial.best_epoch), **measures, **_count_epochs([trial]), **_list_use([trial])}


def _count_epochs(trials: Sequence[TrialSummary]) -> dict[str, float]:
    """Return the epochs that trials have trained, as a metric; empty where no trial's are known."""
    known = [trial.epochs for trial in trials if trial.epochs is not None]
    return {"epochs_trained": float(sum(known))} if known else {}


def _list_use(trials: Sequence[TrialSummary]) -> dict[str, float]:
    """Return the resources that trials have used, as metrics: the time in all, the greatest peaks."""
    used = sum_use(trial.resources for trial in trials)
    megabytes = {"peak_memory_mb": used.peak_memory_bytes, "peak_gpu_memory_mb": used.peak_gpu_memory_bytes}
    return {
        **({} if used.cpu_s is None else {"cpu_seconds": used.cpu_s}),
        **{name: value / 1e6 for name, value in megabytes.items() if value is not None},
    }


def write_mlflow_model(folder: Path, data: Path, *, overwrite: bool = True) -> None:
    """Write the MLflow model of a trial, if the trial's folder holds its model.

    Args:
        folder: the trial's folder.
        data: the study's prepared data.
        overwrite: whether to replace an MLflow model that is there.
    """
    target = folder / MLFLOW_MODEL
    if target.exists() and not overwrite:
        return
    description, facts = read_model_description(data), read_model_facts(folder)
    if description is not None and facts:
        description = describe_user_model(description, facts["shapes"], facts["outputs"])
    if is_portable(folder):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            source = Path(scratch) / "portable"
            write_portable_model(folder, source)
            write_model_folder(source, target, description, requirements=read_requirements(source))
    elif (folder / MODEL_FILE).exists():
        write_model_folder(folder / MODEL_FILE, target, description)
