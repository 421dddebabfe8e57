"""What MLflow shows of a study: every record of the outbox turned into runs, metrics, artifacts and models.

MLflow is a projection: it can be rebuilt, nothing is ever read back from it to decide anything. Each record can be
delivered twice. Runs are found again by the tag `kerastudy.key`, never by a thread-local "active run"; times come from
the records, because MLflow stores a repeated metric point once only if its timestamp is the same.
"""

from __future__ import annotations

import getpass
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunInfo, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from search_spaces.errors import KerastudyError
from tracking import links, mlflow_connection, mlflow_views, model_registry
from tracking.model_registry import KEY_TAG, TrialRun
from tracking.outbox import Severity
from tracking.records import (
    EpochsRecorded,
    ModelDisplaced,
    ModelKept,
    ParametersDrawn,
    Record,
    StudyClosed,
    StudyOpened,
    TrialFinished,
    TrialRecord,
    TrialStarted,
    Value,
)

_NOTE: Final = "mlflow.note.content"
_PARENT: Final = "mlflow.parentRunId"
# A pruned trial is a success of the pruner; KILLED is for what a person cancelled.
_TRIAL_STATUS: Final = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
_STUDY_STATUS: Final = {"finished": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
_METRICS_A_BATCH: Final = 1000
_PARAMS_A_BATCH: Final = 100
_RUNS_A_PAGE: Final = 1000
_LONGEST_TAG: Final = 5000
_LONGEST_PARAM: Final = 6000
_DIGEST_LENGTH: Final = 16
_ODD_IN_A_NAME: Final = re.compile(r"[^\w\-. :/]")


def run_name(study: str, number: int) -> str:
    """Return the name of a trial's run: unique across studies, and sorted by number."""
    return f"{study}-t{number:03d}"


class Projection:
    """Delivers records to MLflow."""

    def __init__(self, tracking_uri: str, *, artifact_root: str | None = None, namespace: str = "") -> None:
        """Connect.

        Args:
            tracking_uri: a server's address, or a database.
            artifact_root: URI under which new experiments keep artifacts; MLflow's choice if None.
            namespace: part of every key, so that two stores may record to one MLflow.
        """
        self._client = mlflow_connection.connect(tracking_uri)
        self._artifact_root = artifact_root
        self._namespace = namespace
        self._opened: dict[str, StudyOpened] = {}
        self._studies: dict[str, _Study] = {}
        self._runs: dict[str, dict[str, RunInfo]] = {}
        self._notes: dict[str, float | None] = {}

    def remember(self, opened: StudyOpened) -> None:
        """Take note of a study whose `StudyOpened` was delivered by an earlier process."""
        self._opened[opened.study] = opened

    def severity(self, error: Exception) -> Severity:
        """Say whether an error of `deliver` is an outage, the record's own fault, or could be either."""
        return mlflow_connection.severity(error)

    def deliver(self, records: Sequence[Record]) -> None:
        """Deliver records in their order, those of one trial in one request; delivering any again changes nothing.

        Raises:
            KerastudyError: if the study of a record was never opened here.
            MlflowException: whatever MLflow answers; see `severity`.
        """
        try:
            for of_trials, group in itertools.groupby(records, lambda record: isinstance(record, TrialRecord)):
                if of_trials:
                    self._record_trials([record for record in group if isinstance(record, TrialRecord)])
                else:
                    for record in group:
                        self._record(record)
        except Exception:
            # A run that somebody deleted, or a server that was replaced, must be looked up afresh.
            self._studies.clear()
            self._runs.clear()
            raise

    def _record(self, record: Record) -> None:
        match record:
            case StudyOpened():
                self._open_study(record)
            case ModelKept():
                self._keep_model(record)
            case ModelDisplaced():
                study = self._study(record.study)
                key = self._key(record.study, record.number)
                model_registry.delete_trial_model(self._client, study.experiment_id, key)
            case StudyClosed():
                self._close_study(record)

    def _open_study(self, opened: StudyOpened) -> None:
        self._opened[opened.study] = opened
        self._studies.pop(opened.study, None)
        self._runs.pop(opened.study, None)
        study = self._study(opened.study)
        self._client.update_run(study.run_id, status="RUNNING")
        tags = {**opened.tags, "state": "running", "kerastudy.state": "running", "kerastudy.metric": opened.metric}
        self._log(study.run_id, tags={**tags, "kerastudy.direction": opened.direction})
        self._log_dataset(study.run_id, opened)
        self._upload(study.run_id, opened.artifacts)
        self._seed_views(study)
        self._write_note(study, "Running: no result yet")

    def _record_trials(self, records: Sequence[TrialRecord]) -> None:
        told: dict[tuple[str, int], list[TrialRecord]] = {}
        for record in records:
            told.setdefault((record.study, record.number), []).append(record)
        ended: dict[str, list[tuple[TrialFinished, TrialRun]]] = {}
        for (name, number), of_trial in told.items():
            run = self._record_trial(self._study(name), number, of_trial)
            ended.setdefault(name, []).extend((each, run) for each in of_trial if isinstance(each, TrialFinished))
        for name, of_study in ended.items():
            self._record_progress(self._study(name), of_study)

    def _record_trial(self, study: _Study, number: int, records: Sequence[TrialRecord]) -> TrialRun:
        """Bring a trial's run to where the records say it is: as few requests as there are things to say."""
        started = next((each for each in records if isinstance(each, TrialStarted)), None)
        finished = next((each for each in reversed(records) if isinstance(each, TrialFinished)), None)
        tags = {} if finished is None else _trial_tags(finished, study.opened.metric)
        run, is_new = self._trial(study, number, started, tags)
        metrics = [point for each in records if isinstance(each, EpochsRecorded) for point in _curve(each)]
        params = {
            name: _written(value)
            for each in records
            if isinstance(each, TrialStarted | ParametersDrawn)
            for name, value in each.params.items()
        }
        if started is not None:
            self._log_dataset(run.run_id, study.opened)
        if finished is None:
            self._log(run.run_id, metrics=metrics, params=params)
            return run
        self._upload_of_trial(run, finished.folder)
        model_id = None
        if finished.model is not None and Path(finished.model).exists():
            self._log(run.run_id, metrics=metrics, params=params)  # a model takes its run's parameters
            model_id = model_registry.log_trial_model(self._client, run, Path(finished.model))
            metrics, params = [], {}
        metrics += _final_metrics(finished, model_id)
        self._log(run.run_id, metrics=metrics, params=params, tags={} if is_new else tags)
        self._client.set_terminated(run.run_id, _TRIAL_STATUS[finished.state], finished.finished_ms)
        return run

    def _keep_model(self, kept: ModelKept) -> None:
        """Log the model of a trial that has ended, its scores with it; the run's own end and status stay."""
        if not Path(kept.model).exists():  # displaced since
            return
        run, _ = self._trial(self._study(kept.study), kept.number)
        self._upload_of_trial(run, kept.folder)
        model_id = model_registry.log_trial_model(self._client, run, Path(kept.model))
        self._log(run.run_id, metrics=self._scores_of(run.run_id, model_id))

    def _scores_of(self, run_id: str, model_id: str) -> list[Metric]:
        """Return a trial's scores as they were recorded, tied to a model; a repeated point is stored once."""
        names = [name for name in self._client.get_run(run_id).data.metrics if name.startswith("best_")]
        points = [point for name in names for point in self._client.get_metric_history(run_id, name)]
        return [Metric(point.key, point.value, point.timestamp, point.step, model_id=model_id) for point in points]

    def _record_progress(self, study: _Study, ended: Sequence[tuple[TrialFinished, TrialRun]]) -> None:
        """Draw the study's curve, one step a trial, and say in its note what is best so far."""
        metric, points, best = study.opened.metric, [], None
        for finished, run in ended:
            if finished.best_so_far is None:
                continue
            points.append(Metric("best_so_far", finished.best_so_far, finished.finished_ms, finished.number))
            if finished.value is not None and finished.value == finished.best_so_far:
                points.append(Metric(_metric_name(f"best_{metric}"), finished.value, finished.finished_ms, 0))
                best = finished, run
        self._log(study.run_id, metrics=points)
        if best is not None and self._notes.get(study.opened.study) != best[0].value:
            finished, run = best
            self._write_note(
                study, f"Running: best {metric} so far {finished.value:.6g}, trial {finished.number}", winner=run
            )
            self._notes[study.opened.study] = finished.value

    def _close_study(self, closed: StudyClosed) -> None:
        study = self._study(closed.study)
        winner = None if closed.winner is None else self._trial(study, closed.winner)[0]
        self._upload(study.run_id, closed.artifacts)
        registered = self._register(study, closed, winner)
        metrics = _test_metrics(closed)
        if winner is not None and metrics:
            self._log(winner.run_id, metrics=metrics)
        if closed.best_value is not None:
            name = _metric_name(f"best_{study.opened.metric}")
            metrics = [*metrics, Metric(name, closed.best_value, closed.finished_ms, 0)]
        tags = {"state": closed.state, "kerastudy.state": closed.state, "kerastudy.reason": closed.reason}
        counts = {f"kerastudy.trials.{state}": str(count) for state, count in closed.trials.items()}
        self._log(study.run_id, metrics=metrics, tags={**tags, **counts})
        self._write_note(study, _outcome(study.opened, closed), winner=winner, registered=registered)
        self._settle_children(study, closed)
        if closed.state == "parked":
            self._client.update_run(study.run_id, status="SCHEDULED")
        else:
            self._client.set_terminated(study.run_id, _STUDY_STATUS[closed.state], closed.finished_ms)

    def _register(
        self, study: _Study, closed: StudyClosed, winner: TrialRun | None
    ) -> model_registry.RegisteredVersion | None:
        if winner is None or closed.register is None:
            return None
        score = "" if closed.best_value is None else f"{study.opened.metric} {closed.best_value:.6g}, "
        link = links.run_url("", winner.experiment_id, winner.run_id)
        return model_registry.register_winner(
            self._client,
            winner,
            name=closed.register,
            alias=closed.alias,
            tags={
                "study": closed.study,
                "trial": str(closed.winner),
                "metric": study.opened.metric,
                "value": _written(closed.best_value),
                "dataset_digest": study.opened.dataset_digest,
            },
            description=f"{score}trial {closed.winner} of study {closed.study}: [{winner.name}]({link})",
        )

    def _settle_children(self, study: _Study, closed: StudyClosed) -> None:
        """Leave no child RUNNING when nobody works on it: parked ones wait, others were cut off."""
        running = self._client.search_runs(
            [study.experiment_id],
            filter_string=f"tags.`{_PARENT}` = '{study.run_id}' and attributes.status = 'RUNNING'",
            max_results=1000,
        )
        for run in running:
            if closed.state == "parked":
                self._client.update_run(run.info.run_id, status="SCHEDULED")
            else:
                self._client.set_terminated(run.info.run_id, "KILLED", closed.finished_ms)

    def _study(self, name: str) -> _Study:
        """Return a study's experiment and parent run, creating what is missing."""
        if name in self._studies:
            return self._studies[name]
        opened = self._opened.get(name)
        if opened is None:
            raise KerastudyError(f'study "{name}" was never opened in MLflow: its first row is missing')
        experiment_id = self._experiment(opened.experiment)
        tags = {"kerastudy.study": name, "kerastudy.kind": "study"}
        run_id = self._run(experiment_id, self._key(name), name, opened.started_ms, tags)
        self._studies[name] = _Study(opened, experiment_id, run_id)
        return self._studies[name]

    def _trial(
        self,
        study: _Study,
        number: int,
        started: TrialStarted | None = None,
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[TrialRun, bool]:
        """Return a trial's run, and whether it was made just now, with `tags`; it is RUNNING again if `started`."""
        name, key = run_name(study.opened.study, number), self._key(study.opened.study, number)
        known = self._runs_of(study)
        found = known.get(key)
        if found is None:
            own = {_PARENT: study.run_id, "kerastudy.study": study.opened.study, "kerastudy.kind": "trial"}
            own |= {"number": str(number), "state": "running", "kerastudy.state": "running"}
            extra = {} if started is None else dict(started.tags)
            started_ms = study.opened.started_ms if started is None else started.started_ms
            made = self._create_run(study.experiment_id, key, name, started_ms, {**own, **extra, **tags})
            known[key] = made.info
        elif started is not None and found.status == "SCHEDULED":
            self._client.update_run(found.run_id, status="RUNNING")
            known[key] = self._client.get_run(found.run_id).info
        info = known[key]
        return TrialRun(study.experiment_id, info.run_id, name, key, info.artifact_uri), found is None

    def _runs_of(self, study: _Study) -> dict[str, RunInfo]:
        """Return the runs of a study's trials by their keys: asked for once, kept up to date from then on."""
        name = study.opened.study
        if name not in self._runs:
            which = f"tags.`kerastudy.study` = '{name}' and tags.`kerastudy.kind` = 'trial'"
            found: dict[str, RunInfo] = {}
            token = None
            while token is None or token:
                page = self._client.search_runs(
                    [study.experiment_id], filter_string=which, max_results=_RUNS_A_PAGE, page_token=token
                )
                for run in page:
                    found.setdefault(run.data.tags.get(KEY_TAG, ""), run.info)
                token = page.token or ""
            self._runs[name] = found
        return self._runs[name]

    def _run(self, experiment_id: str, key: str, name: str, started_ms: int, tags: Mapping[str, str]) -> str:
        known = self._client.search_runs([experiment_id], filter_string=f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
        run = known[0] if known else self._create_run(experiment_id, key, name, started_ms, tags)
        return str(run.info.run_id)

    def _create_run(self, experiment_id: str, key: str, name: str, started_ms: int, tags: Mapping[str, str]) -> Run:
        fixed = {KEY_TAG: key, "mlflow.source.name": "kerastudy", "mlflow.source.type": "JOB", "mlflow.user": _user()}
        return self._client.create_run(
            experiment_id, start_time=started_ms, run_name=name, tags={**fixed, **_shortened(tags)}
        )

    def _experiment(self, name: str) -> str:
        known = self._client.get_experiment_by_name(name)
        if known is None:
            location = None if self._artifact_root is None else f"{self._artifact_root.rstrip('/')}/{_slug(name)}"
            try:
                return str(self._client.create_experiment(name, artifact_location=location))
            except MlflowException as error:
                # Another study of the same experiment was quicker.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                return self._experiment(name)
        if known.lifecycle_stage == "deleted":
            self._client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)

    def _log(
        self,
        run_id: str,
        *,
        metrics: list[Metric] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log in as few requests as MLflow's limits allow; in none where there is nothing to log."""
        if not (metrics or params or tags):
            return
        points = metrics or []
        rows = [Param(_metric_name(name), value) for name, value in (params or {}).items()]
        labels = [RunTag(name, value) for name, value in _shortened(tags or {}).items()]
        self._client.log_batch(run_id, points[: _METRICS_A_BATCH - 200], rows[:_PARAMS_A_BATCH], labels)
        for start in range(_METRICS_A_BATCH - 200, len(points), _METRICS_A_BATCH):
            self._client.log_batch(run_id, metrics=points[start : start + _METRICS_A_BATCH])
        for start in range(_PARAMS_A_BATCH, len(rows), _PARAMS_A_BATCH):
            self._client.log_batch(run_id, params=rows[start : start + _PARAMS_A_BATCH])

    def _log_dataset(self, run_id: str, opened: StudyOpened) -> None:
        if not opened.dataset_digest:  # nothing is known of the data
            return
        dataset = Dataset(
            name=opened.dataset_name,
            digest=opened.dataset_digest[:_DIGEST_LENGTH],
            source_type="local",
            source=json.dumps({"uri": opened.dataset_source}),
            profile=json.dumps({"rows": dict(opened.dataset_rows)}),
        )
        self._client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    def _upload(self, run_id: str, folder: str) -> None:
        if folder and Path(folder).is_dir():
            self._client.log_artifacts(run_id, folder)

    def _upload_of_trial(self, run: TrialRun, folder: str) -> None:
        """Upload a trial's files to where its run is known to keep them; the client would ask for the run first."""
        if folder and Path(folder).is_dir():
            repository = get_artifact_repository(run.artifacts, tracking_uri=self._client.tracking_uri)
            repository.log_artifacts(folder)  # type: ignore[no-untyped-call]

    def _seed_views(self, study: _Study) -> None:
        name = mlflow_views.TAG_PREFIX + mlflow_views.studies_view(study.opened.experiment)
        present = self._client.get_experiment(study.experiment_id).tags.get(name)
        for tag in (
            mlflow_views.leaderboard_tag(study.opened, study.run_id),
            mlflow_views.studies_tag(study.opened, present),
        ):
            self._client.set_experiment_tag(study.experiment_id, *tag)

    def _write_note(
        self,
        study: _Study,
        outcome: str,
        *,
        winner: TrialRun | None = None,
        registered: model_registry.RegisteredVersion | None = None,
    ) -> None:
        """Write the parent's description: one bold line, then links; only four lines show before it folds."""
        board = links.leaderboard_url("", study.experiment_id, mlflow_views.leaderboard_view(study.opened.study))
        linked = [f"[Leaderboard]({board})"]
        if winner is not None:
            linked.append(f"[Best trial {winner.name}]({links.run_url('', winner.experiment_id, winner.run_id)})")
        if registered is not None:
            page = links.registered_model_url("", registered.name, registered.version)
            linked.append(f"[Model {registered.name}, version {registered.version}]({page})")
        self._client.set_tag(study.run_id, _NOTE, f"**{outcome}**\n\n{' · '.join(linked)}")

    def _key(self, study: str, number: int | None = None) -> str:
        parts = [self._namespace, study, *([] if number is None else [str(number)])]
        return "/".join(part for part in parts if part)


@dataclass(frozen=True)
class _Study:
    """Where a study is in MLflow."""

    opened: StudyOpened
    experiment_id: str
    run_id: str


def _curve(recorded: EpochsRecorded) -> list[Metric]:
    return [
        Metric(_metric_name(name), float(value), at_ms, epoch)
        for epoch, at_ms, values in recorded.epochs
        for name, value in values.items()
    ]


def _final_metrics(finished: TrialFinished, model_id: str | None) -> list[Metric]:
    """Return the scores of a trial at its best epoch, tied to its model where it keeps one."""
    step = int(finished.metrics.get("best_epoch", 0))
    return [
        Metric(_metric_name(name), float(value), finished.finished_ms, step, model_id=model_id)
        for name, value in finished.metrics.items()
    ]


def _test_metrics(closed: StudyClosed) -> list[Metric]:
    """Return the winner's scores on the test rows, told apart from those on training and validation rows."""
    named = {f"test_{name.removeprefix('test_')}": value for name, value in closed.test.items()}
    return [Metric(_metric_name(name), float(value), closed.finished_ms, 0) for name, value in named.items()]


def _trial_tags(finished: TrialFinished, metric: str) -> dict[str, str]:
    tags: dict[str, str] = {**finished.tags, "state": finished.state, "kerastudy.state": finished.state}
    if finished.value is not None:
        tags["value"] = _written(finished.value)
    if finished.reason:
        tags["kerastudy.reason"] = finished.reason
    return {**tags, _NOTE: _trial_note(finished, metric)}


def _trial_note(finished: TrialFinished, metric: str) -> str:
    if finished.value is None:
        return f"**{finished.state.capitalize()}**" + (f": {finished.reason}" if finished.reason else "")
    at = f" at epoch {int(finished.metrics['best_epoch'])}" if "best_epoch" in finished.metrics else ""
    return f"**{metric} {finished.value:.6g}**{at}" + (f" ({finished.reason})" if finished.reason else "")


def _outcome(opened: StudyOpened, closed: StudyClosed) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in closed.trials.items() if count)
    best = "no result"
    if closed.best_value is not None and closed.winner is not None:
        best = f"best {opened.metric} {closed.best_value:.6g}, trial {closed.winner}"
    ending = f" ({closed.reason})" if closed.reason else ""
    return f"{closed.state.capitalize()}: {best}; trials: {counts or 'none'}{ending}"


def _metric_name(name: str) -> str:
    """Return a name that MLflow takes; it allows letters, digits, and - _ . : / and blanks."""
    return _ODD_IN_A_NAME.sub("_", name)


def _written(value: Value) -> str:
    return (repr(value) if isinstance(value, float) else str(value))[:_LONGEST_PARAM]


def _shortened(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: str(value)[:_LONGEST_TAG] for name, value in tags.items()}


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
