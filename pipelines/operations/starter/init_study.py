"""Study file for a data file: the data is prepared once, and what that shows decides model, space and comments."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from pipelines.data.prepared import DataSummary
from pipelines.engines.base import Engine
from pipelines.engines.local_engine import LocalEngine
from pipelines.operations.check import check_study, prepare_data
from pipelines.operations.starter.document import Starter, format_flow, write_document
from pipelines.operations.starter.mend import add_missing_key
from pipelines.operations.starter.plan import choose_plan
from pipelines.operations.starter.series import NO_REQUEST, SeriesRequest, describe_series, list_other_columns
from pipelines.operations.starter.source import Form, SourceFacts, read_source
from pipelines.operations.starter.text_folder import holds_texts, write_loader
from pipelines.study.check_listener import CheckListener
from pipelines.study.load import check_document
from pipelines.study.study import Study
from pipelines.workspace.atomic_files import write_text
from search_spaces.errors import InputError, Problem
from search_spaces.yaml_document import make_document
from search_spaces.yaml_reader import parse_document

_READS: dict[Form, str] = {"table": "mixed", "vectors": "mlp", "images": "cnn", "series": "series"}
"""Family that takes a form in full, before the one for the study is chosen."""
_IDENTIFIER = re.compile(r'column "(.+?)" (.+?); if it is an identifier, set data\.drop')
_NAMED = ("sklearn:", "keras:")
_SPLIT = {"validation": 0.2, "test": 0.1, "seed": 0}
_OTHER_SPLITS = " rows; or by folds, group, order or column"
_FAR = f"..{os.sep}.."


@dataclass(frozen=True)
class StarterFile:
    """A study file that was written.

    Attributes:
        file: its path.
        study: the study's name.
        targets: the target columns.
        task: the task in words.
        model: the family.
        notes: what was decided for the user, and what looks wrong with the data.
    """

    file: str
    study: str
    targets: tuple[str, ...]
    task: str
    model: str
    notes: tuple[str, ...] = ()


def init_study(
    source: str,
    targets: Sequence[str] = (),
    *,
    file: Path | None = None,
    name: str | None = None,
    request: SeriesRequest = NO_REQUEST,
    engine: Engine | None = None,
    listener: CheckListener | None = None,
) -> StarterFile:
    """Write a study file for a data source.

    Args:
        source: a file, a folder, a pattern, or a named set, as `data.source` takes it; paths from the current folder.
        targets: names of the target columns; empty to guess it.
        file: the file to write; named as the source, in the current folder, by default.
        name: the study's name; the source's by default.
        request: the series to forecast, if any.
        engine: runs the jobs; a new engine if None.
        listener: is called with each step.

    Raises:
        InputError: if the data cannot be used, the file exists, or there is no such column; nothing is written.
    """
    name = name or _derive_name(source)
    file = file or Path(f"{name}.yaml")
    if file.exists():
        raise InputError(Problem(f"{file} exists; choose another file, or remove it", "--to"))
    if not file.parent.is_dir():
        raise InputError(Problem(f"there is no folder {file.parent}; make it, or choose another file", "--to"))
    base = file.parent.resolve()
    listener = listener or CheckListener()
    listener.describe(f"reading {source}")
    with tempfile.TemporaryDirectory(prefix="kerastudy-") as scratch, ExitStack() as stack:
        loader = _write_loader(source, name, base)
        if loader is not None:
            stack.callback(_remove_unless, loader, file.exists)
        data, reasons = {"source": f"{loader.name}:load" if loader else _write_source(source, base)}, dict[str, str]()
        facts = _read(data, reasons, base, targets, request)
        used = engine or stack.enter_context(closing(LocalEngine(1)))
        summary = _prepare(data, reasons, facts, base, Path(scratch), used, listener)
        notes = (*_note_series(facts, source), *summary.notes)
        starter = Starter(file.name, name, data, reasons, facts, summary, choose_plan(summary), notes=notes)
        text, study = _write(starter, base)
        # As `validate` does: what is written is ready to run.
        checked = check_study(study, Path(scratch) / "check", used, listener=listener)
        write_text(file, text)
    shown = [key for key in reasons if key != "split" or facts.looks_like_series]
    decided = (f"data.{key}: {format_flow(data[key])} ({reasons[key]})" for key in shown)
    return StarterFile(
        str(file), name, facts.targets, checked.summary.describe_task(), study.spec.model, (*decided, *notes)
    )


def _note_series(facts: SourceFacts, source: str) -> Sequence[str]:
    """Return a note on a table that looks like a series, where no forecast is requested."""
    if facts.series is None or not facts.looks_like_series:
        return ()
    return (describe_series(facts.series, source, facts.targets[0]),)


def _write_loader(source: str, name: str, base: Path) -> Path | None:
    """Write the loader of a folder of texts beside the study file; return None for any other source.

    Raises:
        InputError: if a file has its name.
    """
    if not holds_texts(Path(source)):
        return None
    loader = base / f"{re.sub('[^A-Za-z0-9_]', '_', name)}_loader.py"
    if loader.exists():
        raise InputError(Problem(f"{loader} exists; choose another name, or remove it", "--name"))
    write_text(loader, write_loader(_write_source(source, base)))
    return loader


def _remove_unless(file: Path, is_needed: Callable[[], bool]) -> None:
    if not is_needed():
        file.unlink(missing_ok=True)


def _read(
    data: dict[str, Any], reasons: dict[str, str], base: Path, targets: Sequence[str], request: SeriesRequest
) -> SourceFacts:
    """Read the source and add target and series to the section, and the keys that reading cannot do without.

    Raises:
        InputError: if it cannot be read, or has no such column.
    """
    if targets:
        data["target"] = targets[0] if len(targets) == 1 else list(targets)
    while True:
        try:
            facts = read_source(data, base, request)
            break
        except InputError as error:
            if not add_missing_key(data, reasons, error):
                raise
    if facts.why:
        data["target"], reasons["target"] = facts.targets[0], facts.why
    if facts.holds_lists:
        data["task"], reasons["task"] = "multi_label", "cells of the target hold several labels"
    if facts.series is not None:
        # Before the data is prepared, which notes a split at random.
        data["split"] = _choose_split(facts)
    if facts.form == "series" and facts.series is not None:
        data["series"] = facts.series.to_key()
        if facts.series.reason:
            reasons["series"] = facts.series.reason
    return facts


def _derive_name(source: str) -> str:
    """Return a study's name for a source: what is left of its last part without endings."""
    last = source.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    stem = last.partition(":")[2] if last.startswith(_NAMED) else last.lstrip(".").partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_") or "study"


def _write_source(source: str, base: Path) -> str:
    """Return a source as a study file in a folder names it."""
    if source.startswith(_NAMED) or "://" in source:
        return source
    path = Path(source).expanduser().absolute()
    near = os.path.relpath(path, base)
    # A path from far away means nothing to a reader.
    return str(path) if near.startswith(_FAR) else near


def _prepare(
    data: dict[str, Any],
    reasons: dict[str, str],
    facts: SourceFacts,
    base: Path,
    scratch: Path,
    engine: Engine,
    listener: CheckListener,
) -> DataSummary:
    """Prepare the data, and add the keys to its section that it cannot do without.

    Raises:
        InputError: if it cannot be used as it is.
    """
    for attempt in count():
        study = _check({"study": "starter", "data": data, "model": _READS[facts.form]}, base)
        try:
            summary = prepare_data(study, scratch / str(attempt), engine, listener=listener)
        except InputError as error:
            if not (add_missing_key(data, reasons, error) or _drop_columns(data, reasons, error)):
                raise
        else:
            if not _drop_identifiers(data, reasons, summary):
                break
    if facts.targets:
        data["split"] = data.pop("split", _SPLIT)
        reasons["split"] = _describe_split(facts, summary)
    return summary


def _describe_split(facts: SourceFacts, summary: DataSummary) -> str:
    rows = ", ".join(f"{rows:,} {part}" for part, rows in summary.rows.items())
    if facts.form == "series":
        return f"{rows} windows, divided in time: the newest are the test rows; or by rolling origins, folds: 5"
    in_time = "" if not facts.looks_like_series else "in time, a guess, since the rows look like a series: "
    return f"{in_time}{rows}{_OTHER_SPLITS}"


def _choose_split(facts: SourceFacts) -> dict[str, Any]:
    """Return how the rows are divided: in time where they look like a series, as windows of one are."""
    if facts.series is None:
        return _SPLIT
    # Both are drawn in time, and take no seed.
    order = {"order": facts.series.time} if facts.looks_like_series else {}
    return {**order, **{key: share for key, share in _SPLIT.items() if key != "seed"}}


def _drop_columns(data: dict[str, Any], reasons: dict[str, str], error: InputError) -> bool:
    """Leave out columns that windows cannot hold; return whether there were any."""
    names = list_other_columns(data, error)
    if not names:
        return False
    data["drop"] = [*data.get("drop", ()), *names]
    reasons["drop"] = "windows hold numbers, dates and categories"
    return True


def _drop_identifiers(data: dict[str, Any], reasons: dict[str, str], summary: DataSummary) -> bool:
    """Leave out columns that look like identifiers, unless nothing would be left; return whether there were any."""
    matches = filter(None, map(_IDENTIFIER.match, summary.notes))
    found = {match[1]: match[2] for match in matches}
    if not found or "drop" in data or len(found) >= len(summary.raw):
        return False
    data["drop"] = list(found)
    facts = ", ".join(f"{name} {what}" for name, what in found.items())
    reasons["drop"] = f"like an identifier: {facts}; without this key it is a feature"
    return True


def _write(starter: Starter, base: Path) -> tuple[str, Study]:
    """Return the text of a study file, and the study in it."""
    plan = starter.plan
    keys = {"study": starter.name, "data": dict(starter.data), "model": plan.model, "space": dict(plan.space)}
    objective = _check(keys, base).resolve_task_objective(starter.summary.task)
    text = write_document(replace(starter, objective=objective))
    return text, check_document(parse_document(text, starter.file), base, with_code=True)


def _check(keys: dict[str, Any], base: Path) -> Study:
    return check_document(make_document(keys, "study"), base, with_code=True)
