"""Jobs that score models on rows that the search never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.engines.base import JobFunction

if TYPE_CHECKING:
    from pipelines.spec.schema import TrainingSpec
    from pipelines.training.messages import PastTrial


@dataclass(frozen=True)
class Evaluation:
    """A trial whose model is evaluated on the test rows, from raw columns."""

    trial: PastTrial
    training: TrainingSpec


EVALUATE_MODEL: JobFunction[Evaluation, Mapping[str, float]] = JobFunction(
    "pipelines.selection.evaluate:evaluate_model"
)
EVALUATE_MODELS: JobFunction[Sequence[Evaluation | PastTrial], Sequence[Mapping[str, float]]] = JobFunction(
    "pipelines.selection.evaluate:evaluate_models"
)
