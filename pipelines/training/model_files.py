"""The files of a trial's trained model: joined with its preprocessing, as a summary, and its weights alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipelines.data.prepare import load_preprocessing
from pipelines.models.compose import compose
from pipelines.training.messages import ARTIFACTS, MODEL_FILE, TrialJob
from pipelines.workspace.atomic_files import aside_of, into_place, write_text
from tracking.testing.failpoints import reach


def write_deployable(job: TrialJob, fold: int, core: keras.Model, *, with_file: bool) -> None:
    """Write the summary of a family's model and, `with_file`, the model that takes raw columns.

    Args:
        job: the trial.
        fold: the fold whose preprocessing goes with it.
        core: the trained model of the family.
        with_file: whether the model itself is written too.
    """
    model = compose(load_preprocessing(Path(job.data), fold), core)
    write_text(Path(job.folder) / ARTIFACTS / "model_summary.txt", summary_of(core) + "\n" + summary_of(model))
    if with_file:
        save_model(model, Path(job.folder) / MODEL_FILE)


def save_model(model: keras.Model, file: Path) -> None:
    """Save a model; a kill leaves either the old file or the whole new one."""
    aside = aside_of(file)
    model.save(aside)
    reach("model-aside")
    into_place(aside, file)
    reach("model-written")


def save_weights(weights: Sequence[np.ndarray[Any, Any]], file: Path) -> None:
    """Save what `get_weights` of a model gives, in its order, as an `.npz` file; written as `save_model` does."""
    aside = aside_of(file)
    np.savez(aside, *weights)
    reach("weights-aside")
    into_place(aside, file)
    reach("weights-written")


def load_weights(file: Path) -> list[np.ndarray[Any, Any]]:
    """Return the weights that `save_weights` wrote, in their order."""
    with np.load(file) as kept:
        return [kept[name] for name in kept.files]


def summary_of(model: keras.Model) -> str:
    """Return Keras's own summary of a model."""
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=110)
    return "\n".join(lines)
