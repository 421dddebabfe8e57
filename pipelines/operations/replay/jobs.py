"""Job that compares the weights of two trainings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.engines.base import JobFunction

if TYPE_CHECKING:
    from pipelines.operations.replay.compare_weights import WeightsJob
    from pipelines.operations.replay.comparison import ItemComparison

COMPARE_WEIGHTS: JobFunction[WeightsJob, ItemComparison] = JobFunction(
    "pipelines.operations.replay.compare_weights:compare_weights"
)
