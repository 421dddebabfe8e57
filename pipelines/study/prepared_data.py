"""Preparation of a study's data by a worker, within the study's limit of memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.data.jobs import PREPARE_DATA, DataJob
from pipelines.data.prepared import DataSummary
from pipelines.data.splits.division import Division
from pipelines.engines.base import Engine, Job
from pipelines.engines.run_job import JobError, run_job
from pipelines.spec.units import format_bytes
from pipelines.study.study import Study
from search_spaces.errors import InputError, Problem


def prepare_study_data(
    study: Study,
    engine: Engine,
    folder: Path,
    log: Path,
    *,
    expected: str | None = None,
    division: Division | None = None,
    rows_of: Path | None = None,
    while_waiting: Callable[[], None] = lambda: None,
) -> DataSummary:
    """Prepare a study's data in `folder`, unless it is there already.

    Args:
        study: the study.
        engine: runs the job.
        folder: the folder to prepare it in.
        log: file that takes what the job prints.
        expected: the digest that the data must have; None for any.
        division: another division of the rows than the declared one; see `DataJob`.
        rows_of: the folder whose rows are divided again; see `DataJob`.
        while_waiting: called about twice a second; what it raises ends the job.

    Raises:
        InputError: if the data cannot be used, has another digest, or does not fit into the memory.
        JobError: if the job fails otherwise.
    """
    again = None if rows_of is None else str(rows_of)
    payload = DataJob(study.spec.data, str(study.base), str(folder), study.prefers, expected, division, again)
    job = Job("data", PREPARE_DATA, payload, log, memory_bytes=study.spec.limits.memory)
    try:
        return run_job(engine, job, while_waiting)
    except JobError as error:
        if error.kind != "memory":
            raise
        raise InputError(_explain_memory(study, error.reason)) from None


def _explain_memory(study: Study, reason: str) -> Problem:
    limit, source = study.spec.limits.memory, study.spec.data.describe_source()
    if limit is None:
        return Problem(f"{source} does not fit into this machine's memory; give fewer rows ({reason})", "data.source")
    message = (
        f"preparing {source} takes more than {format_bytes(limit)}; raise the limit, or give fewer rows ({reason})"
    )
    return Problem(message, "limits.memory")
