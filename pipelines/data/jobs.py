"""Job of data preparation; importing it loads nothing that only workers need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.prepared import DataSummary, InputKind
from pipelines.data.splits.division import Division
from pipelines.engines.base import JobFunction
from pipelines.spec.data_spec import DataSpec

if TYPE_CHECKING:
    from pipelines.engines.base import Channel


@dataclass(frozen=True)
class DataJob:
    """A study's data to prepare.

    Attributes:
        base: folder that relative paths start from.
        folder: folder of the prepared data.
        prefers: form of features that the model is meant for.
        expected: digest that the data must have with the declared split; None for any.
        division: division of the rows in place of the declared split; None keeps that.
        rows_of: folder of the study's prepared data, whose rows are divided again; None loads them.
        memory_bytes: limit of memory, which decides whether rows are read in pieces; None for none.
    """

    spec: DataSpec
    base: str
    folder: str
    prefers: InputKind
    expected: str | None = None
    division: Division | None = None
    rows_of: str | None = None
    memory_bytes: int | None = None


PREPARE_DATA: JobFunction[DataJob, DataSummary] = JobFunction("pipelines.data.jobs:prepare_data", "reading data")


def prepare_data(job: DataJob, channel: Channel) -> DataSummary:
    """Prepare the data; see `prepare.prepare`."""
    from pipelines.data.prepare import prepare

    rows_of = None if job.rows_of is None else Path(job.rows_of)
    return prepare(
        job.spec,
        Path(job.base),
        Path(job.folder),
        job.prefers,
        job.expected,
        job.division,
        rows_of,
        memory_bytes=job.memory_bytes,
        describe=channel.report,
    )
