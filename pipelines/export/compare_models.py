"""Comparison of two models on a study's held-out rows: a trial's model, and a rival of any study.

The rival's file comes from MLflow, where anybody may have put it. So it is loaded only in a worker process, by Keras in
its safe mode. It predicts from the raw columns that it has as inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.data.prepared import DataSummary
from pipelines.data.prepared_folder import load_summary
from pipelines.data.raw_inputs import Pack, arrange_names, make_pack
from pipelines.engines.base import Channel
from pipelines.export.base import Outputs
from pipelines.export.held_out import count_compared, find_held_out_part, iterate_held_out
from pipelines.export.scoring import Deciding, make_scorer
from pipelines.training.messages import PastTrial
from search_spaces.values import Direction

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ComparisonJob:
    """Job of the worker.

    Attributes:
        trial: the trial; its study has the rows.
        model: the trial's model as it was registered; the one in its folder where None.
        rival: file of the rival; None where there is none.
        rival_task: task in the rival's metadata; None where there is none.
    """

    trial: PastTrial
    model: str | None
    rival: str | None
    rival_task: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ModelComparison:
    """Metrics of two models on the same rows.

    Attributes:
        part: the part of the data; the validation part, by which the search chose, where there is no test part.
        metric: the deciding metric: the study's objective, or another one where the objective needs more than
            predictions; empty for a user model whose predictions have no score.
        direction: direction of the deciding metric.
        scores: the finite metrics of the trial's model.
        rival_scores: those of the rival; empty where it was not compared.
        incompatibility: reason why it was not.
    """

    part: Literal["test", "validation"]
    rows: int
    metric: str
    direction: Direction
    scores: Mapping[str, float]
    rival_scores: Mapping[str, float] = field(default_factory=dict)
    incompatibility: str = ""

    @property
    def is_as_good(self) -> bool:
        """Return whether the trial's model is at least as good."""
        ours, theirs = (scores.get(self.metric, math.nan) for scores in (self.scores, self.rival_scores))
        # NaN, for a missing score, is never as good: both comparisons are false.
        return ours <= theirs if self.direction == "minimize" else ours >= theirs


def compare_models(job: ComparisonJob, channel: Channel) -> ModelComparison:
    """Score both models on the held-out rows; a job.

    Both are scored by what the trial's model was trained with.

    Raises:
        KerastudyError: if the code of a user model is not there, or raises.
    """
    from pipelines.models.raw_predict import predict_parts
    from pipelines.training.deployed_model import load_deployed_model, load_registered_model

    part = find_held_out_part(job.trial)
    pack = make_pack(arrange_names(load_summary(Path(job.trial.data))))
    # The trial's registered file comes from MLflow, as the rival's does.
    is_registered = job.model is not None
    model = load_registered_model(Path(job.model or ""), job.trial) if is_registered else load_deployed_model(job.trial)
    predictions = predict_parts(model, iterate_held_out(job.trial), pack)
    channel.beat()
    rivals, incompatibility = _predict_rival(job, pack, predictions)
    channel.beat()
    scorer = make_scorer(job.trial, part, count_compared(job.trial))
    scores, rival_scores = scorer.score(predictions), scorer.score(rivals) if rivals else {}
    deciding = scorer.choose(scores) or Deciding("", minimize=True)
    if not deciding.metric:
        incompatibility = (
            incompatibility or "the model has no score: its code does not compile it, or tests it by itself"
        )
    direction: Direction = "minimize" if deciding.minimize else "maximize"
    rows_compared = len(predictions[0])
    return ModelComparison(part, rows_compared, deciding.metric, direction, scores, rival_scores, incompatibility)


def _predict_rival(job: ComparisonJob, pack: Pack, expected: Outputs) -> tuple[Outputs, str]:
    """Return the rival's predictions, or the reason why there are none."""
    from pipelines.models.raw_predict import predict_parts
    from pipelines.training.deployed_model import load_registered_model

    if job.rival is None:
        return (), ""
    try:
        rival = load_registered_model(Path(job.rival), job.trial)
        summary = load_summary(Path(job.trial.data))
        if incompatibility := _find_incompatibility(rival, job.rival_task, summary):
            return (), incompatibility
        # A model of a table may take fewer columns.
        taken = None if summary.given is not None else [each.name for each in rival.inputs]
        parts = iterate_held_out(job.trial)
        rivals = predict_parts(
            rival, (raw if taken is None else {name: raw[name] for name in taken} for raw in parts), pack
        )
    except Exception as error:  # a foreign file may raise any exception
        # A foreign file must not fail the comparison: the trial's model has scores all the same.
        message = str(error).strip().splitlines() or [""]
        return (), f"it cannot be loaded here, or does not predict: {type(error).__name__}: {message[0][:300]}"
    difference = _find_other_outputs(rivals, expected)
    return () if difference else rivals, difference


def _find_other_outputs(rivals: Outputs, expected: Outputs) -> str:
    """Return in what the outputs of two models differ; empty where they have the same shapes."""
    gives, should_give = (" and ".join(str(list(each.shape[1:])) for each in many) for many in (rivals, expected))
    return "" if gives == should_give else f"it gives {gives} numbers for a row, {should_give} are expected"


def _find_incompatibility(rival: keras.Model, rival_task: Mapping[str, Any] | None, summary: DataSummary) -> str:
    """Return why a model cannot predict for this study's rows; empty where it can."""
    if summary.given is not None:
        return _find_other_task(rival_task, summary)
    known = {column.name: (column.dtype, tuple(column.shape)) for column in summary.raw}
    taken = {each.name: (str(each.dtype), tuple(each.shape[1:])) for each in rival.inputs}
    lacking = sorted(name for name in taken if name not in known)
    if lacking:
        return f"it takes {_quote_names(lacking)}, which this study's data lacks"
    others = sorted(name for name, kind in taken.items() if kind != known[name])
    if others:
        return f"it takes {_quote_names(others)} in another form than this study's data has"
    return _find_other_task(rival_task, summary)


def _find_other_task(rival_task: Mapping[str, Any] | None, summary: DataSummary) -> str:
    """Return in what a model's task differs from the study's."""
    task = summary.task
    # Other classes in the same number would go unnoticed: the model predicts, and every prediction is wrong.
    for key, expected in task.to_metadata().items():
        # A model without metadata is compared by its inputs and outputs alone.
        if rival_task is not None and rival_task.get(key) != expected:
            return f"it predicts {key} {rival_task.get(key)}, and this study {expected}"
    return ""


def _quote_names(names: list[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
