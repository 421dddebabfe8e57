"""Data of runs in MLflow: metrics, parameters and tags in few requests, and files.

A request that MLflow refuses is repeated in halves, so that one entry or file keeps no other from its run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from tracking.mlflow.client import classify_error
from tracking.mlflow.formatting import shorten_tags
from tracking.mlflow.names import describe_cut_names, encode_name, encode_names
from tracking.mlflow.refusals import Refusals
from tracking.mlflow.run_files import RunFiles, stage_files

if TYPE_CHECKING:
    from mlflow import MlflowClient

Entry = Metric | Param | RunTag
# MLflow's limits for one request: 1,000 entries in all, among them 100 parameters and 100 tags.
_METRICS_A_BATCH: Final = 800
_OTHERS_A_BATCH: Final = 100
_NO_TEXTS: Final[Mapping[str, str]] = MappingProxyType({})


class NamedRun(Protocol):
    """Run of a study or of a trial."""

    @property
    def run_id(self) -> str:
        """MLflow's identifier."""

    @property
    def name(self) -> str:
        """Name of the run."""


class RunLog:
    """Writer of data to runs.

    Args:
        client: MLflow's client.
        refusals: collects what MLflow refuses.
        check: called before each upload; raises to prevent it.
    """

    def __init__(self, client: MlflowClient, refusals: Refusals, check: Callable[[], None]) -> None:
        self._client = client
        self._refusals = refusals
        self._check = check

    def log(
        self,
        run: NamedRun,
        *,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] = _NO_TEXTS,
        tags: Mapping[str, str] = _NO_TEXTS,
        known: Sequence[str] = (),
    ) -> None:
        """Log in as few requests as MLflow's limits allow; in none if there is nothing to log.

        Args:
            run: the run.
            metrics: points, with the study's names.
            params: hyperparameters by the study's names, with their values as text.
            tags: tags.
            known: all hyperparameters of the study: two names that are one to MLflow are the same in each run.
        """
        self.log_named(run, *encode_entries(metrics, params, tags, known))

    def log_named(
        self, run: NamedRun, metrics: Sequence[Metric], params: Sequence[Param] = (), tags: Sequence[RunTag] = ()
    ) -> None:
        """Log entries that have their names in MLflow already."""
        for some in zip_longest(
            _divide(metrics, _METRICS_A_BATCH), _divide(params, _OTHERS_A_BATCH), _divide(tags, _OTHERS_A_BATCH)
        ):
            self._send(run, [entry for entries in some for entry in entries or ()])

    def upload(self, run: NamedRun, folder: str, artifacts: str | None = None) -> None:
        """Upload the files of a folder.

        Args:
            run: the run.
            folder: the folder; nothing is uploaded where there is none.
            artifacts: URI of the run's artifacts; requested from MLflow if None.
        """
        if not folder or not Path(folder).is_dir():
            return
        self._check()
        uri = artifacts or self._client.get_run(run.run_id).info.artifact_uri
        repository = get_artifact_repository(uri, tracking_uri=self._client.tracking_uri)
        with stage_files(Path(folder)) as files:
            for name in files.unreadable:
                self._refusals.add(f"the file {name} of {run.name}", PermissionError("it cannot be read"))
            self._upload(run, repository, files)

    def _send(self, run: NamedRun, entries: Sequence[Entry]) -> None:
        try:
            self._client.log_batch(
                run.run_id,
                [entry for entry in entries if isinstance(entry, Metric)],
                [entry for entry in entries if isinstance(entry, Param)],
                [entry for entry in entries if isinstance(entry, RunTag)],
            )
        except MlflowException as error:
            # A run that was deleted refuses everything.
            if classify_error(error) != "refused" or not self._is_active(run):
                raise
            if len(entries) == 1:
                self._refusals.add(f"{_describe(entries[0])} of {run.name}", error)
                return
            middle = len(entries) // 2
            self._send(run, entries[:middle])
            self._send(run, entries[middle:])

    def _is_active(self, run: NamedRun) -> bool:
        return bool(self._client.get_run(run.run_id).info.lifecycle_stage == "active")

    def _upload(self, run: NamedRun, repository: Any, files: RunFiles) -> None:
        try:
            repository.log_artifacts(str(files.folder))
        except Exception as error:
            if classify_error(error) != "refused":
                raise
            for file in files.names:
                self._check()
                with self._refusals.collect(f"the file {file} of {run.name}"):
                    parent = file.parent.as_posix()
                    repository.log_artifact(str(files.folder / file), None if parent == "." else parent)


def encode_entries(
    metrics: Sequence[Metric] = (),
    params: Mapping[str, str] = _NO_TEXTS,
    tags: Mapping[str, str] = _NO_TEXTS,
    known: Sequence[str] = (),
) -> tuple[list[Metric], list[Param], list[RunTag]]:
    """Return entries under their names in MLflow; see `RunLog.log`."""
    of_metrics, of_params = encode_names(point.key for point in metrics), encode_names([*known, *params])
    cut = describe_cut_names({**of_metrics, **{name: of_params[name] for name in params}})
    texts = {encode_name(name): text for name, text in shorten_tags({**tags, **cut}).items()}
    return (
        [_rename(point, of_metrics[point.key]) for point in metrics],
        [Param(of_params[name], value) for name, value in params.items()],
        [RunTag(name, text) for name, text in texts.items()],
    )


def _rename(point: Metric, name: str) -> Metric:
    return Metric(name, point.value, point.timestamp, point.step, model_id=point.model_id)


def _divide(entries: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    return (entries[start : start + most] for start in range(0, len(entries), most))


def _describe(entry: Entry) -> str:
    kind = {Metric: "the metric", Param: "the hyperparameter", RunTag: "the tag"}[type(entry)]
    return f'{kind} "{entry.key}"'
