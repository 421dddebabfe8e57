"""Files of a trial's trained model: the model with its preprocessing, its summary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from pipelines.data.stored_preprocessing import load_preprocessing
from pipelines.models.compose import compose
from pipelines.training.messages import TrialJob
from pipelines.training.trial_folder import ARTIFACTS, MODEL_FILE
from pipelines.workspace.atomic_files import make_temporary_path, move_into_place, write_text
from tracking.testing.failpoints import hit


def write_deployment_model(job: TrialJob, fold: int, core: keras.Model, *, with_file: bool) -> None:
    """Write the summary of a family's model and, `with_file`, the model that takes raw columns.

    Args:
        job: the trial.
        fold: the fold whose preprocessing goes with it.
        core: the trained model of the family.
        with_file: whether the model itself is written too.
    """
    model = compose(load_preprocessing(Path(job.data), fold), core)
    write_text(
        Path(job.folder) / ARTIFACTS / "model_summary.txt", summarize_model(core) + "\n" + summarize_model(model)
    )
    if with_file:
        save_model(model, Path(job.folder) / MODEL_FILE)


def save_model(model: keras.Model, file: Path) -> None:
    """Save a model without its compilation; a kill leaves either the old file or the whole new one."""
    aside = make_temporary_path(file)
    # Keras empties an existing file before it writes: on a full disk neither model would be left.
    with _hide_compilation(model):
        model.save(aside)
    hit("model-aside")
    move_into_place(aside, file)
    hit("model-written")


@contextmanager
def _hide_compilation(model: keras.Model) -> Iterator[None]:
    """Let Keras save the model without loss, metrics and optimizer: a user's own could not be loaded alone."""
    compiled = model.compiled
    model.compiled = False
    try:
        yield
    finally:
        model.compiled = compiled


def summarize_model(model: keras.Model) -> str:
    """Return Keras's summary of a model."""
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=110)
    return "\n".join(lines)
