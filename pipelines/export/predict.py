"""Predictions for the rows of a file by a study's model, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.model_inputs import read_model_description
from pipelines.data.prepared import DataSummary, Task
from pipelines.data.prepared_folder import load_summary
from pipelines.data.raw import RawData
from pipelines.data.reading.sources import load_new_rows
from pipelines.export.jobs import PredictionJob, PredictionResult
from pipelines.export.kept_model import open_model
from pipelines.training.trial_folder import read_trial_config
from search_spaces.errors import InputError, Problem
from tracking.mlflow.model_folder import ModelDescription
from tracking.mlflow.model_loader import KerasOnRawColumns
from tracking.mlflow.series_values import list_columns

if TYPE_CHECKING:
    from pipelines.engines.base import Channel


def predict_rows(job: PredictionJob, channel: Channel) -> PredictionResult:
    """Write a table with the predictions for each row of a file, or for the time after each of its series.

    Raises:
        InputError: if the file cannot be read, or lacks a column.
    """
    table, columns, notes = make_predictions(job)
    table.to_csv(job.target, index=False)
    return PredictionResult(len(table), columns, notes)


def make_predictions(job: PredictionJob) -> tuple[pd.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """Return the rows of a file with their predictions, the names of these columns, and notes.

    Raises:
        InputError: if the file cannot be read, or lacks a column.
    """
    summary = load_summary(Path(job.trial.data))
    described = read_model_description(Path(job.trial.data))
    known = () if described is None or described.columns is None else described.columns.columns
    names = [column.name for column in known]
    if summary.windows is not None:
        names = list_columns(asdict(summary.windows))
    raw = load_new_rows(job.spec, Path(job.base), names)
    if raw.table is None:
        message = f"expected a table with the columns of the study's data, got {job.spec.describe_source()}"
        raise InputError(Problem(message, "FILE"))
    if job.spec.series is not None:
        table, columns, notes = _forecast(job, raw, summary)
    else:
        table, columns, notes = _predict_table(job, raw, summary)
    return table, columns, (*raw.notes, *notes)


def _predict_table(
    job: PredictionJob, raw: RawData, summary: DataSummary
) -> tuple[pd.DataFrame, tuple[str, ...], tuple[str, ...]]:
    described = read_model_description(Path(job.trial.data))
    if described is None or described.columns is None:
        raise InputError(Problem("the study's data was no table, so its model takes none", "STUDY"))
    assert raw.table is not None
    if job.is_sent:
        _refuse_pictures(described, job)
    columns = [asdict(column) for column in described.columns.columns]
    is_user_model = "base" in read_trial_config(Path(job.trial.folder))
    with open_model(job.trial, job.digest) as model:
        loaded = KerasOnRawColumns(
            model,
            columns,
            list(described.columns.missing_values),
            takes=described.takes,
            # What a user model's outputs mean is its code's affair.
            heads=[] if is_user_model else [dict(head) for head in described.heads],
        )
        try:
            found = loaded.predict(_locate_pictures(raw.table, described, Path(job.base)))
        except Exception as error:
            if type(error).__name__ != "MlflowException":
                raise
            raise InputError(Problem(str(error), job.spec.describe_source())) from None
    predicted = found if isinstance(found, pd.DataFrame) else name_predictions(summary.task, found)
    taken = predicted.rename(columns={name: f"{name}_predicted" for name in predicted if name in raw.table})
    return pd.concat([raw.table.reset_index(drop=True), taken], axis=1), tuple(map(str, taken.columns)), ()


def _refuse_pictures(described: ModelDescription, job: PredictionJob) -> None:
    """Refuse rows from another machine that name pictures: they would name files of this one.

    Raises:
        InputError: if they do.
    """
    assert described.columns is not None
    for column in described.columns.columns:
        if column.kind == "image":
            message = (
                f'the column "{column.name}" names pictures, which are not sent with the rows: kerastudy export '
                "writes the model, which predicts where the pictures are"
            )
            raise InputError(Problem(message, job.spec.describe_source()))


def _locate_pictures(table: pd.DataFrame, described: ModelDescription, folder: Path) -> pd.DataFrame:
    """Return the table with the paths of its pictures from its own folder, as training reads them."""
    assert described.columns is not None
    named = [column.name for column in described.columns.columns if column.kind == "image" and column.name in table]
    located = {
        name: [str(folder / cell.strip()) if isinstance(cell, str) else cell for cell in table[name]] for name in named
    }
    return table.assign(**located)


def _forecast(
    job: PredictionJob, raw: RawData, summary: DataSummary
) -> tuple[pd.DataFrame, tuple[str, ...], tuple[str, ...]]:
    facts, described = summary.windows, read_model_description(Path(job.trial.data))
    if facts is None or described is None:
        message = "an earlier version of kerastudy prepared this study's data; run its file again, then predict"
        raise InputError(Problem(message, "STUDY"))
    assert raw.table is not None
    with open_model(job.trial, job.digest) as model:
        loaded = KerasOnRawColumns(model, [], [], takes=described.takes, series=dict(described.series or {}))
        try:
            rows, values, notes = loaded.forecast(raw.table)
        except ValueError as error:
            raise InputError(Problem(str(error), job.spec.describe_source())) from None
    series, targets = len(rows) // max(1, facts.horizon), list(facts.targets)
    if summary.task.classes or isinstance(values, dict) or np.size(values) != len(rows) * len(targets):
        # Classes and other outputs are no steps of a forecast.
        table = name_predictions(summary.task, values)
        last = rows.iloc[:: max(1, len(rows) // max(1, len(table)))].reset_index(drop=True)
        return pd.concat([last, table], axis=1), tuple(map(str, table)), notes
    steps = np.asarray(values).reshape(series, len(targets), -1)
    found = {name: steps[:, index, :].reshape(-1) for index, name in enumerate(targets)}
    return rows.assign(**found), tuple(targets), notes


def name_predictions(task: Task, found: Any) -> pd.DataFrame:
    """Return a model's outputs as columns: the decision, and the probability of each class or label.

    Outputs of a user model whose meaning is not known keep their names.
    """
    if isinstance(found, dict):
        return pd.concat([_name_numbers(np.asarray(each), [name]) for name, each in found.items()], axis=1)
    values = np.asarray(found)
    values = values[:, None] if values.ndim == 1 else values
    target = task.targets[0] if task.targets else "output"
    if task.kind == "binary" and values.shape[1] == 1:
        decided = np.asarray(task.classes)[(values[:, 0] >= 0.5).astype(int)]
        return pd.DataFrame({target: decided, f"probability of {task.classes[1]}": values[:, 0]})
    if task.kind == "multiclass" and values.shape[1] == len(task.classes):
        shares = {f"probability of {name}": values[:, index] for index, name in enumerate(task.classes)}
        return pd.DataFrame({target: np.asarray(task.classes)[values.argmax(axis=1)], **shares})
    if task.kind == "multi_label" and values.shape[1] == len(task.targets):
        return pd.DataFrame({f"probability of {name}": values[:, i] for i, name in enumerate(task.targets)})
    names = list(task.targets) if len(task.targets) == values.shape[1] else ["output"]
    return _name_numbers(values, names)


def _name_numbers(values: Array, names: Sequence[str]) -> pd.DataFrame:
    flat = values.reshape(len(values), -1)
    if flat.shape[1] == len(names):
        return pd.DataFrame(flat, columns=list(names))
    return pd.DataFrame(flat, columns=[f"{names[0]}_{index}" for index in range(flat.shape[1])])
