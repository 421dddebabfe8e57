"""Preparation of a study's data by a worker, within the study's limit of memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from pipelines.data.jobs import PREPARE_DATA, DataJob
from pipelines.data.prepared import DataSummary
from pipelines.data.reading.source_paths import is_confined, may_import_keras
from pipelines.data.splits.division import Division
from pipelines.engines.base import Engine, Job
from pipelines.engines.run_job import JobError, Responder, run_job
from pipelines.spec.units import format_bytes
from pipelines.study.check_listener import CheckListener
from pipelines.study.study import Study
from search_spaces.errors import InputError, Problem

# Of the machine's memory, where the study sets no limit: with more, the system would kill any process.
_SHARE_OF_MEMORY = 0.9
_BOUND = " as far as this service's operator allows"


def prepare_study_data(
    study: Study,
    engine: Engine,
    folder: Path,
    log: Path,
    *,
    expected: str | None = None,
    division: Division | None = None,
    rows_of: Path | None = None,
    listener: CheckListener | None = None,
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
        listener: is called with each step.

    Raises:
        InputError: if the data cannot be used, has another digest, does not fit into the memory, or takes too long.
        JobError: if the job fails otherwise.
    """
    again = None if rows_of is None else str(rows_of)
    limits, listener = study.spec.limits, listener or CheckListener()
    memory = limits.memory or int(_SHARE_OF_MEMORY * psutil.virtual_memory().total)
    payload = DataJob(study.spec.data, str(study.base), str(folder), study.prefers, expected, division, again, memory)
    job = Job("data", PREPARE_DATA, payload, log, memory_bytes=memory, time_s=limits.data_time)
    if not may_import_keras(study.spec.data):
        # Fresh: no other job of the study would use its worker, which starts at once and would stay.
        job = replace(job, backend="none", fresh=True)
    listener.describe(f"reading {study.spec.data.describe_source()}")
    try:
        return run_job(engine, job, listener.keep_alive, responder=_StepResponder(listener))
    except JobError as error:
        if error.kind == "time":
            raise InputError(_explain_time(study)) from None
        if error.kind != "memory":
            raise
        raise InputError(_explain_memory(study, error.reason)) from None


class _StepResponder(Responder):
    def __init__(self, listener: CheckListener) -> None:
        self._listener = listener

    def record(self, message: Any) -> None:
        """Pass a step of the job on."""
        self._listener.describe(str(message))


def _explain_time(study: Study) -> Problem:
    source = study.spec.data.describe_source()
    took = f"takes longer than {study.spec.limits.data_time:g} s"
    message = f"preparing {source} {took}; raise the limit{_BOUND if is_confined() else ''}, or give fewer rows"
    return Problem(message, "limits.data_time")


def _explain_memory(study: Study, reason: str) -> Problem:
    limit, source = study.spec.limits.memory, study.spec.data.describe_source()
    if limit is None:
        return Problem(f"{source} does not fit into this machine's memory; give fewer rows ({reason})", "data.source")
    message = (
        f"preparing {source} takes more than {format_bytes(limit)}; raise the limit{_BOUND if is_confined() else ''}, "
        f"or give fewer rows ({reason})"
    )
    return Problem(message, "limits.memory")
