"""Writer of trials' runs into MLflow's tables, any number of runs in one transaction.

MLflow's own calls take 50 statements and 9 transactions a trial, 28 ms of CPU; in one session, with one commit, they
still take 60 % of that. Here the rows of many runs are written at once, in MLflow's session, with its models and its
validation. That is done only where this process opens MLflow's SQLite file, and only for versions of MLflow whose
rows a test compares with these; everywhere else, and for whatever is refused here, MLflow's client does the work.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import mlflow
import sqlalchemy as sa
from mlflow.entities import DatasetInput, LifecycleStage, Metric, Param, RunTag, SourceType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels import models  # private, as is all that is imported below: see the versions
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import append_to_uri_path
from mlflow.utils.validation import _validate_batch_log_data
from sqlalchemy.dialects.sqlite import insert

from tracking.mlflow.formatting import NAME
from tracking.testing.failpoints import hit

if TYPE_CHECKING:
    from mlflow import MlflowClient

VERSIONS: Final = frozenset({"3.17.2"})
"""Versions of MLflow whose rows are known: `tests/tracking/mlflow/test_run_rows.py` holds ours equal to them."""

_runs: Final = models.SqlRun.__table__
_tags: Final = models.SqlTag.__table__
_params: Final = models.SqlParam.__table__
_metrics: Final = models.SqlMetric.__table__
_latest: Final = models.SqlLatestMetric.__table__
_datasets: Final = models.SqlDataset.__table__
_inputs: Final = models.SqlInput.__table__
_input_tags: Final = models.SqlInputTag.__table__
_experiments: Final = models.SqlExperiment.__table__


class NotWritableError(MlflowException):
    """Rows that are not written here; MLflow's client knows what to do, or what to refuse."""


@dataclass(frozen=True)
class NewRun:
    """Facts of a run that does not exist yet, with its first tags."""

    name: str
    user: str
    started_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunChange:
    """What changes in one run.

    Attributes:
        new: facts of a new run; None for one that exists.
        status: its new status; empty where it stays.
    """

    run_id: str
    new: NewRun | None = None
    metrics: Sequence[Metric] = ()
    params: Sequence[Param] = ()
    tags: Sequence[RunTag] = ()
    dataset: DatasetInput | None = None
    status: str = ""
    ended_ms: int | None = None


class RunRows:
    """Rows of runs in the MLflow database that this process has open.

    Args:
        store: MLflow's store.
        check: called before each transaction; raises to prevent it.
    """

    def __init__(self, store: SqlAlchemyStore, check: Callable[[], None]) -> None:
        self._store = store
        self._check = check

    @classmethod
    def find(cls, client: MlflowClient, check: Callable[[], None]) -> RunRows | None:
        """Return the writer for a client's database; None where a server has it, or another MLflow wrote it."""
        store = client._tracking_client.store
        # Not a subclass: one with workspaces restricts who may write what.
        if type(store) is not SqlAlchemyStore or mlflow.__version__ not in VERSIONS:
            return None
        # The tests compare the rows of SQLite; MLflow's other databases stand behind its server.
        return cls(store, check) if store.engine.dialect.name == "sqlite" else None

    def write(self, experiment_id: str, changes: Sequence[RunChange]) -> dict[str, str]:
        """Write what changes in runs of an experiment, all of it or nothing; return the artifact URIs of new runs.

        Raises:
            NotWritableError: if MLflow's client has to do it.
            MlflowException: if the database fails.
        """
        for change in changes:
            _validate(change)
        self._check()
        with self._store.ManagedSessionMaker(read_only=False) as session:
            writer = _Writer(session.connection(), int(experiment_id), changes)
            uris = writer.write()
            # Before MLflow's session commits: a kill here leaves nothing, and the records are delivered again.
            for _ in uris:
                hit("run-created")
        return uris


def make_run_id() -> str:
    """Return the identifier of a new run, as MLflow makes it."""
    return uuid.uuid4().hex


def _validate(change: RunChange) -> None:
    if not all(math.isfinite(point.value) for point in change.metrics):
        raise NotWritableError("a metric is not finite")
    if any(point.model_id is not None for point in change.metrics):
        raise NotWritableError("a metric belongs to a model")
    try:
        _validate_batch_log_data(change.metrics, change.params, change.tags)  # type: ignore[no-untyped-call]
    except MlflowException as error:
        raise NotWritableError(str(error)) from error


class _Writer:
    """One transaction."""

    def __init__(self, connection: sa.Connection, experiment_id: int, changes: Sequence[RunChange]) -> None:
        self._connection = connection
        self._experiment_id = experiment_id
        self._changes = changes
        self._old = [change.run_id for change in changes if change.new is None]

    def write(self) -> dict[str, str]:
        """Write everything; return the artifact URIs of new runs."""
        root = self._find_artifact_root()
        # SQLite's transaction begins with the first statement that writes, so all that is needed is read before.
        self._check_runs()
        params, latest, inputs = self._list_params(), self._list_latest(), list(self._generate_inputs())
        uris = {
            change.run_id: str(append_to_uri_path(root, change.run_id, "artifacts"))  # type: ignore[no-untyped-call]
            for change in self._changes
            if change.new is not None
        }
        self._add(_runs, [self._make_run(change, uris[change.run_id]) for change in self._changes if change.new])
        self._put(_tags, list(self._generate_tags()), ["value"])
        self._add(_params, params)
        self._add(_metrics, [_make_point(change.run_id, point) for change in self._changes for point in change.metrics])
        self._put(_latest, latest, ["value", "timestamp", "step", "is_nan"])
        self._add(_inputs, [row for row, _ in inputs])
        self._add(_input_tags, [tag for _, tags in inputs for tag in tags])
        self._update_runs()
        return uris

    # Reading -------------------------------------------------------------------------------------------------

    def _find_artifact_root(self) -> str:
        found = self._connection.execute(
            sa.select(_experiments.c.artifact_location, _experiments.c.lifecycle_stage).where(
                _experiments.c.experiment_id == self._experiment_id
            )
        ).one_or_none()
        if found is None or found.lifecycle_stage != LifecycleStage.ACTIVE:
            raise NotWritableError("the experiment was deleted")
        return str(found.artifact_location)

    def _check_runs(self) -> None:
        """Check that runs that exist are active."""
        found = self._select(sa.select(_runs.c.run_uuid, _runs.c.lifecycle_stage), _runs.c.run_uuid)
        stages = {row.run_uuid: row.lifecycle_stage for row in found}
        if any(stages.get(run_id) != LifecycleStage.ACTIVE for run_id in self._old):
            raise NotWritableError("a run was deleted")

    def _list_params(self) -> list[dict[str, Any]]:
        """Return the rows of parameters that runs do not have yet."""
        known = {(row.run_uuid, row.key): row.value for row in self._select(sa.select(_params), _params.c.run_uuid)}
        new: dict[tuple[str, str], str] = {}
        for change in self._changes:
            for param in change.params:
                place = change.run_id, param.key
                if known.get(place, new.setdefault(place, param.value)) != param.value:
                    raise NotWritableError("a parameter has another value already")
        return [
            {"run_uuid": run_id, "key": key, "value": value}
            for (run_id, key), value in new.items()
            if (run_id, key) not in known
        ]

    def _list_latest(self) -> list[dict[str, Any]]:
        """Return the rows of each run's latest metrics that change: MLflow shows and sorts these."""
        known = {(row.run_uuid, row.key): row for row in self._select(sa.select(_latest), _latest.c.run_uuid)}
        ranks = {place: (row.step, row.timestamp, row.value) for place, row in known.items()}
        changed: dict[tuple[str, str], dict[str, Any]] = {}
        for change in self._changes:
            for point in change.metrics:
                place, rank = (change.run_id, point.key), (point.step, point.timestamp, point.value)
                if place not in ranks or rank > ranks[place]:
                    ranks[place], changed[place] = rank, _make_point(change.run_id, point)
        return list(changed.values())

    def _generate_inputs(self) -> Iterable[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Yield the row that links a run to its dataset, with its tags; the study's own run has stored the dataset."""
        known = self._select(sa.select(_inputs.c.destination_id, _inputs.c.source_id), _inputs.c.destination_id)
        linked = {(row.destination_id, row.source_id) for row in known}
        datasets: dict[tuple[str, str], str] = {}
        for change in self._changes:
            if change.dataset is None:
                continue
            place = change.dataset.dataset.name, change.dataset.dataset.digest
            if place not in datasets:
                datasets[place] = self._find_dataset(*place)
            if (change.run_id, datasets[place]) in linked:
                continue
            linked.add((change.run_id, datasets[place]))
            row = {"input_uuid": uuid.uuid4().hex, "source_type": "DATASET", "source_id": datasets[place]}
            row |= {"destination_type": "RUN", "destination_id": change.run_id}
            tags = [
                {"input_uuid": row["input_uuid"], "name": tag.key, "value": tag.value} for tag in change.dataset.tags
            ]
            yield row, tags

    def _find_dataset(self, name: str, digest: str) -> str:
        of_experiment = _datasets.c.experiment_id == self._experiment_id
        found = self._connection.scalar(
            sa.select(_datasets.c.dataset_uuid).where(
                of_experiment, _datasets.c.name == name, _datasets.c.digest == digest
            )
        )
        if found is None:
            raise NotWritableError("the dataset is not stored")
        return str(found)

    def _select(self, query: sa.Select[Any], column: sa.ColumnElement[str]) -> Sequence[sa.Row[Any]]:
        """Return rows of the runs that exist."""
        return self._connection.execute(query.where(column.in_(self._old))).all() if self._old else ()

    # Writing -------------------------------------------------------------------------------------------------

    def _make_run(self, change: RunChange, artifacts: str) -> dict[str, Any]:
        assert change.new is not None
        return {
            "run_uuid": change.run_id,
            "name": change.new.name,
            "source_type": SourceType.to_string(SourceType.UNKNOWN),
            "source_name": "",
            "entry_point_name": "",
            "user_id": change.new.user,
            "status": change.status or "RUNNING",
            "start_time": change.new.started_ms,
            "end_time": change.ended_ms,
            "deleted_time": None,
            "source_version": "",
            "lifecycle_stage": LifecycleStage.ACTIVE,
            "artifact_uri": artifacts,
            "experiment_id": self._experiment_id,
        }

    def _generate_tags(self) -> Iterable[dict[str, Any]]:
        for change in self._changes:
            first = {} if change.new is None else {NAME: change.new.name, **change.new.tags}
            for key, value in {**first, **{tag.key: tag.value for tag in change.tags}}.items():
                yield {"run_uuid": change.run_id, "key": key, "value": value}

    def _update_runs(self) -> None:
        """Update status, end and name of runs that exist."""
        for change in self._changes:
            if change.new is not None:
                continue
            name = next((tag.value for tag in change.tags if tag.key == NAME), None)
            values = {"status": change.status, "end_time": change.ended_ms, "name": name}
            if given := {column: value for column, value in values.items() if value}:
                self._connection.execute(sa.update(_runs).where(_runs.c.run_uuid == change.run_id).values(**given))

    def _add(self, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows; one that is there already stays."""
        if rows:
            self._connection.execute(insert(table).on_conflict_do_nothing(), rows)

    def _put(self, table: Any, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Insert rows, and set columns of those that are there already."""
        if rows:
            added = insert(table)
            changed = {name: added.excluded[name] for name in columns}
            self._connection.execute(
                added.on_conflict_do_update(index_elements=["key", "run_uuid"], set_=changed), rows
            )


def _make_point(run_id: str, point: Metric) -> dict[str, Any]:
    return {
        "run_uuid": run_id,
        "key": point.key,
        "value": point.value,
        "timestamp": point.timestamp,
        "step": point.step,
        "is_nan": False,
    }
