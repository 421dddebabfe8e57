"""Jobs that score models on rows that the search never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.engines.base import JobFunction

if TYPE_CHECKING:
    from pipelines.data.raw import PartName
    from pipelines.spec.schema import TrainingSpec
    from pipelines.training.messages import PastTrial


@dataclass(frozen=True)
class Evaluation:
    """A trial whose model is evaluated on the test rows, from raw columns."""

    trial: PastTrial
    training: TrainingSpec


@dataclass(frozen=True)
class WinnerJob:
    """A model that a study delivers, evaluated on some parts of its data.

    Attributes:
        number: number of its trial.
        parts: `test`, `validation` or both: rows that the model was not trained on.
    """

    trial: PastTrial
    number: int
    training: TrainingSpec
    parts: tuple[PartName, ...]
    has_user_model: bool = False


EVALUATE_WINNER: JobFunction[WinnerJob, Mapping[str, float]] = JobFunction(
    "pipelines.selection.winner:evaluate_winner", "scoring the winner"
)
EVALUATE_MODELS: JobFunction[Sequence[Evaluation | PastTrial], Sequence[Mapping[str, float]]] = JobFunction(
    "pipelines.selection.evaluate:evaluate_models", "scoring models"
)
