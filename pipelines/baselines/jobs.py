"""Job that scores a study's baselines; importing it loads nothing that only workers need."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.baselines.results import Baselines
from pipelines.engines.base import JobFunction
from pipelines.spec.schema import TrainingSpec
from search_spaces.values import Direction


@dataclass(frozen=True)
class BaselinesJob:
    """Baselines to score.

    Attributes:
        data: folder of the prepared data.
        folder: the study's folder, which gets the results.
        training: the study's training settings: its loss and metrics.
        metric: the objective.
        is_compiled: whether a user model's code defines the metrics.
        output: the head that it scores, of several; empty otherwise.
    """

    data: str
    folder: str
    training: TrainingSpec
    metric: str
    direction: Direction
    is_compiled: bool = False
    output: str = ""


SCORE_BASELINES: JobFunction[BaselinesJob, Baselines] = JobFunction(
    "pipelines.baselines.score:score_baselines", "baselines"
)
