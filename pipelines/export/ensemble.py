"""Ensemble of the models of several trials: their average, if it beats the winner on the validation rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.engines.base import Channel
from pipelines.export.jobs import EnsembleJob
from pipelines.export.parity import choose_scoring, compute_score
from pipelines.export.verify import read_trial_config, register_user_classes
from pipelines.spec.schema import TrainingSpec
from pipelines.training.trial_folder import ARTIFACTS, MODEL_FILE
from search_spaces.errors import KerastudyError


class EnsembleError(KerastudyError):
    """The models of some trials cannot be averaged."""


def evaluate_ensemble(job: EnsembleJob, channel: Channel) -> tuple[float, float, str]:
    """Return the scores of the ensemble and of the winner, and the metric's name; save the ensemble if it wins.

    The scores are on the validation rows. The metric is the objective, or the task's first metric where the objective
    needs more than predictions.

    Raises:
        EnsembleError: if the models' outputs are not the task's.
    """
    import keras

    from pipelines.data.prepared_folder import load_part, load_raw, load_summary
    from pipelines.models.raw_predict import predict_raw
    from pipelines.training.model_files import save_model, summarize_model
    from pipelines.training.write_models import ensure_model_file

    winner = Path(job.trials[job.winner].folder)
    data = Path(job.trials[0].data)
    config = read_trial_config(winner)
    with register_user_classes(winner):
        models = []
        for trial in job.trials:
            models.append(keras.models.load_model(ensure_model_file(trial), compile=False))
            channel.beat()
        ensemble = average_models(models)
        raw, y = load_raw(data, "validation"), np.asarray(load_part(data, "validation").y)
        predictions = [predict_raw(model, raw) for model in (ensemble, models[job.winner])]
    task = load_summary(data).task
    training = TrainingSpec.model_validate_json(json.dumps(config["training"]))
    scoring = choose_scoring(task, training, config["objective"]["metric"], config["objective"]["direction"])
    # On the validation rows: the test rows choose nothing.
    ours, winners = (compute_score(each, y, scoring) for each in predictions)
    if ours is None or winners is None:
        raise EnsembleError(f"the models give {predictions[1].shape[1:]} numbers a row, the task has {task.outputs}")
    folder = Path(job.folder)
    # Not when equal: an ensemble takes the time of all its members.
    if (ours < winners) if scoring.minimize else (ours > winners):
        (folder / ARTIFACTS).mkdir(parents=True, exist_ok=True)
        # Laid out like a trial's folder, so that the export treats it as one.
        shutil.copyfile(winner / ARTIFACTS / "config.json", folder / ARTIFACTS / "config.json")
        (folder / ARTIFACTS / "model_summary.txt").write_text(summarize_model(ensemble) + "\n", encoding="utf-8")
        save_model(ensemble, folder / MODEL_FILE)
    else:
        # Of an earlier run of the final selection, with other finalists.
        (folder / MODEL_FILE).unlink(missing_ok=True)
    return ours, winners, scoring.metric


def average_models(models: Sequence[Any]) -> Any:
    """Return a Keras model of the same inputs whose output is the mean of the models' outputs."""
    import keras

    inputs = {
        tensor.name: keras.Input(shape=tensor.shape[1:], dtype=tensor.dtype, name=tensor.name)
        for tensor in models[0].inputs
    }
    outputs = []
    for index, model in enumerate(models):
        # Keras refuses two layers of one name in a model, and the members may share theirs.
        model.name = f"member_{index}"
        outputs.append(model({tensor.name: inputs[tensor.name] for tensor in model.inputs}))
    return keras.Model(inputs, keras.layers.Average()(outputs), name="ensemble")
