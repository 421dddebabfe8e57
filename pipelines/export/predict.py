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
from pipelines.data.raw_inputs import arrange_names, make_pack
from pipelines.data.reading.sources import load_new_rows
from pipelines.data.series.newest_windows import NewestWindows, cut_newest_windows
from pipelines.export.jobs import PredictionJob, PredictionResult
from pipelines.models.raw_predict import predict_raw
from pipelines.training.deployed_model import load_deployed_model
from search_spaces.errors import InputError, Problem
from tracking.mlflow.model_folder import ModelDescription
from tracking.mlflow.model_loader import KerasOnRawColumns

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
    raw = load_new_rows(job.spec, Path(job.base), [column.name for column in known])
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
    columns = [asdict(column) for column in described.columns.columns]
    loaded = KerasOnRawColumns(
        load_deployed_model(job.trial), columns, list(described.columns.missing_values), takes=described.takes
    )
    try:
        found = loaded.predict(_locate_pictures(raw.table, described, Path(job.base)))
    except Exception as error:
        if type(error).__name__ != "MlflowException":
            raise
        raise InputError(Problem(str(error), job.spec.describe_source())) from None
    predicted = name_predictions(summary.task, found)
    taken = predicted.rename(columns={name: f"{name}_predicted" for name in predicted if name in raw.table})
    return pd.concat([raw.table.reset_index(drop=True), taken], axis=1), tuple(map(str, taken.columns)), ()


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
    series = job.spec.series
    assert series is not None
    windows = cut_newest_windows(raw, job.spec)
    if lacking := [name for name in summary.channels if name not in windows.channels]:
        raise InputError(Problem(f"these columns are missing: {', '.join(lacking)}", job.spec.describe_source()))
    # By name: a file may have its columns in another order than training had.
    array = windows.array[..., [windows.channels.index(name) for name in summary.channels]]
    model, pack = load_deployed_model(job.trial), make_pack(arrange_names(summary))
    values = predict_raw(model, {summary.raw[0].name: array}, pack)
    targets = [job.spec.target] if isinstance(job.spec.target, str) else list(job.spec.target or [])
    if summary.task.classes or np.size(values) != len(windows.array) * len(windows.times[0]) * len(targets):
        # Classes and other outputs are no steps of a forecast.
        table = name_predictions(summary.task, values)
        columns = tuple(map(str, table))
        return pd.concat([_list_rows(windows, series.time, series.by), table], axis=1), columns, windows.notes
    steps = np.asarray(values).reshape(len(windows.array), len(targets), -1)
    table = _list_rows(windows, series.time, series.by)
    for index, name in enumerate(targets):
        table[name] = steps[:, index, :].reshape(-1)
    return table, tuple(targets), windows.notes


def _list_rows(windows: NewestWindows, time: str, by: str | None) -> pd.DataFrame:
    times = [at for each in windows.times for at in each]
    names = [name for name, each in zip(windows.names, windows.times, strict=True) for _ in each] if by else []
    return pd.DataFrame({**({by: names} if by else {}), time: times})


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
