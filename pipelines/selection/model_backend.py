"""Backend of the workers that write and score a study's models."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from pipelines.data.prepared import DataSummary
from pipelines.engines.base import Backend
from pipelines.study.study import Study
from pipelines.training.fleet.member import FAMILIES
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import WEIGHTS_FILE


def choose_backend(study: Study, summary: DataSummary, trials: Iterable[PastTrial]) -> Backend:
    """Return the backend that writes or scores the models of complete trials.

    NumPy does for the models of fleets, whose files and predictions are those of TensorFlow: it loads in a second, and
    TensorFlow was not needed before. Only that has layers that take text, and trials outside of fleets have loaded it.
    """
    if not can_use_numpy(study, summary):
        return "tensorflow"
    return "numpy" if all((Path(trial.folder) / WEIGHTS_FILE).exists() for trial in trials) else "tensorflow"


def can_use_numpy(study: Study, summary: DataSummary) -> bool:
    """Return whether NumPy runs every layer of the models of a study's fleets."""
    takes_numbers = all(column.dtype == "float32" for column in summary.raw)
    return study.spec.model in FAMILIES and takes_numbers and importlib.util.find_spec("jax") is not None
