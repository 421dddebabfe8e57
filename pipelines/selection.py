"""The winner's scores on rows that the search never saw, and the files of the models that are kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.engines.engine import Channel, Job
from pipelines.files import write_text
from pipelines.home import Home
from pipelines.study_file import Study
from pipelines.study_spec import TrainingSpec
from pipelines.training.trainer import TEST_FILE, OwnEvaluation, PastTrial


@dataclass(frozen=True)
class Evaluation:
    """A trial whose model is to be scored on the test rows, from raw columns."""

    trial: PastTrial
    training: TrainingSpec


def evaluation_job(study: Study, home: Home, number: int) -> Job:
    """Return the job that scores a trial's model on the test rows; its result is `evaluate`'s."""
    folder = home.trial(study.name, number)
    if study.has_own_model:
        own = OwnEvaluation(study.spec.model, str(study.base), str(home.data(study.name)), str(folder))
        return Job("test", "pipelines.training.own_evaluation:evaluate_own", own, folder / "test.log")
    payload = Evaluation(past_trial(home, study.name, number), study.spec.training)
    return Job("test", "pipelines.selection:evaluate", payload, folder / "test.log")


def models_job(home: Home, study: str, numbers: Iterable[int]) -> Job:
    """Return the job that writes the models of trials that left their weights alone."""
    trials = tuple(past_trial(home, study, number) for number in numbers)
    return Job("models", "pipelines.training.rebuild:write_models", trials, home.study(study) / "models.log")


def past_trial(home: Home, study: str, number: int) -> PastTrial:
    """Return where a trial of a study is."""
    return PastTrial(str(home.trial(study, number)), str(home.data(study)))


def evaluate(payload: Evaluation, channel: Channel) -> Mapping[str, float]:
    """Return the model's metrics on the test rows, by Keras's names with `test_` before them."""
    import keras
    import numpy as np

    from pipelines.data.prepare import load_part, load_raw, load_summary
    from pipelines.models.deployed import predict_raw
    from pipelines.models.losses import build_metrics
    from pipelines.training.rebuild import model_file

    data = Path(payload.trial.data)
    model = keras.models.load_model(model_file(payload.trial))
    predictions = predict_raw(model, load_raw(data, "test"))
    scores = {}
    for metric in build_metrics(load_summary(data).task, payload.training):
        metric.update_state(np.asarray(load_part(data, "test").y), predictions)
        scores[f"test_{metric.name}"] = float(np.mean(metric.result()))
    write_text(Path(payload.trial.folder) / TEST_FILE, json.dumps(scores))
    return scores


def test_scores(home: Home, study: str, number: int) -> Mapping[str, float]:
    """Return a winner's metrics on the test rows; empty where it was not scored on them."""
    file = home.trial(study, number) / TEST_FILE
    scores: Mapping[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return scores
