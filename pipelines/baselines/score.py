"""Scores of a study's baselines on the rows of its trials, by its objective; the job of a worker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np

from pipelines.baselines.design_matrix import MOST_WIDTH, DesignMatrix, NoMatrixError, list_blocks
from pipelines.baselines.jobs import BaselinesJob
from pipelines.baselines.models import Predict, describe_constant, fit_constant, fit_linear, is_absolute
from pipelines.baselines.naive import score_naive
from pipelines.baselines.results import Baseline, Baselines, write_baselines
from pipelines.baselines.targets import NoTaskError, Targets, read_targets
from pipelines.data.array_types import Array
from pipelines.data.prepared import DataSummary, Task
from pipelines.data.prepared_folder import load_examples_part, load_part, load_summary
from pipelines.data.raw import PartName
from pipelines.engines.base import Channel
from pipelines.models.head_objectives import find_head_metric, get_weight, make_training

# All chosen, so that a study never waits for a baseline for long.
_MOST_ROWS: Final = 20_000
_MOST_ROWS_OF_MEDIAN: Final = 1_000_000
_MOST_VALUES: Final = 20_000_000
_MOST_S: Final = 30.0
_CHUNK: Final = 4096
_MOST_BYTES: Final = 2**28
_PIECE_BYTES: Final = 2**25  # of rows in memory at a time


def score_baselines(job: BaselinesJob, channel: Channel) -> Baselines:
    """Score the baselines of a study, write them into its folder, and return them."""
    summary = load_summary(Path(job.data))
    baselines = Baselines(job.metric, job.direction, summary.digest)
    try:
        if summary.task.heads and not job.is_compiled:
            baselines = _score_heads(job, baselines, summary, channel)
        else:
            rows = [_load_fold(job, summary, fold, channel) for fold in range(summary.folds)]
            baselines = _score_both(job, baselines, rows, channel)
    except NoTaskError as error:
        baselines = replace(baselines, skipped=f"no baselines: {error}")
    write_baselines(Path(job.folder), baselines)
    return baselines


def _score_heads(job: BaselinesJob, baselines: Baselines, summary: DataSummary, channel: Channel) -> Baselines:
    """Return the baselines of the head that the objective belongs to; of the loss of all heads, weighted sums."""
    task = summary.task
    if (found := find_head_metric(task, job.metric)) is not None:
        weights = {found.head: 1.0}
        metric = found.metric
    else:
        weights, metric = {head: get_weight(head, job.training) for head in task.heads}, job.metric
    parts: list[tuple[float, Baselines]] = []
    for head, weight in weights.items():
        of_head = replace(job, metric=metric, output=head.output, training=make_training(head, job.training))
        rows = [_load_fold(of_head, summary, fold, channel) for fold in range(summary.folds)]
        parts.append((weight, _score_both(of_head, baselines, rows, channel)))
    if len(parts) == 1:
        return parts[0][1]
    return replace(
        baselines, found=tuple(_add_up(parts)), skipped="; ".join(filter(None, (b.skipped for _, b in parts)))
    )


def _add_up(parts: Sequence[tuple[float, Baselines]]) -> Iterator[Baseline]:
    """Yield the weighted sums of those baselines that every head has."""
    for name, label in (("constant", "a constant for each target"), ("linear", "a linear model for each target")):
        found = [
            (weight, next((each for each in of_head.found if (each.name == "linear") == (name == "linear")), None))
            for weight, of_head in parts
        ]
        known = [(weight, each) for weight, each in found if each is not None]
        if len(known) < len(parts):
            continue
        tests = [weight * each.test for weight, each in known if each.test is not None]
        notes = tuple(dict.fromkeys(note for _, each in known for note in each.notes))
        value = sum(weight * each.value for weight, each in known)
        yield Baseline(name, label, value, sum(tests) if len(tests) == len(known) else None, notes)


@dataclass(frozen=True)
class _Fold:
    """The rows of a fold; `blocks` are empty where `no_matrix` is the reason why no linear model takes them."""

    task: Task
    parts: Mapping[str, tuple[list[Any], Targets]]
    form: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    no_matrix: str = ""


def _score_both(job: BaselinesJob, baselines: Baselines, rows: Sequence[_Fold], channel: Channel) -> Baselines:
    name, label = describe_constant(rows[0].task, job.metric)
    scores, skipped = [], ""
    for each, words, fit in ((name, label, _fit_constant), ("linear", "a linear model", _fit_linear)):
        try:
            scores.append(_score(job, rows, each, words, fit, channel))
        except NoMatrixError as error:
            skipped = f"{words} is not scored: {error}"
    scores[1:1] = _score_naive(job, rows)
    return replace(baselines, found=tuple(scores), skipped=skipped)


def _score_naive(job: BaselinesJob, rows: Sequence[_Fold]) -> tuple[Baseline, ...]:
    """Return the naive forecasts with their scores; none for other rows than windows of series."""
    task = rows[0].task
    if task.classes or task.kind == "multi_label" or not job.metric.startswith("val_"):
        return ()
    targets = [{part: np.asarray(found.y) for part, (_, found) in fold.parts.items()} for fold in rows]

    def measure(fold: int, part: str, predictions: Array) -> float:
        return _compute_metric(job, rows[fold].task, rows[fold].parts[part][1], [predictions])

    return score_naive(Path(job.data), targets, measure)


def _score(
    job: BaselinesJob,
    rows: Sequence[_Fold],
    name: str,
    label: str,
    fit: Callable[[BaselinesJob, _Fold], tuple[Predict, Callable[[list[Any]], Any], tuple[str, ...]]],
    channel: Channel,
) -> Baseline:
    """Return the means over the folds.

    Raises:
        NoMatrixError: if it cannot be fitted, takes too long, or has no finite score.
    """
    started, values, tests = time.monotonic(), list[float](), list[float]()
    notes: tuple[str, ...] = ()
    for fold in rows:
        if time.monotonic() - started > _MOST_S:
            raise NoMatrixError(f"it takes longer than {_MOST_S:g} s")
        predict, convert, notes = fit(job, fold)
        channel.beat()
        found = {part: _score_part(job, fold, part, predict, convert, channel) for part in fold.parts}
        values.append(found["validation" if job.metric.startswith("val_") else "train"])
        tests += [found["test"]] if "test" in found else []
    if not math.isfinite(value := fmean(values)):
        raise NoMatrixError(f"{job.metric} of its predictions is not finite")
    return Baseline(name, label, value, fmean(tests) if tests and math.isfinite(fmean(tests)) else None, notes)


def _fit_constant(job: BaselinesJob, fold: _Fold) -> tuple[Predict, Callable[[list[Any]], Any], tuple[str, ...]]:
    _, targets = fold.parts["train"]
    y, weights, notes = targets.y, targets.weights, tuple[str, ...]()
    is_median = not fold.task.classes and fold.task.kind != "multi_label" and is_absolute(job.metric)
    if is_median and len(y) > _MOST_ROWS_OF_MEDIAN:
        # A median needs all rows at once.
        chosen = np.sort(np.random.default_rng(0).choice(len(y), _MOST_ROWS_OF_MEDIAN, replace=False))
        notes = (f"the median of {len(chosen):,} of {len(y):,} training rows",)
        y, weights = y[chosen], None if weights is None else weights[chosen]
    return fit_constant(fold.task, job.metric, y, weights), _count_rows, notes


def _fit_linear(job: BaselinesJob, fold: _Fold) -> tuple[Predict, Callable[[list[Any]], Any], tuple[str, ...]]:
    if fold.no_matrix:
        raise NoMatrixError(fold.no_matrix)
    blocks, targets = fold.parts["train"]
    matrix, width = DesignMatrix(fold.form, fold.counts), _measure_width(fold, blocks)
    if width > MOST_WIDTH and "text" not in fold.form:
        raise NoMatrixError(f"a row has {width:,} values, more than {MOST_WIDTH:,}")
    has, most = len(targets.y), min(_MOST_ROWS, max(100, _MOST_VALUES // max(1, min(width, MOST_WIDTH))))
    # Pictures are read at their full size, a few at a time, and made smaller then.
    most = min(most, max(100, _MOST_BYTES // _measure_row(blocks)))
    # The same rows each time.
    chosen = np.sort(np.random.default_rng(0).choice(has, most, replace=False)) if has > most else np.arange(has)
    weights = None if targets.weights is None else targets.weights[chosen]
    step = _count_rows_of_piece(blocks)
    pieces = (chosen[start : start + step] for start in range(0, len(chosen), step))
    x = matrix.fit_convert([block[rows] for block in blocks] for rows in pieces)
    note = (f"fitted on {most:,} of {has:,} training rows",) if has > most else ()
    return fit_linear(fold.task, x, targets.y[chosen], weights), matrix.convert, note


def _score_part(
    job: BaselinesJob,
    fold: _Fold,
    part: str,
    predict: Predict,
    convert: Callable[[list[Any]], Any],
    channel: Channel,
) -> float:
    if part == "train" and job.metric.startswith("val_"):
        return math.nan
    blocks, targets = fold.parts[part]
    step = min(_CHUNK, _count_rows_of_piece(blocks))

    def predict_batches() -> Iterator[Array]:
        for start in range(0, len(targets.y), step):
            yield predict(convert([block[start : start + step] for block in blocks])).astype(np.float32)
            channel.beat()

    return _compute_metric(job, fold.task, targets, predict_batches())


def _compute_metric(job: BaselinesJob, task: Task, targets: Targets, predictions: Iterable[Array]) -> float:
    """Return the objective of predictions that come in batches, by Keras's metrics and losses."""
    from pipelines.models.output_scores import OutputScores

    scores, start = OutputScores(task, targets.training or job.training), 0
    for batch in predictions:
        rows = slice(start, start + len(batch))
        scores.update(targets.y[rows], [batch], None if targets.weights is None else targets.weights[rows])
        start += len(batch)
    return scores.compute()[targets.metric or job.metric.removeprefix("val_")]


def _measure_row(blocks: Sequence[Any]) -> int:
    """Return the bytes of a row."""
    return max(1, sum(8 * int(np.prod(block.shape[1:])) for block in blocks))


def _count_rows_of_piece(blocks: Sequence[Any]) -> int:
    return max(1, _PIECE_BYTES // _measure_row(blocks))


def _count_rows(blocks: list[Any]) -> Any:
    return np.zeros((blocks[0].shape[0], 1))


def _measure_width(fold: _Fold, blocks: Sequence[Any]) -> int:
    widths = [
        sum(counts) if form in ("codes", "text") else int(np.prod(block.shape[1:]))
        for form, counts, block in zip(fold.form, fold.counts, blocks, strict=True)
    ]
    # A picture is made smaller first.
    return sum(min(width, 4096) if form == "image" else width for form, width in zip(fold.form, widths, strict=True))


def _load_fold(job: BaselinesJob, summary: DataSummary, fold: int, channel: Channel) -> _Fold:
    parts: dict[str, tuple[list[Any], Targets]] = {}
    names: tuple[PartName, ...] = ("train", "validation", "test")
    no_matrix = ""
    form: tuple[str, ...] = ()
    counts: tuple[tuple[int, ...], ...] = ()
    for part in names:
        if part != "train" and not summary.rows.get(part):
            continue
        channel.beat()
        if summary.given is None:
            rows = load_part(Path(job.data), part, fold)
            form, counts = _describe_inputs(summary, tuple(rows.x))
            blocks = list(rows.x.values())
        else:
            rows = load_examples_part(Path(job.data), part, fold)
            try:
                blocks = list_blocks(rows.x)
            except NoMatrixError as error:
                # The constant prediction takes any rows.
                blocks, no_matrix = [np.zeros((rows.rows, 1))], str(error)
            form, counts = ("array",) * len(blocks), ((),) * len(blocks)
        parts[part] = blocks, read_targets(job, summary, rows)
    task = parts["train"][1].task
    return _Fold(task, parts, form, counts, no_matrix)


def _describe_inputs(summary: DataSummary, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    words = {name: (size,) for name, _, size in summary.features.text}
    codes = tuple(count for _, count in summary.features.codes)
    forms = {"dense": "dense", "codes": "codes", "image": "image", "series": "array"}
    return (
        tuple("text" if name in words else forms[name] for name in names),
        tuple(words.get(name, codes if name == "codes" else ()) for name in names),
    )
