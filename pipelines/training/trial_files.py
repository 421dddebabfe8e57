"""What a trial leaves in its folder beside its model, whatever trained it, and the trial read back from there.

`config.json` says all that the trial was, so that its model can be built again when the study's file has changed.
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
from pipelines.training.messages import ARTIFACTS, EpochDone, PastTrial, TrialJob, TrialResult
from pipelines.workspace.atomic_files import write_text
from tracking.outbox.records import Value
from tracking.reports.learning_curve import learning_curve
from tracking.testing.failpoints import reach

_CONFIG_FILE = "config.json"


def write_files(
    job: TrialJob, fold: int, asked: Mapping[str, Any], result: TrialResult, drawn: Mapping[str, Value] | None = None
) -> None:
    """Write a trial's configuration, its history and its curve.

    Args:
        job: the trial.
        fold: the fold whose model is kept.
        asked: every hyperparameter that the model asked for, with its value.
        result: how the trial ended.
        drawn: hyperparameters that the kept model asked for and the space does not declare.
    """
    folder = Path(job.folder) / ARTIFACTS
    write_text(folder / "history.csv", _history_csv(result.epochs))
    reach("history-written")
    config = json.dumps(_config(job, fold, asked, drawn or {}), indent=2, default=str)
    write_text(folder / _CONFIG_FILE, config + "\n")
    learning_curve(folder / "learning_curve.png", [done.metrics for done in result.epochs], job.metric)


def read_trial(past: PastTrial) -> tuple[TrialJob, int]:
    """Return a trial of a shipped family and the fold whose model is kept, as its files say; it has no rungs.

    Raises:
        FileNotFoundError: if the trial left no configuration.
    """
    written = json.loads((Path(past.folder) / ARTIFACTS / _CONFIG_FILE).read_text(encoding="utf-8"))
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
        rungs=frozenset(),
    )
    return job, written["fold"]


def _history_csv(epochs: Sequence[EpochDone]) -> str:
    out = io.StringIO()
    names = dict.fromkeys(name for done in epochs for name in done.metrics)
    writer = csv.DictWriter(out, ["epoch", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": done.epoch, **done.metrics} for done in epochs)
    return out.getvalue()


def _config(job: TrialJob, fold: int, asked: Mapping[str, Any], drawn: Mapping[str, Value]) -> dict[str, Any]:
    return {
        "study": job.study,
        "trial": job.number,
        "model": job.model,
        **({"base": job.own.base} if job.own else {}),
        "seed": job.seed,
        "params": {**job.values, **drawn},
        "per_layer": sorted(job.per_layer),
        "asked": {name: value for name, value in asked.items() if value is not None},
        "training": job.training.model_dump(mode="json"),
        "objective": {"metric": job.metric, "direction": job.direction},
        "fold": fold,
        "keras": keras.version(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
    }
