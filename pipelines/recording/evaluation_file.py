"""File with the evaluation of a delivered model, in the folder of that model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pipelines.training.messages import PastTrial
from tracking.reports.content import Evaluation, PartEvaluation

EVALUATION: Final = "evaluation"
"""Folder in a model's folder with its evaluation; MLflow shows its files in the model's run."""
EVALUATION_FILE: Final = "evaluation.json"


def read_evaluation(trial: PastTrial) -> Evaluation | None:
    """Return the evaluation of a delivered model; None where it was not evaluated."""
    folder = Path(trial.folder)
    file = folder / EVALUATION / EVALUATION_FILE
    if not file.exists():
        return None
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    parts = {name: _read_part(part) for name, part in read["parts"].items()}
    return Evaluation(read["trial"], tuple(read["classes"]), parts)


def _read_part(read: dict[str, Any]) -> PartEvaluation:
    """Return the evaluation on one part; JSON has lists where it has tuples."""
    pairs = {key: {name: [(x, y) for x, y in each] for name, each in read[key].items()} for key in ("roc", "residuals")}
    return PartEvaluation(
        **{
            **read,
            **pairs,
            "calibration": [(x, y, count) for x, y, count in read["calibration"]],
            "intervals": {name: (low, high) for name, (low, high) in read["intervals"].items()},
        }
    )
