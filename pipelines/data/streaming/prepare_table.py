"""Preparation of a table larger than memory: the folder that `prepare` writes of one that fits."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.encoding import Plan, describe_encodings
from pipelines.data.data_notes import note_classes
from pipelines.data.fitted.values import fit_table
from pipelines.data.model_inputs import write_model_inputs
from pipelines.data.prepared import (
    DIGEST_PREFIX,
    PICTURES,
    DataSummary,
    Features,
    InputKind,
    Task,
    choose_default_metric,
)
from pipelines.data.raw import PARTS
from pipelines.data.scratch import Scratch, iterate_chunks
from pipelines.data.splits.division import Division
from pipelines.data.streaming.column_files import StoredRows
from pipelines.data.streaming.pieces import PIECE_CELLS
from pipelines.data.streaming.read_table import FirstRows, read_table
from pipelines.data.streaming.row_split import (
    NUMBERS,
    StoredLabels,
    StoredSplit,
    check_stored_parts,
    count_classes,
    divide_stored_rows,
    split_stored_rows,
)
from pipelines.data.streaming.stored_plan import leave_out_idle_columns, plan_stored_table
from pipelines.data.streaming.stored_report import note_sample, report_rows, sample_rows
from pipelines.data.streaming.stored_statistics import StoredStatistics
from pipelines.data.streaming.target_files import read_stored_labels
from pipelines.data.streaming.write_parts import write_fold
from pipelines.data.targets.labels import Labels
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem

_SCRATCH = "scratch"


def prepare_table(
    spec: DataSpec,
    base: Path,
    folder: Path,
    prefers: InputKind,
    division: Division | None,
    describe: Callable[[str], None],
    cells: int = PIECE_CELLS,
) -> tuple[DataSummary, str]:
    """Write a table's prepared rows into a folder, and return their summary and their digest with the declared split.

    Args:
        spec: the study file's `data`.
        base: folder that paths are relative to.
        folder: folder to write; what is there is removed.
        prefers: form of features that the model takes.
        division: division of the rows in place of the declared one; None keeps that.
        describe: is called with each step, in words.
        cells: about so many are in memory at a time.

    Raises:
        InputError: for data that cannot be used.
        OSError: if the disk has no room for it.
    """
    _check_form(spec, prefers)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / _SCRATCH).mkdir(parents=True)
    scratch = Scratch(folder / _SCRATCH)
    describe(f"reading {spec.describe_source()} in pieces")
    stored, first = read_table(spec, base, folder / _SCRATCH / "rows", cells)
    describe(f"dividing {stored.rows:,} rows of {spec.describe_source()}")
    found = read_stored_labels(stored, first.targets, first.raw, spec, scratch)
    labels = StoredLabels(found.y, found.classes)
    declared = split_stored_rows(stored.given, stored.declared, labels, spec, scratch)
    check_stored_parts(declared, labels)
    split = declared
    if division is not None:
        split = divide_stored_rows(declared, labels, spec, division, scratch)
        if division.folds != 1:
            check_stored_parts(split, labels)
    _check_weights(stored, split, spec)
    learnt = StoredStatistics(stored, split, None, scratch)
    stored, idle = leave_out_idle_columns(stored, learnt, spec)
    learnt = StoredStatistics(stored, split, None, scratch)
    describe(f"measuring {len(stored.columns)} columns of {spec.describe_source()}")
    plan = plan_stored_table(stored, split, learnt, spec, scratch)
    describe(f"writing the prepared rows of {spec.describe_source()}")
    _write_folds(folder, plan, stored, labels, split, learnt, scratch)
    summary = _summarize(spec, stored, first, found, split, plan, idle)
    rows = _read_examples(stored, split)
    write_model_inputs(folder, summary, rows)
    _write_split(folder, split)
    digest = _calculate_digest(stored, labels, declared)
    shutil.rmtree(folder / _SCRATCH)
    own = digest if split is declared else _calculate_digest(stored, labels, split)
    return replace(summary, digest=own), digest


def _check_form(spec: DataSpec, prefers: InputKind) -> None:
    refused = {
        "data.series": (spec.series is not None, "windows of a series"),
        "data.split.order": (spec.split.order is not None, "an order of the rows"),
        "data.split.group": (spec.split.group is not None, "groups of rows"),
        "data.drop_duplicates": (spec.drop_duplicates, "leaving out equal rows"),
        "model": (prefers == "any", "a model of yours"),
    }
    advice = "set data.streaming: false, raise limits.memory, or remove this key"
    problems = [
        Problem(f"{what} is for data in memory, and this data is streamed (data.streaming); {advice}", key)
        for key, (is_set, what) in refused.items()
        if is_set
    ]
    if prefers in PICTURES:
        message = f"the model takes images, but {spec.describe_source()} is a table; use model: mlp, tabular or mixed"
        problems.append(Problem(message, "data.source"))
    if prefers == "series":
        message = f"the model takes a series, but {spec.describe_source()} is a table; use model: mlp, tabular or mixed"
        problems.append(Problem(message, "data.series"))
    if spec.preprocess == "none":
        message = "a shipped family needs preprocessed data; remove this key, or write a model of yours"
        problems.append(Problem(message, "data.preprocess"))
    if problems:
        raise InputError(problems)


def _check_weights(stored: StoredRows, split: StoredSplit, spec: DataSpec) -> None:
    if stored.weights is None:
        return
    for fold in range(split.folds):
        for part in PARTS:
            if split.count(part, fold) and not any(
                (stored.weights[start:stop][split.mark(part, fold, start, stop)] > 0).any()
                for start, stop in iterate_chunks(stored.rows)
            ):
                message = (
                    f'every {part} row weighs 0 by column "{spec.weight}"; correct the weights, or split otherwise'
                )
                raise InputError(Problem(message, "data.weight"))


def _write_folds(
    folder: Path,
    plan: Plan,
    stored: StoredRows,
    labels: StoredLabels,
    split: StoredSplit,
    learnt: StoredStatistics,
    scratch: Scratch,
) -> None:
    raw = [column.raw for column in stored.columns]
    for fold in range(split.folds):
        statistics = learnt if split.folds == 1 else StoredStatistics(stored, split, fold, scratch)
        fitted = fit_table(plan, raw, statistics)
        write_fold(folder / f"fold-{fold}", fitted, stored, labels, split, fold)


def _summarize(
    spec: DataSpec,
    stored: StoredRows,
    first: FirstRows,
    labels: Labels,
    split: StoredSplit,
    plan: Plan,
    idle: list[str],
) -> DataSummary:
    of_rows = StoredLabels(labels.y, labels.classes)
    task = replace(_describe_task(labels, split, spec), is_weighted=stored.weights is not None)
    sample = sample_rows(stored, labels, split)
    report = report_rows(sample, of_rows, split, labels.targets)
    weighting = () if stored.weights is None else (_describe_weights(stored, spec),)
    return DataSummary(
        source=spec.describe_source(),
        task=task,
        features=Features(
            dense=plan.dense,
            codes=tuple((stored.columns[string.column].input, string.codes) for string in plan.coded),
            text=tuple((name, text.length, text.words) for name, text in plan.named_texts),
        ),
        raw=tuple(column.raw for column in stored.columns),
        rows={part: split.count(part) for part in PARTS},
        folds=split.folds,
        digest="",
        encodings=describe_encodings(plan, sample.columns),
        notes=(
            *stored.notes,
            *labels.notes,
            *note_classes(task),
            *weighting,
            *idle,
            *plan.list_notes(sample.columns),
            *split.notes,
            *note_sample(sample, report, first.raw, spec, is_divided=_has_validation(stored)),
        ),
        report=report,
    )


def _has_validation(stored: StoredRows) -> bool:
    number = NUMBERS["validation"]
    return any((stored.given[start:stop] == number).any() for start, stop in iterate_chunks(stored.rows))


def _describe_task(labels: Labels, split: StoredSplit, spec: DataSpec) -> Task:
    """Return the task with the statistics of training rows; of all rows but the test part with folds."""
    if labels.classes:
        of_rows = StoredLabels(labels.y, labels.classes)
        part = _as_one_fold(split)
        counts = tuple(int(count) for count in count_classes(of_rows, part, "train"))
        metric = choose_default_metric(counts)
        return Task(labels.kind, labels.targets, labels.classes, class_counts=counts, default_metric=metric)
    width = labels.y.shape[1]
    if labels.kind == "multi_label" or not spec.scale_target:
        return Task(labels.kind, labels.targets, target_mean=(0.0,) * width, target_scale=(1.0,) * width)
    mean, scale = _measure_targets(labels, _as_one_fold(split))
    # A target may be constant in the training rows, and not in all rows.
    scale = np.where(scale > 0, scale, 1.0)
    return Task(labels.kind, labels.targets, target_mean=tuple(mean.tolist()), target_scale=tuple(scale.tolist()))


def _as_one_fold(split: StoredSplit) -> StoredSplit:
    return replace(split, folds=1)


def _measure_targets(labels: Labels, split: StoredSplit) -> tuple[Array, Array]:
    count, total = 0, np.zeros(labels.y.shape[1])
    for chunk in _iterate_targets(labels, split):
        count, total = count + len(chunk), total + chunk.sum(axis=0)
    mean, squares = total / count, np.zeros(labels.y.shape[1])
    for chunk in _iterate_targets(labels, split):
        squares += ((chunk - mean) ** 2).sum(axis=0)
    return mean, np.sqrt(squares / count)


def _iterate_targets(labels: Labels, split: StoredSplit) -> Iterator[Array]:
    for start, stop in iterate_chunks(len(labels.y)):
        yield labels.y[start:stop][split.mark("train", 0, start, stop)].astype(np.float64)


def _describe_weights(stored: StoredRows, spec: DataSpec) -> str:
    assert stored.weights is not None
    lows, highs, total = [], [], 0.0
    for start, stop in iterate_chunks(stored.rows):
        chunk = stored.weights[start:stop]
        lows.append(chunk.min())
        highs.append(chunk.max())
        total += float(chunk.sum(dtype=np.float64))
    span = f"{min(lows):.4g} to {max(highs):.4g}, mean {total / stored.rows:.4g}"
    return f'rows are weighted by column "{spec.weight}" ({span}) in the loss and in weighted metrics'


def _read_examples(stored: StoredRows, split: StoredSplit) -> dict[str, Array]:
    """Return the first validation rows, before they are rounded to the exported model's types."""
    for start, stop in iterate_chunks(stored.rows):
        rows = np.flatnonzero(split.mark("validation", 0, start, stop))[:100]
        if len(rows):
            return {column.input: column.read(start, stop)[rows] for column in stored.columns}
    raise AssertionError("a split has validation rows")


def _write_split(folder: Path, split: StoredSplit) -> None:
    """Write the size of each part and a digest of its rows: a list of all rows would be as long as the data."""
    lines = []
    for fold in range(split.folds):
        for part in PARTS:
            digest = hashlib.sha256()
            for start, stop in iterate_chunks(len(split.part)):
                digest.update(np.packbits(split.mark(part, fold, start, stop)).tobytes())
            name = part if split.folds == 1 else f"{part} of fold {fold}"
            lines.append({"row": name, "part": f"{split.count(part, fold)} rows, {digest.hexdigest()}"})
    pd.DataFrame(lines).to_csv(folder / "split.csv", index=False)


def _calculate_digest(stored: StoredRows, labels: StoredLabels, split: StoredSplit) -> str:
    digest = hashlib.sha256()
    for column in stored.columns:
        digest.update(f"{column.input} {column.kind} {column.raw.shape}".encode())
        for start, stop in iterate_chunks(stored.rows):
            values = column.read(start, stop)
            digest.update("\0".join(values).encode() if column.is_words else values.tobytes())
    for array in (labels.y, stored.weights, split.part, split.fold):
        for start, stop in iterate_chunks(0 if array is None else len(array)):
            assert array is not None
            digest.update(np.ascontiguousarray(array[start:stop]).tobytes())
    return DIGEST_PREFIX + digest.hexdigest()
