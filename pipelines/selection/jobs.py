"""Job that scores a winner on the test rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.engines.base import JobFunction

if TYPE_CHECKING:
    from pipelines.selection.evaluate import Evaluation

EVALUATE_MODEL: JobFunction[Evaluation, Mapping[str, float]] = JobFunction(
    "pipelines.selection.evaluate:evaluate_model"
)
