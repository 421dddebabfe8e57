"""Files with the evaluation of a delivered model, in the folder of that model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pipelines.training.messages import PastTrial
from pipelines.workspace.atomic_files import write_text
from tracking.reports.content import Evaluation, ForecastEvaluation, ForecastSeries, OriginScore, PartEvaluation

WINNER_ARTIFACTS: Final = "winner"
"""Folder in a model's folder with what its run in MLflow gets once it has won."""
_FOLDER: Final = "evaluation"
_FILE: Final = "evaluation.json"
_IN_MLFLOW: Final = ("calibration_error", "f1_macro", "bias", "r2_score")


def locate_evaluation(folder: Path) -> Path:
    """Return the folder with the evaluation of a model, given the model's folder."""
    return folder / WINNER_ARTIFACTS / _FOLDER


def write_evaluation(
    folder: Path,
    trial: int,
    classes: Sequence[str],
    parts: Mapping[str, Any],
    heads: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write the evaluation of a model into its folder; nothing where there is none.

    Args:
        folder: the model's folder.
        trial: its number.
        classes: names of the classes.
        parts: summary of the predictions for each part.
        heads: of several heads, for each output its `target`, `classes` and `parts`.
    """
    if parts or heads:
        content = {"trial": trial, "classes": list(classes), "parts": parts, "heads": heads or {}}
        write_text(locate_evaluation(folder) / _FILE, json.dumps(content))


def read_evaluation(trial: PastTrial) -> Evaluation | None:
    """Return the evaluation of a delivered model; None where it was not evaluated."""
    file = locate_evaluation(Path(trial.folder)) / _FILE
    if not file.exists():
        return None
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    evaluation = _read_parts(read["trial"], read)
    # An earlier version had no heads.
    heads = {output: _read_parts(read["trial"], head) for output, head in read.get("heads", {}).items()}
    return replace(evaluation, heads=heads)


def _read_parts(trial: int, read: Mapping[str, Any]) -> Evaluation:
    parts = {name: _read_part(part) for name, part in read["parts"].items()}
    return Evaluation(trial, tuple(read["classes"]), parts, target=read.get("target", ""))


def list_evaluation_metrics(evaluation: Evaluation | None) -> dict[str, float]:
    """Return what MLflow gets of an evaluation: metrics that training has not reported, the part before each name."""
    if evaluation is None:
        return {}
    found: dict[str, float] = {}
    for name, part in evaluation.parts.items():
        chosen = {metric: part.metrics[metric] for metric in _IN_MLFLOW if metric in part.metrics}
        if part.auc:
            chosen["roc_auc"] = sum(part.auc.values()) / len(part.auc)
        found |= {f"{name}_{metric}": value for metric, value in chosen.items()}
        if part.forecast is not None and (pairs := part.forecast.compared):
            found[f"{name}_rolling_origin_mae"] = sum(error for error, _ in pairs) / len(pairs)
            found[f"{name}_rolling_origin_naive_mae"] = sum(other for _, other in pairs) / len(pairs)
            found[f"{name}_rolling_origins"] = float(len(pairs))
            found[f"{name}_rolling_origins_better"] = float(sum(error < other for error, other in pairs))
    for output, head in evaluation.heads.items():
        for measured, value in list_evaluation_metrics(head).items():
            of_part, _, metric = measured.partition("_")
            found[f"{of_part}_{output}_{metric}"] = value
    return found


def describe_forecast(trial: PastTrial) -> str:
    """Return a delivered model's errors over several origins in one sentence; empty where it makes no forecasts."""
    evaluation = read_evaluation(trial)
    for name in ("test", "validation"):
        part = evaluation.parts.get(name) if evaluation else None
        if part is not None and part.forecast is not None and (found := part.forecast.describe()):
            return f"on {name} rows {found}"
    return ""


def _read_forecast(read: dict[str, Any]) -> ForecastEvaluation:
    series = [
        ForecastSeries(
            each["name"],
            [(at, value) for at, value in each["actual"]],
            [[(at, value) for at, value in one] for one in each["forecasts"]],
        )
        for each in read["series"]
    ]
    origins = [OriginScore(**each) for each in read["origins"]]
    steps = [(step, error, naive) for step, error, naive in read["steps"]]
    return ForecastEvaluation(**{**read, "origins": origins, "steps": steps, "series": series})


def _read_part(read: dict[str, Any]) -> PartEvaluation:
    """Return the evaluation on one part; JSON has lists where it has tuples."""
    pairs = {
        key: {name: [(x, y) for x, y in each] for name, each in read.get(key, {}).items()}
        for key in ("roc", "residuals")
    }
    return PartEvaluation(
        **{
            **read,
            **pairs,
            "calibration": [(x, y, count) for x, y, count in read.get("calibration", ())],
            "intervals": {name: (low, high) for name, (low, high) in read["intervals"].items()},
            "forecast": _read_forecast(read["forecast"]) if read.get("forecast") else None,
        }
    )
