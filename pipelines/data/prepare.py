"""Data preparation from end to end: load, check, split, encode, write.

A prepared folder is complete or absent: preparation writes a folder beside it and renames that. It holds

* `summary.json`, `split.csv` (each source row's place, part and fold) and `model_inputs.json` (see `model_inputs`);
* per fold `fold-<k>/<part>.<input>.npy` and `<part>.y.npy` for training, `preprocessing.json` (see `fitted`), and the
  raw rows of the validation and test parts (`<part>.raw.parquet` or `<part>.raw.npy`) for comparing exported models.
  Pictures of 8 bits are bytes in `<part>.<input>-bytes.npy` (see `examples.picture_rows`), except for a user model.

The summary has a fingerprint of the study file's `data` and of the files' contents. If it matches, nothing is prepared
again. What a loader gave is stored too (see `stored_rows`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.content import Content
from pipelines.data.data_notes import note_classes, note_drift, note_overlap
from pipelines.data.fingerprint import (
    FORMAT,
    are_pictures_unchanged,
    calculate_fingerprint,
    calculate_source_fingerprint,
    read_declared_digest,
    read_fingerprint,
    read_source_fingerprint,
    update_digest,
    write_picture_digests,
)
from pipelines.data.make_report import make_report
from pipelines.data.model_inputs import write_model_inputs
from pipelines.data.prepared import PICTURES, DataSummary, InputKind, Task, choose_default_metric
from pipelines.data.prepared_folder import WINDOW_NAMES, WINDOW_TIMES, load_summary
from pipelines.data.raw import PARTS, RawData, Windows
from pipelines.data.read_content import LabelledRows, read_content, read_rows
from pipelines.data.reading.remote_files import COPIES, fetch_sources
from pipelines.data.reading.source_paths import resolve_source_path, use_fetched
from pipelines.data.reading.sources import load, note_stopped_imports
from pipelines.data.row_filters import drop_rows
from pipelines.data.scratch import Scratch
from pipelines.data.series.naive_forecast import describe_naive_forecasts
from pipelines.data.series.windows import cut_windows
from pipelines.data.splits.division import Division
from pipelines.data.splits.split import Split
from pipelines.data.splits.split_rows import divide_again, split_rows
from pipelines.data.stored_rows import load_rows, save_rows
from pipelines.data.streaming.choose_streaming import choose_shuffle, choose_streaming, measure_prepared
from pipelines.data.streaming.prepare_table import prepare_table
from pipelines.data.targets.labels import Labels
from pipelines.data.window_content import WindowContent
from pipelines.data.window_facts import WindowFacts
from pipelines.spec.data_spec import DataSpec
from pipelines.workspace.atomic_files import write_text
from search_spaces.errors import InputError, Problem
from tracking.testing.failpoints import hit

_FLUSHES = 8  # chosen; files that are flushed at once


def prepare(
    spec: DataSpec,
    base: Path,
    folder: Path,
    prefers: InputKind,
    expected: str | None = None,
    division: Division | None = None,
    rows_of: Path | None = None,
    *,
    memory_bytes: int | None = None,
    describe: Callable[[str], None] = lambda step: None,
) -> DataSummary:
    """Return the summary of the data in `folder`; prepare it if needed.

    Args:
        spec: the study file's `data`.
        base: folder that the study file's paths are relative to.
        folder: folder of the prepared data; replaced if it holds other data.
        prefers: form of features that the model family takes.
        expected: digest that the data must have with the split of `spec`, for a study that has trials; None for any.
        division: see `DataJob`.
        rows_of: folder of a study's prepared data whose rows are used again, where `expected` is its digest.
        memory_bytes: limit of memory; rows that are too many for it are read in pieces. None for none.
        describe: is called with each step, in words.

    Raises:
        InputError: for any problem of the data; `Problem.path` names the key. `folder` stays unchanged.
    """
    fetched = fetch_sources(spec, folder.with_name(COPIES), describe)
    with use_fetched(fetched.files):
        try:
            summary = _prepare(spec, base, folder, prefers, expected, division, rows_of, memory_bytes, describe)
        except UnicodeEncodeError as error:
            raise InputError(_explain_half_character(error)) from None
    return _replace_unreached(folder, summary, fetched.notes)


def _prepare(
    spec: DataSpec,
    base: Path,
    folder: Path,
    prefers: InputKind,
    expected: str | None,
    division: Division | None,
    rows_of: Path | None,
    memory_bytes: int | None,
    describe: Callable[[str], None],
) -> DataSummary:
    """Return the summary of the data, of whose addresses there are copies; see `prepare`."""
    sources = calculate_source_fingerprint(spec, base, prefers, division)
    if expected is not None and _is_ready(folder, sources, expected) and are_pictures_unchanged(folder, base):
        return load_summary(folder)
    choice = choose_streaming(spec, base, prefers, memory_bytes, expected)
    # Pictures are read into a file without a name, which is gone with this process.
    scratch = Scratch(folder.parent) if choice.streams and prefers in PICTURES else None
    # Files are compared by content, without parsing them; a named set or a loader has to be loaded for it.
    by_contents = _is_files_only(spec, base, prefers)
    raw = None
    if not by_contents:
        raw = _load_again(spec, base, prefers, rows_of, expected) or load(spec, base, prefers, scratch)
    fingerprint = calculate_fingerprint(sources, raw)
    if read_fingerprint(folder) == fingerprint and are_pictures_unchanged(folder, base):
        return load_summary(folder)
    # Beside the folder, since a rename works within one file system only.
    aside = folder.with_name(folder.name + ".partial")
    prints = {"format": FORMAT, "fingerprint": fingerprint, "sources": sources}
    with _remove_on_failure(aside):
        if choice.streams and scratch is None:
            summary, declared_digest = prepare_table(spec, base, aside, prefers, division, describe)
        else:
            source_rows = raw or load(spec, base, prefers, scratch)
            keeps_rows = not by_contents and scratch is None
            summary, declared_digest = _prepare_rows(
                spec, base, aside, prefers, division, source_rows, describe, keeps_rows=keeps_rows
            )
    if choice.streams:
        shuffle, line = choose_shuffle(spec, *measure_prepared(aside), memory_bytes)
        lines = (line for line in (choice.note, line) if line)
        summary = dataclasses.replace(summary, streaming=shuffle, notes=(*lines, *summary.notes))
    _write_summary(aside, summary, {**prints, "declared": declared_digest})
    if expected is not None and expected != declared_digest:
        shutil.rmtree(aside)
        message = "the data has changed since the study began; give this study another name, or choose another --home"
        raise InputError(Problem(message, "data.source"))
    _replace_folder(folder, aside)
    return summary


def _replace_unreached(folder: Path, summary: DataSummary, notes: tuple[str, ...]) -> DataSummary:
    """Return the summary with the notes of this look at its addresses, in place of the last one's; store them."""
    if notes == summary.unreached:
        return summary
    others = tuple(note for note in summary.notes if note not in summary.unreached)
    summary = dataclasses.replace(summary, notes=(*notes, *others), unreached=notes)
    file = folder / "summary.json"
    stored = json.loads(file.read_text(encoding="utf-8"))
    write_text(file, json.dumps({**stored, "notes": summary.notes, "unreached": notes}, indent=2))
    return summary


def _explain_half_character(error: UnicodeEncodeError) -> Problem:
    """Return the problem of text that no file can hold: JSON can write one half of a pair of surrogates."""
    around = error.object[max(0, error.start - 20) : error.end + 20]
    message = f"the data holds half of a character, at {around!a}; correct it, or leave such rows out"
    return Problem(message, "data.source")


@contextmanager
def _remove_on_failure(folder: Path) -> Iterator[None]:
    """Remove a folder, which may hold as much as the data, if its preparation fails."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _prepare_rows(
    spec: DataSpec,
    base: Path,
    aside: Path,
    prefers: InputKind,
    division: Division | None,
    source_rows: RawData,
    describe: Callable[[str], None],
    *,
    keeps_rows: bool,
) -> tuple[DataSummary, str]:
    """Write the prepared rows into `aside`, and return their summary and their digest with the declared split."""
    describe(f"preparing {source_rows.rows:,} rows of {spec.describe_source()}")
    raw, spec = cut_windows(source_rows, spec)
    raw = drop_rows(raw, spec)
    rows = read_rows(raw, spec)
    declared = split_rows(raw, rows.labels, spec)
    split = declared if division is None else divide_again(declared, raw, rows.labels, spec, division)
    if rows.weighting is not None:
        rows.weighting.check_parts(split, None if division is None else "selection.folds")
    content = read_content(rows, raw, spec, split, prefers)
    describe(f"writing the prepared rows of {spec.describe_source()}")
    _write_rows(aside, raw, content, rows, split)
    if source_rows.picture_files:
        write_picture_digests(aside, source_rows.picture_files, base)
    summary = _make_summary(spec, raw, content, rows, split)
    summary = dataclasses.replace(summary, notes=(*summary.notes, *note_stopped_imports(spec, base)))
    write_model_inputs(aside, summary, content.select_original_rows(split.select_rows("validation", 0)[:100]))
    if keeps_rows and division is None:
        save_rows(aside, source_rows)
    # Over all rows, so it takes a while.
    return summary, summary.digest if split is declared else _calculate_digest(content, rows, declared)


def _is_files_only(spec: DataSpec, base: Path, prefers: InputKind) -> bool:
    if prefers in PICTURES and any(not (base / source).is_dir() for _, source in spec.list_sources()):
        return False  # a table may name pictures, whose contents its own do not show
    return all(resolve_source_path(source, base) is not None for _, source in spec.list_sources())


def _is_ready(folder: Path, sources: str, expected: str) -> bool:
    """Return whether a folder holds the data of a study that has trials, by the same settings, files and code."""
    return read_source_fingerprint(folder) == sources and read_declared_digest(folder) == expected


def _load_again(
    spec: DataSpec, base: Path, prefers: InputKind, rows_of: Path | None, expected: str | None
) -> RawData | None:
    """Return the rows that a study's trials were scored on; None where these must be loaded."""
    if rows_of is None or expected is None:
        return None
    return (
        load_rows(rows_of) if _is_ready(rows_of, calculate_source_fingerprint(spec, base, prefers), expected) else None
    )


def _write_summary(folder: Path, summary: DataSummary, prints: Mapping[str, Any]) -> None:
    given = None if summary.given is None else summary.given.to_json()
    described = {**dataclasses.asdict(dataclasses.replace(summary, given=None)), "given": given}
    text = json.dumps({**prints, **described}, indent=2)
    (folder / "summary.json").write_text(text, encoding="utf-8")


def _write_rows(folder: Path, raw: RawData, content: Content, rows: LabelledRows, split: Split) -> None:
    # Files of an interrupted preparation may be there.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for fold in range(split.folds):
        content.write_fold(folder / f"fold-{fold}", rows.labels, rows.weights, split, fold)
        if raw.windows is not None:
            _write_windows(folder / f"fold-{fold}", raw.windows, split, fold)
    _write_split(folder / "split.csv", raw, split)


def _write_windows(folder: Path, windows: Windows, split: Split, fold: int) -> None:
    """Write series and times of the windows that a model is scored on; see `prepared_folder.load_window_rows`."""
    for part in PARTS[1:]:
        rows = split.select_rows(part, fold)
        np.save(folder / f"{part}.{WINDOW_TIMES}.npy", windows.times[rows])
        if windows.names is not None:
            np.save(folder / f"{part}.{WINDOW_NAMES}.npy", windows.names[rows].astype(str))


def _replace_folder(folder: Path, aside: Path) -> None:
    _flush(aside)
    # A folder can be renamed over an empty one only. A kill in between leaves none, and the data is prepared again.
    shutil.rmtree(folder, ignore_errors=True)
    hit("data-prepared")
    aside.replace(folder)


def _flush(folder: Path) -> None:
    """Flush all files to the disk: after a power loss, the rename must not be there without them."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    # Together: a disk serves several at once in the time of one or two.
    with ThreadPoolExecutor(_FLUSHES) as pool:
        list(pool.map(_flush_file, files))


def _flush_file(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _write_split(path: Path, raw: RawData, split: Split) -> None:
    table = pd.DataFrame({"row": [raw.format_place(row) for row in range(raw.rows)], "part": split.part})
    if split.folds > 1:
        table["fold"] = split.fold
    table.to_csv(path, index=False)


def _calculate_digest(content: Content, rows: LabelledRows, split: Split) -> str:
    digest = hashlib.sha256()
    content.update_digest(digest)
    # Fixed types: NumPy's text is as wide as the longest word, and its integers depend on the platform.
    update_digest(digest, rows.labels.y, rows.weights, split.part.astype("<U10"), split.fold.astype(np.int64))
    return digest.hexdigest()


def _make_summary(spec: DataSpec, raw: RawData, content: Content, rows: LabelledRows, split: Split) -> DataSummary:
    weighting = () if rows.weighting is None else (rows.weighting.describe(raw),)
    task = _describe_task(rows.labels, split, spec).with_weights(is_weighted=bool(weighting))
    _check_output_names(task, content)
    report = make_report(content.columns, rows.labels, split)
    return DataSummary(
        source=spec.describe_source(),
        task=task,
        features=content.features,
        raw=content.raw,
        rows={part: len(split.select_rows(part)) for part in PARTS},
        folds=split.folds,
        digest=_calculate_digest(content, rows, split),
        encodings=content.encodings,
        notes=(
            *raw.notes,
            *rows.labels.notes,
            *(note for each in task.heads or (task,) for note in note_classes(each)),
            *weighting,
            *content.notes,
            *split.notes,
            *describe_naive_forecasts(raw, rows.labels, split),
            *note_overlap(report),
            *note_drift(report),
        ),
        given=content.form,
        report=report,
        windows=_describe_windows(raw, content),
    )


def _describe_windows(raw: RawData, content: Content) -> WindowFacts | None:
    """Return the facts of windows, with the names of the exported model's inputs."""
    if raw.windows is None or isinstance(content, WindowContent):
        return content.facts if isinstance(content, WindowContent) else None
    return raw.windows.facts.name_inputs({}, content.raw[0].name, "")


def _check_output_names(task: Task, content: Content) -> None:
    """Refuse an output of the model that has the name of an input: a file of ONNX cannot have both."""
    inputs = {column.name.lower(): column.column or column.name for column in content.raw}
    for head in task.heads:
        if (column := inputs.get(head.output.lower())) is not None:
            message = (
                f'the target "{head.targets[0]}" and the column "{column}" would both be "{head.output}" in the '
                "exported model; give one another name by data.names, or leave the column out by data.drop"
            )
            raise InputError(Problem(message, "data.target"))


def _describe_task(labels: Labels, split: Split, spec: DataSpec) -> Task:
    """Return the task with the statistics of training rows; of all rows but the test part with folds."""
    if labels.heads:
        heads = [dataclasses.replace(_describe_task(each, split, spec), output=each.output) for each in labels.heads]
        # In the order of Keras's `flatten`, which sorts the keys of a dict.
        return Task(labels.kind, labels.targets, heads=tuple(sorted(heads, key=lambda head: head.output)))
    y = labels.y[split.select_rows("train")] if split.trains_on_all else labels.y[split.part == "train"]
    if labels.classes:
        # `minlength`: a class may have no row among these.
        counts = tuple(int(count) for count in np.bincount(y, minlength=len(labels.classes)))
        metric = choose_default_metric(counts)
        return Task(labels.kind, labels.targets, labels.classes, class_counts=counts, default_metric=metric)
    if labels.kind == "custom":
        return Task("custom", labels.targets)
    width = y.shape[1]
    if labels.kind == "multi_label" or not spec.scale_target:
        return Task(labels.kind, labels.targets, target_mean=(0.0,) * width, target_scale=(1.0,) * width)
    mean, scale = y.mean(axis=0, dtype=np.float64), y.std(axis=0, dtype=np.float64)
    # A target may be constant in the training rows, and not in all rows.
    scale = np.where(scale > 0, scale, 1.0)
    return Task(labels.kind, labels.targets, target_mean=tuple(mean.tolist()), target_scale=tuple(scale.tolist()))
