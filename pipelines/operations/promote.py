"""Promotion of a trial's model: it gets an alias if it is at least as good as the version that has the alias.

Both are scored on the study's held-out rows, in a worker process. MLflow is changed after the comparison, and the
version that gets the alias is tagged with its result.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.prepared import DataSummary
from pipelines.data.prepared_folder import load_summary
from pipelines.engines.base import Engine, Job
from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import run_job
from pipelines.export.compare_models import ComparisonJob, ModelComparison
from pipelines.export.jobs import COMPARE_MODELS
from pipelines.queries.study_reader import StudyReader
from pipelines.queries.views import TrialRow
from pipelines.recording import records
from pipelines.selection.model_locations import find_winning_model, is_ensembled, is_refitted
from pipelines.selection.registered_files import RegisteredFiles
from pipelines.spec.section import parse_alias
from pipelines.study.study import Study
from pipelines.supervisor.registration import check_registration
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import explain_missing_model, has_model
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from search_spaces.values import replace_not_finite
from tracking.mlflow import urls
from tracking.store.database import Store
from tracking.store.model_digests import ModelDigests

if TYPE_CHECKING:
    from tracking.mlflow.promotion import KnownVersion, Registry


@dataclass(frozen=True)
class PromotionResult:
    """Result of a promotion.

    Attributes:
        study: the study's name.
        trial: the trial's number.
        name: the registered model.
        alias: the alias.
        is_promoted: whether the trial's version has the alias now.
        version: the trial's version; empty if it has none.
        holder: the version that had the alias, in words; empty if none had it.
        comparison: the scores of both; None if the trial had the alias already.
        reason: the decision, with its reason.
        notes: facts that limit the comparison.
    """

    study: str
    trial: int
    name: str
    alias: str
    is_promoted: bool
    version: str
    holder: str
    comparison: ModelComparison | None
    reason: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    """Trial to promote."""

    home: Home
    study: Study
    trial: TrialRow
    metric: str
    summary: DataSummary
    engine: Engine | None = None

    @property
    def name(self) -> str:
        """The registered model's name."""
        return self.study.registered_name

    @property
    def model(self) -> PastTrial:
        """The delivered model's location: the trial's refit if there is one."""
        return find_winning_model(self.study, self.home, self.trial.number)

    @property
    def folder(self) -> Path:
        return Path(self.model.folder)


def check_alias(alias: str | None) -> None:
    """Check that MLflow accepts an alias.

    Raises:
        InputError: if it does not.
    """
    if alias is not None:
        try:
            parse_alias(alias)
        except ValueError as error:
            raise InputError(f"alias: {error}") from None


def promote_trial(
    home: Home, study: str, trial: int | None, alias: str | None, *, force: bool, engine: Engine | None = None
) -> PromotionResult:
    """Move an alias of a registered model to a trial's model, if that is at least as good as the version that has it.

    Args:
        home: the home that holds the study.
        study: its name.
        trial: the trial's number; the best one's if None.
        alias: the alias; the study file's if None.
        force: whether to move the alias even if the model is worse or cannot be compared.
        engine: runs the job that loads the models; a new engine if None.

    Raises:
        InputError: if study or trial are unknown, the trial has no model or one that MLflow cannot load, or MLflow
            accepts no such alias.
        KerastudyError: if MLflow does not answer, another process moved the alias meanwhile, or files of the model are
            not those that were registered.
    """
    check_alias(alias)
    with StudyReader.open(home) as reader:
        number = reader.find_complete_trial(study, trial)
        checked, best = reader.load_study(study), reader.find_best_trial(study)
        (row,) = (each for each in reader.list_trials(study) if each.number == number)
    candidate = _Candidate(home, checked, row, best.metric, load_summary(home.locate_data(study)), engine)
    from tracking.mlflow.promotion import Registry  # MLflow takes seconds to import

    with Store.open(home.store) as store:
        files = RegisteredFiles(home, store)
        files.check(candidate.model)
        uri = urls.resolve_tracking_uri(home.folder, os.environ)
        registry = Registry(uri, store.identity, ModelDigests(store))
        result = _promote(candidate, registry, alias or checked.spec.export.alias, force=force)
        if result.is_promoted:
            files.record(study, candidate.model)
    return result


def _promote(candidate: _Candidate, registry: Registry, alias: str, *, force: bool) -> PromotionResult:
    study, number, name = candidate.study.name, candidate.trial.number, candidate.name
    own, holder = registry.find_version(name, study, number), registry.find_alias_version(name, alias)
    if own is None and not has_model(candidate.folder):
        raise InputError(f"trial {number} of {study} has no model: {explain_missing_model(candidate.folder)}")
    done = PromotionResult(study, number, name, alias, False, own.version if own else "", str(holder or ""), None, "")
    if own is not None and holder is not None and own.version == holder.version:
        return replace(done, is_promoted=True, reason=f"{own} has models:/{name}@{alias} already")
    # Before anything is changed: a trial that loses leaves no version behind.
    comparison = _compare(candidate, registry, own, holder)
    done = replace(done, comparison=comparison, notes=tuple(_list_notes(candidate, comparison, holder)))
    result = _describe_result(comparison, holder)
    if not (holder is None or comparison.is_as_good or force):
        return replace(done, reason=f"not promoted: {result}. Name another --trial, or promote with --force")
    if own is None:
        own = _register(candidate, registry)
    is_forced = "" if holder is None or comparison.is_as_good else "by force, though "
    words = f"Promoted to {alias}: {is_forced}{result}"
    # With the holder of the comparison: `move_alias` refuses if another process has moved the alias meanwhile.
    content = json.dumps(replace_not_finite(asdict(comparison)), ensure_ascii=False, allow_nan=False)
    registry.move_alias(own, alias, holder, content, words)
    reason = f"models:/{name}@{alias} is version {own.version} now, {is_forced}{result}"
    return replace(done, is_promoted=True, version=own.version, reason=reason)


def _compare(
    candidate: _Candidate, registry: Registry, own: KnownVersion | None, holder: KnownVersion | None
) -> ModelComparison:
    """Return the scores of both models on the study's held-out rows."""
    from tracking.mlflow.promotion import RefusedError

    incompatibility, rival = "", None
    with tempfile.TemporaryDirectory(prefix="kerastudy-promote-") as scratch:
        # The registered file, which is what the alias would deliver.
        model = None if own is None else str(registry.fetch(own, Path(scratch) / "own").model)
        try:
            rival = None if holder is None else registry.fetch(holder, Path(scratch) / "holder")
        # No end of the promotion: a person may still promote with --force.
        except RefusedError as error:
            incompatibility = str(error)
        theirs = (str(rival.model), rival.task) if rival else (None, None)
        payload = ComparisonJob(candidate.model, model, *theirs)
        job = Job("comparison", COMPARE_MODELS, payload, candidate.folder / "promote.log")
        with _use_engine(candidate) as engine:
            # `fresh`: a worker that has loaded a stranger's file runs nothing else.
            comparison: ModelComparison = run_job(engine, replace(job, fresh=True))
    return replace(comparison, incompatibility=incompatibility) if incompatibility else comparison


def _use_engine(candidate: _Candidate) -> AbstractContextManager[Engine]:
    return nullcontext(candidate.engine) if candidate.engine else closing(LocalEngine(1))


def _describe_result(comparison: ModelComparison, holder: KnownVersion | None) -> str:
    """Return the comparison's result as a clause."""
    if holder is None:
        return "no version had it"
    if comparison.incompatibility:
        return f"{holder} cannot be compared on this study's rows: {comparison.incompatibility}"
    metric = comparison.metric
    ours, theirs = (scores.get(metric, math.nan) for scores in (comparison.scores, comparison.rival_scores))
    how = "at least as good as" if comparison.is_as_good else "worse than"
    if math.isnan(ours) or math.isnan(theirs):
        how = "not comparable with"
    on = f"on {comparison.rows} {comparison.part} rows"
    return f"{metric} {ours:.6g} is {how} the {theirs:.6g} of {holder} {on}"


def _list_notes(candidate: _Candidate, comparison: ModelComparison, holder: KnownVersion | None) -> Iterator[str]:
    if comparison.part == "validation":
        yield f"{candidate.study.name} has no test part: these are the validation rows that its search used"
        place = candidate.study, candidate.home, candidate.trial.number
        if is_ensembled(*place) or is_refitted(*place):
            yield f"the model of trial {candidate.trial.number} was trained on these rows too"
    if comparison.metric != candidate.metric.removeprefix("val_"):
        yield f"{candidate.metric} cannot be computed from predictions: {comparison.metric} decides"
    if comparison.rival_scores and holder is not None and holder.dataset != candidate.summary.digest:
        whose = "other data, or split otherwise" if holder.dataset else "data that is not known here"
        yield f"version {holder.version} was trained on {whose}: it may have seen some of these rows"


def _register(candidate: _Candidate, registry: Registry) -> KnownVersion:
    """Register the trial's model as a version."""
    spec, data = candidate.study.spec, candidate.home.locate_data(candidate.study.name)
    # An MLflow model that a delivery has written is kept: its files may be uploading now.
    records.write_mlflow_model(candidate.folder, data, overwrite=False)
    if candidate.study.has_user_model:
        with _use_engine(candidate) as engine:
            reason = check_registration(candidate.model, engine)
        if reason:
            raise InputError(f"the model of trial {candidate.trial.number} is not registered: {reason}")
    value = candidate.trial.values[0] if candidate.trial.values else ""
    tags = {"metric": candidate.metric, "value": str(value), "dataset_digest": candidate.summary.digest}
    saved, number = candidate.folder / records.MLFLOW_MODEL, candidate.trial.number
    experiment = spec.tracking.experiment or spec.study
    return registry.register(candidate.name, experiment, candidate.study.name, number, saved, tags)
