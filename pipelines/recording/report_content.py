"""Content of a study's report, collected from its trials, its data and the files in its folder."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pipelines.baselines.results import read_baselines
from pipelines.recording.data_section import describe_data
from pipelines.recording.provenance import describe_environment
from pipelines.recording.records import StudyOutcome
from pipelines.search.pruners import choose_pruner
from pipelines.search.sampler_choice import choose_sampler
from pipelines.search.trial_summaries import TrialSummary, find_pareto_front, rank_trials
from pipelines.selection.evaluation_files import read_evaluation
from pipelines.selection.model_locations import find_winning_model
from pipelines.study.context import StudyContext
from pipelines.study.objective import Objective
from pipelines.training.resource_use import ResourceUse
from pipelines.training.trial_folder import ARTIFACTS, read_epochs
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.parameters import Categorical, Fixed, Parameter
from search_spaces.yaml_writer import to_yaml
from tracking.reports.content import (
    Curve,
    ReportBaseline,
    ReportFinalist,
    ReportParameter,
    ReportTrial,
    StudyReport,
)
from tracking.reports.history_file import read_history
from tracking.timings.spans import read_runs

MOST_CURVES: Final = 60
"""Curves that a report reads and draws: each is a file."""
_BEST_CURVES: Final = 15


def collect_report(
    context: StudyContext,
    trials: Sequence[TrialSummary],
    outcome: StudyOutcome,
    *,
    state: str = "",
    reason: str | None = None,
    seconds: float | None = None,
) -> StudyReport:
    """Return the content of a study's report.

    Args:
        context: the study.
        trials: all its trials.
        outcome: its state and its result so far.
        state: the state to show, where that of the outcome stands for another one; `reason` likewise.
        reason: why the study has that state.
        seconds: its working time so far.
    """
    study, spec, objective = context.study, context.spec, context.objective
    folder, winner = context.home.locate_study(context.name), outcome.best
    baselines = read_baselines(folder)
    return StudyReport(
        study=study.name,
        metric=objective.metric,
        direction=objective.direction,
        state=state or outcome.state,
        reason=outcome.reason if reason is None else reason,
        trials=convert_trials(trials, objective),
        parameters=list_parameters(context),
        objectives=[(goal.name, goal.direction) for goal in objective.goals],
        curves=_read_curves(context, trials),
        winner=winner.number if winner else None,
        finalists=[ReportFinalist(each.number, each.mean, each.interval, each.scores) for each in outcome.finalists],
        test=outcome.test,
        pareto=[trial.number for trial in find_pareto_front(trials, objective)] if objective.goals else (),
        baselines=[ReportBaseline(each.label, each.value, each.test) for each in baselines.found] if baselines else (),
        unbeaten=baselines.explain_unbeaten(outcome.score) if baselines else "",
        evaluation=read_evaluation(find_winning_model(study, context.home, winner.number)) if winner else None,
        model=spec.model,
        source=context.summary.source,
        task=context.summary.describe_task(),
        budget=spec.budget.trials,
        most_epochs=context.most_epochs or None,
        data=describe_data(context.summary),
        space=to_yaml(study.space.to_dict()),
        facts=_collect_facts(context, outcome),
        seconds=seconds,
        digest=context.summary.digest,
        runs=read_runs(folder),
        failed_attempts=[(trial.number, each.reason) for trial in trials for each in trial.failed_attempts],
    )


def convert_trials(trials: Iterable[TrialSummary], objective: Objective) -> list[ReportTrial]:
    """Return trials as a report has them."""
    return [
        ReportTrial(
            number=trial.number,
            state=trial.state,
            values=trial.values,
            params=trial.params,
            best_epoch=trial.best_epoch,
            epochs=trial.epochs,
            seconds=trial.seconds,
            # Without the time for which it was paused.
            started=None if trial.ended is None or trial.seconds is None else trial.ended - trial.seconds,
            ended=trial.ended,
            reason=trial.reason,
            trainer=trial.trainer,
            is_allowed=trial.fits and (trial.state != "complete" or objective.keeps_bounds(trial.values)),
            parameters=trial.parameters,
            resources=_list_resources(trial.resources),
        )
        for trial in trials
    ]


def list_parameters(context: StudyContext) -> list[ReportParameter]:
    """Return the hyperparameters of a study: those of its space, and those that its model's code requests."""
    declared = [convert_parameter(each) for each in context.study.space.declared]
    known = {each.name for each in declared}
    requested = {each.name: each for each in context.undeclared if each.name not in known}
    return [*declared, *map(_convert_request, requested.values())]


def _list_resources(used: ResourceUse | None) -> dict[str, float]:
    if used is None:
        return {}
    found = {
        "cpu_s": used.cpu_s,
        "peak_mb": None if used.peak_memory_bytes is None else used.peak_memory_bytes / 1e6,
        "peak_gpu_mb": None if used.peak_gpu_memory_bytes is None else used.peak_gpu_memory_bytes / 1e6,
    }
    return {name: value for name, value in found.items() if value is not None}


def convert_parameter(parameter: Parameter) -> ReportParameter:
    """Return a parameter of a space as a report has it."""
    is_conditional = bool(parameter.when)
    if isinstance(parameter, Categorical | Fixed):
        choices = tuple(parameter.bounds)
        return ReportParameter(parameter.name, choices=choices, is_conditional=is_conditional)
    return ReportParameter(
        parameter.name,
        float(parameter.low),
        float(parameter.high),
        is_log=parameter.log,
        is_whole=isinstance(parameter.low, int),
        is_conditional=is_conditional,
    )


def _convert_request(request: HyperparameterRequest) -> ReportParameter:
    if request.kind not in ("int", "float"):
        choices = request.choices if request.kind != "boolean" else (True, False)
        return ReportParameter(request.name, choices=choices, is_conditional=True)
    is_log = request.sampling == "log" and request.low > 0
    return ReportParameter(
        request.name, request.low, request.high, is_log, is_whole=request.kind == "int", is_conditional=True
    )


def _read_curves(context: StudyContext, trials: Sequence[TrialSummary]) -> Mapping[int, Curve]:
    """Return the curves of the best trials, and of a sample of the others, pruned and paused ones first."""
    best = [trial.number for trial in rank_trials(trials, context.objective)[:_BEST_CURVES]]
    chance = random.Random(0)
    early = [trial.number for trial in trials if trial.state in ("pruned", "paused", "running")]
    rest = [trial.number for trial in trials if trial.state == "complete" and trial.number not in best]
    left = MOST_CURVES - len(best)
    chosen = chance.sample(early, min(len(early), (2 * left) // 3))
    chosen += chance.sample(rest, min(len(rest), left - len(chosen)))
    curves = {}
    for number in (*best, *chosen):
        if curve := _read_curve(context.home.locate_trial(context.name, number)):
            curves[number] = curve
    return curves


def _read_curve(folder: Path) -> Curve:
    """Return a trial's curve; empty where its files are gone, as in an archived study."""
    file = folder / ARTIFACTS / "history.csv"
    if file.exists():
        return read_history(file)
    return [done.metrics for done in read_epochs(folder) if done.fold == 0]


def _collect_facts(context: StudyContext, outcome: StudyOutcome) -> dict[str, str]:
    baselines = read_baselines(context.home.locate_study(context.name))
    facts = {
        "rows": ", ".join(f"{count:,} {part}" for part, count in context.summary.rows.items()),
        "digest of the data": context.summary.digest[:12],
        "scored": "at each trial's best epoch"
        + (f", mean of {context.summary.folds} folds" if context.summary.folds > 1 else ""),
        "search": f"{choose_sampler(context).label} sampler, {choose_pruner(context).name} pruner, "
        f"seed {context.spec.search.seed}",
        "baselines": baselines.describe() if baselines else "",
        "selection": outcome.finalists_reason,
        "ensemble": outcome.ensemble_reason.removeprefix("ensemble "),
        "refit": outcome.refit_reason.removeprefix("refit "),
        **{name: str(value) for name, value in _read_environment(context).items()},
    }
    return {name: value for name, value in facts.items() if value}


def _read_environment(context: StudyContext) -> Mapping[str, str | int]:
    """Return the environment that the study ran in last; this one where that is not stored."""
    file = context.home.locate_report(context.name) / "environment.json"
    stored: dict[str, str | int] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return stored or describe_environment()
