"""Evaluation of a winner's model on the test rows, which the search never saw: its job, payload and scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.engines.base import Channel, Job
from pipelines.selection.jobs import EVALUATE_MODEL, Evaluation
from pipelines.selection.model_locations import find_winning_model
from pipelines.study.study import Study
from pipelines.training.jobs import EVALUATE_USER_MODEL
from pipelines.training.trial_folder import TEST_FILE
from pipelines.workspace.atomic_files import write_text
from pipelines.workspace.home import Home


def make_evaluation_job(study: Study, home: Home, number: int) -> Job[Any, Mapping[str, float]]:
    """Return the job that evaluates the winning model on the test rows; its result is that of `evaluate_model`."""
    trial = find_winning_model(study, home, number)
    log = Path(trial.folder) / "test.log"
    if study.has_user_model:
        return Job("test", EVALUATE_USER_MODEL, trial, log)
    return Job("test", EVALUATE_MODEL, Evaluation(trial, study.spec.training), log)


def evaluate_model(payload: Evaluation, channel: Channel) -> Mapping[str, float]:
    """Return the model's metrics on the test rows, by Keras's names with `test_` before them."""
    # Imported here, not above: Keras is loaded in workers only, and the supervisor imports this module.
    import keras
    import numpy as np

    from pipelines.data.prepared_folder import load_part, load_raw, load_summary
    from pipelines.models.losses import score_predictions
    from pipelines.models.raw_predict import predict_raw
    from pipelines.training.write_models import ensure_model_file

    data = Path(payload.trial.data)
    model = keras.models.load_model(ensure_model_file(payload.trial))
    predictions = predict_raw(model, load_raw(data, "test"))
    rows = load_part(data, "test")
    found = score_predictions(
        load_summary(data).task, payload.training, np.asarray(rows.y), predictions, rows.sample_weight
    )
    scores = {f"test_{name}": value for name, value in found.items()}
    write_text(Path(payload.trial.folder) / TEST_FILE, json.dumps(scores))
    return scores


def read_test_scores(study: Study, home: Home, number: int) -> Mapping[str, float]:
    """Return a winner's metrics on the test rows; empty where it was not evaluated on them."""
    file = Path(find_winning_model(study, home, number).folder) / TEST_FILE
    scores: Mapping[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return scores
