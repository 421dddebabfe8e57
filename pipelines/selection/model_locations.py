"""The winner's scores on rows that the search never saw, and the files of the models that are kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.engines.base import Channel, Job
from pipelines.selection.finalists import ENSEMBLE, REFIT
from pipelines.selection.jobs import EVALUATE_MODEL
from pipelines.spec.schema import TrainingSpec
from pipelines.study.study import Study
from pipelines.training.jobs import EVALUATE_USER_MODEL, WRITE_MODELS
from pipelines.training.messages import PastTrial, UserModelEvaluation
from pipelines.training.trial_folder import MODEL_FILE, RESULT_FILE, TEST_FILE
from pipelines.workspace.atomic_files import write_text
from pipelines.workspace.home import Home


@dataclass(frozen=True)
class Evaluation:
    """A trial whose model is to be scored on the test rows, from raw columns."""

    trial: PastTrial
    training: TrainingSpec


@dataclass(frozen=True)
class EnsembleJob:
    """Models to average.

    Attributes:
        trials: where they are.
        winner: which of them won.
        folder: where the average goes, as a trial's files do.
    """

    trials: tuple[PastTrial, ...]
    winner: int
    folder: str


def evaluation_job(study: Study, home: Home, number: int) -> Job[Any, Mapping[str, float]]:
    """Return the job that scores the model that a winner hands over on the test rows; its result is `evaluate`'s."""
    trial = handed_over(study, home, number)
    log = Path(trial.folder) / "test.log"
    if study.has_user_model:
        own = UserModelEvaluation(study.spec.model, str(study.base), trial.data, trial.folder)
        return Job("test", EVALUATE_USER_MODEL, own, log)
    return Job("test", EVALUATE_MODEL, Evaluation(trial, study.spec.training), log)


def handed_over(study: Study, home: Home, number: int) -> PastTrial:
    """Return where the model is that a study hands over if a trial wins: its refit if there is one, or else its own."""
    return (refit_of if is_refitted(study, home, number) else past_trial)(home, study.name, number)


def refit_of(home: Home, study: str, number: int) -> PastTrial:
    """Return where a trial's refit is."""
    return PastTrial(str(home.retraining(study, number, REFIT)), str(home.data_anew(study, 1)))


def is_refitted(study: Study, home: Home, number: int) -> bool:
    """Say whether a trial was trained once more on training and validation rows, and the study file asks for that."""
    folder = home.retraining(study.name, number, REFIT)
    return study.spec.selection.refit and (folder / RESULT_FILE).exists()


def ensemble_of(study: Study, home: Home, number: int) -> PastTrial | None:
    """Return where the ensemble is that goes with a winner; None where there is none that beats it."""
    folder = home.retraining(study.name, number, ENSEMBLE)
    is_made = study.spec.selection.ensemble and (folder / MODEL_FILE).exists()
    return PastTrial(str(folder), str(home.data(study.name))) if is_made else None


def models_job(home: Home, study: str, numbers: Iterable[int]) -> Job[Sequence[PastTrial], None]:
    """Return the job that writes the models of trials that left their weights alone."""
    trials = tuple(past_trial(home, study, number) for number in numbers)
    return Job("models", WRITE_MODELS, trials, home.study(study) / "models.log")


def past_trial(home: Home, study: str, number: int) -> PastTrial:
    """Return where a trial of a study is."""
    return PastTrial(str(home.trial(study, number)), str(home.data(study)))


def evaluate(payload: Evaluation, channel: Channel) -> Mapping[str, float]:
    """Return the model's metrics on the test rows, by Keras's names with `test_` before them."""
    import keras
    import numpy as np

    from pipelines.data.prepared_folder import load_part, load_raw, load_summary
    from pipelines.models.losses import build_metrics
    from pipelines.models.raw_predict import predict_raw
    from pipelines.training.write_models import ensure_model_file

    data = Path(payload.trial.data)
    model = keras.models.load_model(ensure_model_file(payload.trial))
    predictions = predict_raw(model, load_raw(data, "test"))
    scores = {}
    for metric in build_metrics(load_summary(data).task, payload.training):
        metric.update_state(np.asarray(load_part(data, "test").y), predictions)
        scores[f"test_{metric.name}"] = float(np.mean(metric.result()))
    write_text(Path(payload.trial.folder) / TEST_FILE, json.dumps(scores))
    return scores


def test_scores(study: Study, home: Home, number: int) -> Mapping[str, float]:
    """Return a winner's metrics on the test rows; empty where it was not scored on them."""
    file = Path(handed_over(study, home, number).folder) / TEST_FILE
    scores: Mapping[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return scores
