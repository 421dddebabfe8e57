"""Evaluation of models on rows that the search never saw: the winner's on the test rows, others on rows held out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.engines.base import Channel, Job
from pipelines.selection.finalists import ENSEMBLE, REFIT
from pipelines.selection.jobs import EVALUATE_MODEL, EVALUATE_MODELS, Evaluation
from pipelines.selection.model_locations import find_winning_model
from pipelines.study.study import Study
from pipelines.training.jobs import EVALUATE_USER_MODEL
from pipelines.training.messages import PastTrial
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


def make_comparison_job(
    study: Study, trials: Sequence[PastTrial], log: Path
) -> Job[Any, Sequence[Mapping[str, float]]]:
    """Return the job that evaluates several models, each on the test part of its own data."""
    if study.has_user_model:
        return Job("compare-refit", EVALUATE_MODELS, tuple(trials), log)
    return Job("compare-refit", EVALUATE_MODELS, tuple(Evaluation(each, study.spec.training) for each in trials), log)


def evaluate_models(payload: Sequence[Evaluation | PastTrial], channel: Channel) -> Sequence[Mapping[str, float]]:
    """Return what `evaluate_model` and `evaluate_user_model` return for each model."""
    from pipelines.training.user_model.evaluate import evaluate_user_model

    scores: list[Mapping[str, float]] = []
    for each in payload:
        channel.beat()
        if isinstance(each, Evaluation):
            scores.append(_evaluate(each))
        else:
            scores.append(evaluate_user_model(each, channel))
    return scores


def evaluate_model(payload: Evaluation, channel: Channel) -> Mapping[str, float]:
    """Return the model's loss and metrics on the test rows, by Keras's names with `test_` before them."""
    scores = _evaluate(payload)
    write_text(Path(payload.trial.folder) / TEST_FILE, json.dumps(scores))
    return scores


def _evaluate(payload: Evaluation) -> dict[str, float]:
    # Imported here, not above: Keras is loaded in workers only, and the supervisor imports this module.
    import keras
    import numpy as np

    from pipelines.data.prepared_folder import load_part, load_raw, load_summary
    from pipelines.models.losses import build_loss_with_smoothing, score_predictions
    from pipelines.models.raw_predict import predict_raw
    from pipelines.training.write_models import ensure_model_file

    data = Path(payload.trial.data)
    model = keras.models.load_model(ensure_model_file(payload.trial))
    predictions = predict_raw(model, load_raw(data, "test"))
    rows, task = load_part(data, "test"), load_summary(data).task
    y = np.asarray(rows.y)
    found = score_predictions(task, payload.training, y, predictions, rows.sample_weight)
    # Without label smoothing and penalties on weights, which belong to the training and not to a score.
    loss = build_loss_with_smoothing(task, payload.training, 0.0)
    found = {"loss": float(np.mean(loss(y, predictions, sample_weight=rows.sample_weight))), **found}
    return {f"test_{name}": value for name, value in found.items()}


def list_trials_with_scores(home: Home, study: str) -> tuple[int, ...]:
    """Return the numbers of the trials whose model, refit or ensemble was scored on the test rows."""
    folder = home.locate_study(study)
    made = (folder.glob(f"retrainings/*/{name}/{TEST_FILE}") for name in (REFIT, ENSEMBLE))
    files = (*folder.glob(f"trials/*/{TEST_FILE}"), *(file for files in made for file in files))
    return tuple(sorted({int(file.relative_to(folder).parts[1]) for file in files}))


def read_test_scores(study: Study, home: Home, number: int) -> Mapping[str, float]:
    """Return a winner's metrics on the test rows; empty where it was not evaluated on them."""
    file = Path(find_winning_model(study, home, number).folder) / TEST_FILE
    scores: Mapping[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return scores
