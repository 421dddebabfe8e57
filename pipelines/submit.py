"""From a checked study file to a study in the queue: its data prepared, its model tried.

Nothing is recorded before data and model have been seen to work together.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.job import DataJob
from pipelines.data.prepared import DataSummary
from pipelines.data.source_paths import check_source_paths
from pipelines.engines.alone import JobError, run_alone
from pipelines.engines.engine import Engine, Job
from pipelines.models import catalogue
from pipelines.study_file import Study
from pipelines.training.trainer import ModelCheck, TrialJob
from search_spaces.errors import InputError, Problem
from search_spaces.suggest import largest, smallest
from tracking.records import Value
from tracking.store import Store
from tracking.study_queue import StudyQueue, StudyRecord

_QUOTED_LINES = 20


@dataclass(frozen=True)
class Checked:
    """What trying a study showed: its data, and the smallest and the largest model of its space."""

    summary: DataSummary
    smallest: ModelCheck
    largest: ModelCheck


def check_study(study: Study, folder: Path, engine: Engine) -> Checked:
    """Prepare a study's data below `folder`, and build and time the smallest and the largest model.

    Raises:
        InputError: if the data or the model cannot be used; `folder` is as it was.
    """
    with _placed(study), _left_as_it_was(folder), _with_its_output():
        check_source_paths(study.spec.data, study.base)
        summary = prepare_data(study, folder, engine)
        study.objective(summary.task.kind)
        with _left_as_it_was(folder / "check"):
            small, large = _check_models(study, folder, engine)
            shutil.rmtree(folder / "check", ignore_errors=True)
    return Checked(summary, small, large)


def prepare_data(study: Study, folder: Path, engine: Engine) -> DataSummary:
    """Prepare a study's data in `folder`/data; what is there already for the same data is used again."""
    prefers = catalogue.family(study.spec.model).prefers
    payload = DataJob(study.spec.data, str(study.base), str(folder / "data"), prefers)
    job = Job("data", "pipelines.data.job:prepare_data", payload, folder / "prepare.log")
    summary: DataSummary = run_alone(engine, job)
    return summary


def enqueue(study: Study, summary: DataSummary, store: Store) -> StudyRecord:
    """Put a study in the queue; the same study again is the one that is there.

    Raises:
        InputError: if there is a study of that name that searches something else.
    """
    queue = StudyQueue(store)
    identity = f"{study.identity()}:{summary.digest}"
    known = queue.find(study.name)
    document = json.dumps({**study.document.data, "space": study.space.to_dict()})
    if known is not None and known.digest != identity:
        raise InputError(_what_differs(study, known, identity))
    if known is not None:
        queue.amend(study.name, document, identity)
    return queue.enqueue(study.name, document, identity, folder=study.base)


def _what_differs(study: Study, known: StudyRecord, identity: str) -> Problem:
    if known.digest.partition(":")[0] == identity.partition(":")[0]:
        what = "its data has changed since"
    else:
        before = json.loads(known.document)
        parts = ("data", "model", "space", "objective", "training")
        changed = [part for part in parts if before.get(part) != study.document.data.get(part)]
        what = f"{', '.join(changed) or 'the meaning of its space'} differ from what it was submitted with"
    message = f'study "{study.name}" exists already and {what}; give this one another name, or choose another --home'
    return study.document.problem(("study",), message)


def _check_models(study: Study, folder: Path, engine: Engine) -> tuple[ModelCheck, ModelCheck]:
    ends = smallest(study.space), largest(study.space)
    jobs = tuple(_trial(study, folder, values) for values in ends)
    log = folder / "check" / "worker.log"
    limit = study.spec.limits.memory
    job = Job("check", "pipelines.training.check:check_models", jobs, log, memory_bytes=limit)
    try:
        small, large = run_alone(engine, job)
    except JobError as error:
        raise _too_large(ends[1], limit) if error.kind == "memory" else error from None
    return small, large


def _too_large(values: Mapping[str, Value], limit: int | None) -> InputError:
    sizes = ", ".join([f"{name}={value}" for name, value in values.items() if type(value) is int][:8])
    message = f"the largest model that it can ask for ({sizes}) does not fit into memory; lower what makes it large"
    if limit is not None:
        message += f", or raise limits.memory above {limit / 1e9:g} GB"
    return InputError(Problem(message, "space"))


def _trial(study: Study, folder: Path, values: Mapping[str, Value]) -> TrialJob:
    return TrialJob(
        study=study.name,
        number=0,
        values=values,
        per_layer=study.per_layer,
        seed=0,
        model=study.spec.model,
        training=study.spec.training,
        data=str(folder / "data"),
        folder=str(folder / "check"),
        metric="",
        direction="minimize",
        rungs=frozenset(),
    )


@contextmanager
def _placed(study: Study) -> Iterator[None]:
    """Give the problems that a worker found their place in the study file."""
    try:
        yield
    except InputError as error:
        raise study.placed(error) from None


@contextmanager
def _with_its_output() -> Iterator[None]:
    """Quote the end of a failed job's log in its error, since the log does not outlive it."""
    try:
        yield
    except JobError as error:
        lines = error.log.read_text(errors="replace").splitlines() if error.log.exists() else []
        printed = "".join(f"\n    {line}" for line in lines[-_QUOTED_LINES:])
        error.args = (f"{error.job} failed: {error.reason}{'; it printed:' if printed else ''}{printed}",)
        raise


@contextmanager
def _left_as_it_was(folder: Path) -> Iterator[None]:
    """Remove what was made below `folder`, and the folders made for it, if it fails."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        if made:
            shutil.rmtree(made[-1], ignore_errors=True)
        raise
