"""Artifacts of a trial beside its model: configuration, history, learning curve; and the trial read back from them.

`config.json` describes the whole trial, so that its model can be rebuilt after the study file has changed.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import EpochDone, PastTrial, TrialJob, TrialResult
from pipelines.training.trial_folder import ARTIFACTS, CONFIG_FILE, read_trial_config
from pipelines.workspace.atomic_files import write_text
from search_spaces.values import Value
from tracking.reports.learning_curve import draw_learning_curve
from tracking.testing.failpoints import hit


def write_artifacts(
    job: TrialJob,
    fold: int,
    requested: Mapping[str, Any],
    result: TrialResult,
    drawn: Mapping[str, Value] | None = None,
) -> None:
    """Write a trial's configuration, its history and its curve.

    Args:
        job: the trial.
        fold: the fold whose model is kept.
        requested: every hyperparameter that the model requested, with its value.
        result: the trial's result.
        drawn: hyperparameters that the kept model requested and the space does not declare.
    """
    folder = Path(job.folder) / ARTIFACTS
    write_text(folder / "history.csv", _format_history(result.epochs))
    hit("history-written")
    config = json.dumps(_describe(job, fold, requested, drawn or {}), indent=2, default=str)
    write_text(folder / CONFIG_FILE, config + "\n")
    draw_learning_curve(
        folder / "learning_curve.png", [done.metrics for done in result.epochs], job.metric, result.value
    )


def read_trial(past: PastTrial) -> tuple[TrialJob, int]:
    """Return a trial of a shipped family and the fold whose model is kept, from its files; it has no rungs.

    Raises:
        FileNotFoundError: if the trial left no configuration.
    """
    written = read_trial_config(Path(past.folder))
    job = TrialJob(
        study=written["study"],
        number=written["trial"],
        values=written["params"],
        per_layer=frozenset(written["per_layer"]),
        seed=written["seed"],
        model=written["model"],
        training=TrainingSpec.model_validate_json(json.dumps(written["training"])),
        data=past.data,
        folder=past.folder,
        metric=written["objective"]["metric"],
        direction=written["objective"]["direction"],
        rungs=frozenset(),  # a trial that is read back is never pruned
    )
    return job, written["fold"]


def _format_history(epochs: Sequence[EpochDone]) -> str:
    out = io.StringIO()
    names = dict.fromkeys(name for done in epochs for name in done.metrics)
    writer = csv.DictWriter(out, ["epoch", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": done.epoch, **done.metrics} for done in epochs)
    return out.getvalue()


def _describe(job: TrialJob, fold: int, requested: Mapping[str, Any], drawn: Mapping[str, Value]) -> dict[str, Any]:
    return {
        "study": job.study,
        "trial": job.number,
        "model": job.model,
        **({"base": job.user_model.base} if job.user_model else {}),
        "seed": job.seed,
        "params": {**job.values, **drawn},
        "per_layer": sorted(job.per_layer),
        # An inactive conditional hyperparameter has the value None.
        "requested": {name: value for name, value in requested.items() if value is not None},
        "training": job.training.model_dump(mode="json"),
        "objective": {"metric": job.metric, "direction": job.direction},
        "fold": fold,
        "keras": keras.version(),
        # Bit-equal results need the same number of threads.
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
    }
