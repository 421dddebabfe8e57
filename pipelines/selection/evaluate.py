"""Evaluation of models on rows that the search never saw: the winner's on the test rows, others on rows held out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.engines.base import Channel, Job
from pipelines.selection.jobs import EVALUATE_MODELS, Evaluation
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import TEST_FILE
from pipelines.workspace.home import Home

if TYPE_CHECKING:
    import keras

    from pipelines.data.array_types import Array
    from pipelines.data.examples.examples import Examples
    from pipelines.data.prepared import Task
    from pipelines.spec.schema import TrainingSpec
    from pipelines.study.study import Study


def make_comparison_job(
    study: Study, training: TrainingSpec, trials: Sequence[PastTrial], log: Path
) -> Job[Any, Sequence[Mapping[str, float]]]:
    """Return the job that evaluates several models, each on the test part of its own data."""
    if study.has_user_model:
        return Job("compare-refit", EVALUATE_MODELS, tuple(trials), log)
    return Job("compare-refit", EVALUATE_MODELS, tuple(Evaluation(each, training) for each in trials), log)


def evaluate_models(payload: Sequence[Evaluation | PastTrial], channel: Channel) -> Sequence[Mapping[str, float]]:
    """Return the metrics of each model on the test rows, by Keras's names with `test_` before them."""
    from pipelines.training.user_model.evaluate import evaluate_user_model

    scores: list[Mapping[str, float]] = []
    for each in payload:
        channel.beat()
        if isinstance(each, Evaluation):
            scores.append(_evaluate(each))
        else:
            scores.append(evaluate_user_model(each, channel))
    return scores


def _evaluate(payload: Evaluation) -> dict[str, float]:
    return evaluate_part(payload.trial, payload.training, "test")


def evaluate_part(trial: PastTrial, training: TrainingSpec, part: Literal["test"]) -> dict[str, float]:
    """Return a model's loss and metrics on a part of the data, the part's name before theirs."""
    # Imported here, not above: Keras is loaded in workers only, and the supervisor imports this module.
    import keras
    import numpy as np

    from pipelines.data.examples.structures import map_leaves
    from pipelines.data.prepared_folder import load_summary
    from pipelines.models.output_scores import OutputScores
    from pipelines.training.write_models import ensure_model_file

    data = Path(trial.data)
    model = keras.models.load_model(ensure_model_file(trial))
    scores = OutputScores(load_summary(data).task, training)
    for batch, outputs in iterate_predictions(model, data, part):
        scores.update(map_leaves(np.asarray, batch.y), outputs, batch.sample_weight)
    return {f"{part}_{name}": value for name, value in scores.compute().items()}


def iterate_predictions(
    model: keras.Model, data: Path, part: Literal["validation", "test"]
) -> Iterator[tuple[Examples, Sequence[Array]]]:
    """Yield some rows of a part at a time, preprocessed, with the outputs of a deployed model for them."""
    from pipelines.data.prepared_folder import iterate_raw, load_part
    from pipelines.models.raw_predict import predict_outputs

    rows, start = load_part(data, part), 0
    for raw in iterate_raw(data, part):
        outputs = predict_outputs(model, raw)
        stop = start + len(outputs[0])
        yield rows.take(slice(start, stop)), outputs
        start = stop


def compute_row_losses(task: Task, training: TrainingSpec, y: Array, predictions: Array) -> Array | None:
    """Return the loss of each row; None where the loss has no value for a row."""
    import numpy as np

    from pipelines.models.losses import build_loss_with_smoothing

    losses = np.asarray(build_loss_with_smoothing(task, training, 0.0).call(y, predictions))
    return losses if losses.shape == (len(y),) else None


def list_trials_with_scores(home: Home, study: str) -> tuple[int, ...]:
    """Return the numbers of the trials whose model, refit or ensemble was scored on the test rows."""
    from pipelines.selection.finalists import ENSEMBLE, REFIT  # loads Optuna, which the workers' functions need not

    folder = home.locate_study(study)
    made = (folder.glob(f"retrainings/*/{name}/{TEST_FILE}") for name in (REFIT, ENSEMBLE))
    files = (*folder.glob(f"trials/*/{TEST_FILE}"), *(file for files in made for file in files))
    return tuple(sorted({int(file.relative_to(folder).parts[1]) for file in files}))


def read_test_scores(study: Study, home: Home, number: int) -> Mapping[str, float]:
    """Return a winner's metrics on the test rows; empty where it was not evaluated on them."""
    from pipelines.selection.model_locations import find_winning_model  # as above

    file = Path(find_winning_model(study, home, number).folder) / TEST_FILE
    scores: Mapping[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return scores
