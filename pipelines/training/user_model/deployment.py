"""Files of a complete trial's user model: its weights, its code, its outputs, and the file that Keras loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from pipelines.data.examples.model_tensors import make_tensors
from pipelines.data.prepared_folder import load_examples_part, load_summary
from pipelines.models.model_outputs import describe_outputs
from pipelines.models.symbolic_inputs import list_input_shapes
from pipelines.models.user_model import has_call
from pipelines.training.messages import TrialJob
from pipelines.training.trial_folder import (
    ARTIFACTS,
    CODE_NOTE_FILE,
    MODEL_FACTS_FILE,
    MODEL_FILE,
    MODEL_NOTE_FILE,
    USER_MODEL_WEIGHTS_FILE,
    write_model_note,
)
from pipelines.training.user_model.model_code import CodeNotKeptError, CodeOrigin, keep_preprocessing, write_model_code
from pipelines.training.user_model.model_file import ModelFileError, save_user_model
from pipelines.training.weight_files import save_weights
from pipelines.workspace.atomic_files import write_text
from search_spaces.errors import InputError


def write_user_model(model: keras.Model, job: TrialJob, fold: int, values: Mapping[str, Any]) -> None:
    """Write the model of a complete trial, as far as it can be written; a note has the reason for what is missing.

    Args:
        model: the trained model.
        job: the trial.
        fold: the fold that it was trained on.
        values: all hyperparameters that its code requested.
    """
    folder = Path(job.folder)
    if model.weights:
        # First: the trial keeps its score and its weights, whatever else fails.
        save_weights(model.get_weights(), folder / USER_MODEL_WEIGHTS_FILE)
    if has_call(model):
        _keep_code(job, values, [weight.path for weight in model.weights])
    # Of an earlier attempt, which may have failed for want of memory.
    (folder / ARTIFACTS / MODEL_NOTE_FILE).unlink(missing_ok=True)
    facts: dict[str, Any] = {
        "shapes": list_input_shapes(model, load_summary(Path(job.data))),
        "outputs": _describe_outputs(model, job, fold),
        "needs_code": False,
    }
    try:
        facts["needs_code"] = save_user_model(model, job, fold, folder / MODEL_FILE)
    except ModelFileError as error:
        write_model_note(folder, f"its model cannot be saved: {error}")
        keep_preprocessing(folder, Path(job.data), fold)
    write_text(folder / ARTIFACTS / MODEL_FACTS_FILE, json.dumps(facts, indent=2) + "\n")


def _keep_code(job: TrialJob, values: Mapping[str, Any], weights: list[str]) -> None:
    folder, base = Path(job.folder), Path(job.user_model.base) if job.user_model else Path()
    try:
        write_model_code(folder, CodeOrigin(job.model, base, values, weights), load_summary(Path(job.data)))
    except (CodeNotKeptError, InputError) as error:
        write_text(folder / ARTIFACTS / CODE_NOTE_FILE, f"{error}\n")


def _describe_outputs(model: keras.Model, job: TrialJob, fold: int) -> list[dict[str, Any]]:
    row = load_examples_part(Path(job.data), "train", fold).take(slice(1))
    try:
        outputs = model(make_tensors(row.x), training=False)
    # Any code may run in a user model's call, and a `fit` of the user's may never have called it.
    except Exception:
        return []
    return [each._asdict() for each in describe_outputs(outputs, getattr(model, "output_names", None) or ())]
