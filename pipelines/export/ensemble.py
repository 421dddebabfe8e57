"""Ensemble of the models of several trials: their average, if it beats the winner on the validation rows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipelines.engines.base import Channel
from pipelines.export.jobs import EnsembleJob
from pipelines.export.scoring import make_scorer
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import (
    ARTIFACTS,
    CONFIG_FILE,
    MODEL_CODE,
    MODEL_FACTS_FILE,
    MODEL_FILE,
    USER_MODEL_WEIGHTS_FILE,
    is_without_file,
)
from pipelines.training.user_model.classes import register_user_classes
from search_spaces.errors import KerastudyError

if TYPE_CHECKING:
    import keras

    from pipelines.data.prepared import DataSummary

_MEMBER: Final = "member_"


class EnsembleError(KerastudyError):
    """The models of some trials cannot be averaged."""


def evaluate_ensemble(job: EnsembleJob, channel: Channel) -> tuple[float, float, str]:
    """Return the scores of the ensemble and of the winner, and the metric's name; save the ensemble if it wins.

    The scores are on the validation rows. The metric is the objective, or another one where the objective needs more
    than predictions.

    Raises:
        EnsembleError: if predictions have no score, an output cannot be averaged, or no file can hold a model.
        KerastudyError: if the code of a user model is not there, or raises.
    """
    from pipelines.data.prepared_folder import iterate_raw, load_summary
    from pipelines.data.raw_inputs import arrange_names, make_pack
    from pipelines.models.raw_predict import predict_parts
    from pipelines.training.deployed_model import load_deployed_model

    trial, folder = job.trials[job.winner], Path(job.folder)
    data = Path(trial.data)
    _check_members(job.trials)
    with register_user_classes(Path(trial.folder)):
        models = []
        for member in job.trials:
            models.append(load_deployed_model(member))
            channel.beat()
        summary = load_summary(data)
        ensemble, pack = average_models(models, summary), make_pack(arrange_names(summary))
        # On the validation rows: the test rows choose nothing.
        ours, winners = (
            predict_parts(model, iterate_raw(data, "validation"), pack) for model in (ensemble, models[job.winner])
        )
        channel.beat()
        scorer = make_scorer(trial, "validation", len(ours[0]))
        our_scores, winner_scores = scorer.score(ours), scorer.score(winners)
        deciding = scorer.choose(winner_scores)
        if deciding is None or not all(deciding.metric in scores for scores in (our_scores, winner_scores)):
            raise EnsembleError(f"the models' predictions have no {deciding.metric if deciding else 'score'}")
        value, winners_value = our_scores[deciding.metric], winner_scores[deciding.metric]
        # Not when equal: an ensemble takes the time of all its members.
        if (value < winners_value) if deciding.minimize else (value > winners_value):
            _write_ensemble(folder, ensemble, trial)
        else:
            # Of an earlier run of the final selection, with other finalists.
            (folder / MODEL_FILE).unlink(missing_ok=True)
    return value, winners_value, deciding.metric


def _check_members(trials: Sequence[PastTrial]) -> None:
    for trial in map(Path, (trial.folder for trial in trials)):
        if is_without_file(trial):
            raise EnsembleError(f"no file can hold the mean of models that only their code builds, as in {trial.name}")


def _write_ensemble(folder: Path, ensemble: keras.Model, winner: PastTrial) -> None:
    """Write the ensemble, laid out like a trial's folder, so that the export treats it as one."""
    from pipelines.training.model_files import save_model, summarize_model

    (folder / ARTIFACTS).mkdir(parents=True, exist_ok=True)
    for file in (Path(ARTIFACTS) / CONFIG_FILE, Path(ARTIFACTS) / MODEL_FACTS_FILE, USER_MODEL_WEIGHTS_FILE):
        # The weights of a user model, whose compiled loss scores the ensemble's predictions.
        if (Path(winner.folder) / file).exists():
            shutil.copyfile(Path(winner.folder) / file, folder / file)
    if (Path(winner.folder) / MODEL_CODE).exists():
        # The file may name classes of the code.
        shutil.copytree(Path(winner.folder) / MODEL_CODE, folder / MODEL_CODE, dirs_exist_ok=True)
    (folder / ARTIFACTS / "model_summary.txt").write_text(summarize_model(ensemble) + "\n", encoding="utf-8")
    save_model(ensemble, folder / MODEL_FILE)


def average_models(models: Sequence[keras.Model], summary: DataSummary) -> keras.Model:
    """Return a Keras model that takes what each of a study's models takes, and gives the means of their outputs.

    Raises:
        EnsembleError: if an output holds no floats.
    """
    import keras

    from pipelines.data.raw_inputs import arrange_names, make_pack
    from pipelines.models.symbolic_inputs import make_symbolic_inputs

    inputs = make_pack(arrange_names(summary))(make_symbolic_inputs(models[0], summary))
    outputs = []
    for index, model in enumerate(models):
        # Keras refuses two layers of one name in a model, and the members may share theirs.
        model.name = f"{_MEMBER}{index}"
        # `training=False`: a user model may hold dropout.
        outputs.append(model(inputs, training=False))
    return keras.Model(inputs, average_outputs(outputs), name="ensemble")


def list_members(model: keras.Model) -> list[keras.Model]:
    """Return the models that `average_models` has averaged; empty for another model."""
    return [layer for layer in model.layers if layer.name.startswith(_MEMBER)]


def average_outputs(outputs: Sequence[Any]) -> Any:
    """Return the means of the outputs of several models, in the structure of each; one model's as they are.

    Raises:
        EnsembleError: if an output holds no floats.
    """
    import keras

    if len(outputs) == 1:
        return outputs[0]
    for leaf in keras.tree.flatten(outputs[0]):
        if "float" not in str(leaf.dtype):
            raise EnsembleError(f"an output of the models holds {leaf.dtype}, which has no mean")
    return keras.tree.map_structure(lambda *leaves: keras.layers.Average()(list(leaves)), *outputs)
