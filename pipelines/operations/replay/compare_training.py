"""Comparison of two trainings of a trial: outcome, configuration, code, environment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.engines.base import Engine, Job
from pipelines.engines.run_job import run_job
from pipelines.operations.replay.compare_weights import WeightsJob
from pipelines.operations.replay.comparison import (
    ItemComparison,
    compare_curves,
    compare_mappings,
    compare_number,
    compare_values,
    tolerance_for,
)
from pipelines.operations.replay.jobs import COMPARE_WEIGHTS
from pipelines.operations.replay.rerun import RecordedTrial, TrainingOutcome
from pipelines.recording.provenance import describe_environment, hash_code
from pipelines.study.fingerprint import StudyFingerprint
from pipelines.study.study import Study
from pipelines.supervisor.trial_jobs import compute_trial_seed

# A reason names the attempt, and a replay has one.
_ATTEMPTS = re.compile(r" \(attempt \d+ of \d+\)$")


def compare_outcomes(
    past: TrainingOutcome, now: TrainingOutcome, recorded: Path, folder: Path, engine: Engine
) -> Iterator[ItemComparison]:
    """Compare the outcomes of two trainings.

    Args:
        past: the recorded one.
        now: the new one.
        recorded: the trial's folder.
        folder: the folder of the new training.
        engine: runs the job that compares the weights.
    """
    tolerance = tolerance_for(past.trainer, now.trainer)
    # The first item: a trial that failed then and now is equal without any epoch.
    yield compare_values("result", "state", past.state, now.state, "" if past.state == now.state else now.reason)
    if past.state == "failed" or past.was_rejected:
        reasons = (_ATTEMPTS.sub("", outcome.reason) for outcome in (past, now))
        yield compare_values("result", "reason", *reasons)
    if past.epochs:
        yield from compare_curves(past.epochs, now.epochs, tolerance)
    elif past.state == "complete":
        yield ItemComparison("result", "epochs", "unknown", note=f"the trial's files are gone from {recorded}")
    if past.value is not None:
        yield compare_values("result", "best epoch", past.best_epoch, now.best_epoch)
        yield compare_number("result", "score", past.value, now.value, tolerance)
    if past.state == now.state == "complete":
        payload = WeightsJob(str(recorded), str(folder), tolerance)
        job = Job("weights", COMPARE_WEIGHTS, payload, folder.parent / "weights.log")
        yield run_job(engine, job)


def compare_configurations(study: Study, trial: RecordedTrial, now: TrainingOutcome) -> Iterator[ItemComparison]:
    """Compare the seeds, values and settings of two trainings."""
    past = trial.outcome
    # The study's seed may be changed in its file; it is no part of the fingerprint.
    used, seed = past.config.get("seed"), compute_trial_seed(study.spec.search.seed, trial.number)
    note = "" if used in (None, seed) else "the study's seed has changed since; the trial's recorded one was used"
    yield compare_values("trial", "seed", used, seed, note)
    if now.config:
        yield compare_mappings("trial", "values", trial.summary.params, now.config["params"])
        yield compare_mappings("trial", "defaults", _extract_defaults(past.config), _extract_defaults(now.config) or {})
        yield compare_mappings("trial", "training", _extract_training(past.config), _extract_training(now.config) or {})
    if past.trainer and now.trainer:
        yield compare_values("trial", "trainer", past.trainer, now.trainer)


def _extract_defaults(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the hyperparameters that a model requested and that the trial has no values of."""
    if not config:
        return None
    return {name: value for name, value in config["requested"].items() if name not in config["params"]}


def _extract_training(config: Mapping[str, Any]) -> dict[str, Any] | None:
    return {**config["training"], **config["objective"]} if config else None


def compare_code(study: Study, fingerprint: StudyFingerprint | None, report: Path) -> Iterator[ItemComparison]:
    """Compare the digests of the study's code and of kerastudy's code.

    Args:
        study: the study.
        fingerprint: the fingerprint that it was submitted with.
        report: the study's report folder.
    """
    recorded, now = _read_json(report / "code.json"), hash_code(study)
    for name in {**recorded, **now}:
        was = recorded.get(name)
        if was is None and study.has_user_model and name == study.spec.model.rpartition(":")[0]:
            yield _compare_by_fingerprint(study, fingerprint, name)
        else:
            yield compare_values("code", name, was, now.get(name))


def _compare_by_fingerprint(study: Study, fingerprint: StudyFingerprint | None, name: str) -> ItemComparison:
    """Compare the code of a user model by the study's fingerprint: older studies have no other digest of it."""
    same = study.compute_fingerprint().has_same_definition(fingerprint)
    return ItemComparison("code", name, "equal" if same else "different", note="by the study's digest")


def compare_environments(report: Path) -> Iterator[ItemComparison]:
    """Compare the versions of the packages, the platform and the cores with those in the report folder."""
    recorded, now = _read_json(report / "environment.json"), describe_environment()
    for name in {**recorded, **now}:
        yield compare_values("environment", name, recorded.get(name), now.get(name))


def _read_json(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return read
