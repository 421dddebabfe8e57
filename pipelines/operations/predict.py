"""Prediction of the rows of a file by the model that a study delivers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.engines.base import Engine, Job
from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import run_job
from pipelines.export.jobs import PREDICT_ROWS, PredictionJob
from pipelines.queries.study_reader import StudyReader
from pipelines.selection.model_locations import find_winning_model, locate_trial
from pipelines.selection.registered_files import check_registered_files, compute_model_digest
from pipelines.training.trial_folder import explain_missing_model, has_model
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError, Problem

if TYPE_CHECKING:
    import pandas as pd


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
    home: Home,
    study: str,
    file: Path,
    target: Path,
    *,
    trial: int | None = None,
    open_engine: Callable[[PredictionJob], AbstractContextManager[Engine]] | None = None,
    is_sent: bool = False,
) -> Predictions:
    """Predict the rows of a file that has the columns of a study's data.

    Args:
        home: the home that holds the study.
        study: its name.
        file: a table, read as the study's data is; of a study of series, the rows that forecasts start from.
        target: CSV file to write.
        trial: the number of a trial; None for the winner's delivered model.
        open_engine: opens the engine that runs the job; its process keeps the model that it loads for the next job with
            the same files. A new engine, which ends, if None.
        is_sent: whether the file came from another machine, so that its rows may name no picture of this one.

    Raises:
        InputError: if the study, the trial or the file is unknown, or the file lacks a column.
        ConflictError: if the trial left no model.
        ModelChangedError: if the model's files are not those that were registered.
    """
    check_prediction_files(file, target)
    number, job = _make_job(home, study, file, trial)
    log = Path(job.trial.folder) / "predict.log"
    job = replace(
        job, target=str(target), is_sent=is_sent, digest=compute_model_digest(job.trial) if open_engine else ""
    )
    with open_engine(job) if open_engine else closing(LocalEngine(1)) as engine:
        try:
            found = run_job(engine, Job("prediction", PREDICT_ROWS, job, log))
        except BaseException:
            # A part of it would look like the predictions of a shorter file.
            target.unlink(missing_ok=True)
            raise
    return Predictions(study, number, str(target), found.rows, found.columns, found.notes)


def check_prediction_files(file: Path, target: Path) -> None:
    """Check that the file of rows is there, and that the one to write is not.

    Raises:
        InputError: if not, or the target's folder does not exist.
    """
    if not file.exists():
        raise InputError(Problem(f"there is no file {file}", "FILE"))
    if target.exists():
        raise InputError(Problem(f"{target} exists; choose another name, or remove it", "--to"))
    if not target.absolute().parent.is_dir():
        raise InputError(Problem(f"there is no folder {target.absolute().parent}; create it first", "--to"))


def predict_frame(home: Home, study: str, rows: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Predict the rows of a table in this process by the winner's delivered model; loads Keras.

    Returns:
        The rows with their predictions, and notes.

    Raises:
        InputError: if the study is unknown, or a column is missing.
        ConflictError: if the winner left no model.
        ModelChangedError: if the model's files are not those that were registered.
    """
    from pipelines.export.predict import make_predictions

    with tempfile.TemporaryDirectory(prefix="kerastudy-") as folder:
        # As a file, so that both ways read the same cells.
        file = Path(folder) / "rows.parquet"
        rows.rename(columns=str).reset_index(drop=True).to_parquet(file)
        _, job = _make_job(home, study, file, None)
        # Paths of pictures start from the current folder.
        spec = job.spec.model_copy(update={"source": str(file)})
        table, _, notes = make_predictions(replace(job, spec=spec, base=str(Path.cwd())))
    return table, notes


def _make_job(home: Home, study: str, file: Path, trial: int | None) -> tuple[int, PredictionJob]:
    """Return the number of the trial whose model predicts, and the job without its target."""
    with StudyReader.open(home) as reader:
        number = reader.find_complete_trial(study, trial)
        checked = reader.load_study(study)
    of = locate_trial(home, study, number) if trial is not None else find_winning_model(checked, home, number)
    if not has_model(Path(of.folder)):
        raise ConflictError(f"trial {number} of {study} has no model: {explain_missing_model(Path(of.folder))}")
    check_registered_files(home, of)
    only = {"source": file.name, "validation_source": None, "test_source": None}
    return number, PredictionJob(of, checked.spec.data.model_copy(update=only), str(file.resolve().parent), "")
