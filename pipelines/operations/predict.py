"""Prediction of the rows of a file by the model that a study delivers."""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pipelines.engines.base import Engine, Job
from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import run_job
from pipelines.export.jobs import PREDICT_ROWS, PredictionJob
from pipelines.queries.study_reader import StudyReader
from pipelines.selection.model_locations import find_winning_model, locate_trial
from pipelines.selection.registered_files import check_registered_files
from pipelines.training.trial_folder import explain_missing_model, has_model
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError, Problem


@dataclass(frozen=True)
class Predictions:
    """Predictions in a CSV file.

    Attributes:
        study: the study's name.
        trial: the trial whose model predicted.
        file: the CSV file.
        rows: number of its rows.
        columns: names of the columns with predictions.
        notes: choices made for the user.
    """

    study: str
    trial: int
    file: str
    rows: int
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()


def predict_file(
    home: Home, study: str, file: Path, target: Path, *, trial: int | None = None, engine: Engine | None = None
) -> Predictions:
    """Predict the rows of a file that has the columns of a study's data.

    Args:
        home: the home that holds the study.
        study: its name.
        file: a table, read as the study's data is; of a study of series, the rows that forecasts start from.
        target: CSV file to write.
        trial: the number of a trial; None for the winner's delivered model.
        engine: runs the job that loads the model; a new engine if None.

    Raises:
        InputError: if the study, the trial or the file is unknown, or the file lacks a column.
        ConflictError: if the trial left no model.
        ModelChangedError: if the model's files are not those that were registered.
    """
    if not file.exists():
        raise InputError(Problem(f"there is no file {file}", "FILE"))
    if target.exists():
        raise InputError(Problem(f"{target} exists; choose another name, or remove it", "--to"))
    with StudyReader.open(home) as reader:
        number = reader.find_complete_trial(study, trial)
        checked = reader.load_study(study)
    of = locate_trial(home, study, number) if trial is not None else find_winning_model(checked, home, number)
    if not has_model(Path(of.folder)):
        raise ConflictError(f"trial {number} of {study} has no model: {explain_missing_model(Path(of.folder))}")
    check_registered_files(home, of)
    only = {"source": file.name, "validation_source": None, "test_source": None}
    job = PredictionJob(of, checked.spec.data.model_copy(update=only), str(file.resolve().parent), str(target))
    log = Path(of.folder) / "predict.log"
    with nullcontext(engine) if engine else closing(LocalEngine(1)) as used:
        found = run_job(used, Job("prediction", PREDICT_ROWS, job, log))
    return Predictions(study, number, str(target), found.rows, found.columns, found.notes)
