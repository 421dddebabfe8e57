"""Projection of a study to MLflow: the outbox's records as runs, metrics, artifacts and models.

MLflow is a projection: it can be rebuilt, and no decision depends on what it holds. Each record can be delivered twice.
Runs are found by the tag `kerastudy.key`, never by a thread-local "active run". Times come from the records, because
MLflow stores a repeated metric point once only if its timestamp is the same. The time of a trial's end that is recorded
a second time is the one that MLflow already has.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from search_spaces.errors import KerastudyError
from search_spaces.safe_text import escape_markdown
from tracking.mlflow import client, model_registry, shared_views, urls
from tracking.mlflow.formatting import (
    NOTE,
    format_outcome,
    format_value,
    make_curve_points,
    make_final_metrics,
    make_metrics,
    make_test_metrics,
)
from tracking.mlflow.model_registry import TrialRun
from tracking.mlflow.names import encode_name
from tracking.mlflow.refusals import Refusals
from tracking.mlflow.run_log import RunLog
from tracking.mlflow.run_rows import RunRows
from tracking.mlflow.runs import Runs, StudyRun
from tracking.mlflow.trial_runs import TrialRuns
from tracking.outbox.records import (
    ModelDisplaced,
    ModelKept,
    Record,
    StudyClosed,
    StudyOpened,
    TrialFinished,
    TrialRecord,
)
from tracking.outbox.sink import Severity
from tracking.store.model_digests import ModelDigests, make_mlflow_key
from tracking.testing.failpoints import hit

_STUDY_STATUS: Final = {"finished": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
# Chosen: each trial takes a few requests, and a failure repeats the whole delivery.
_TRIALS_TOGETHER: Final = 10
# Chosen: with more, a trial costs no less; others can write to the database between two transactions.
_TRIALS_A_TRANSACTION: Final = 100


class MlflowProjection:
    """Record sink that writes to MLflow.

    Attributes:
        trials_together: see `RecordSink`.
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        artifact_root: str | None = None,
        namespace: str = "",
        check: Callable[[], None] | None = None,
        digests: ModelDigests | None = None,
    ) -> None:
        """Connect.

        Args:
            tracking_uri: a server's address, or a database.
            artifact_root: URI under which new experiments keep artifacts; MLflow's choice if None.
            namespace: part of every key, so that two stores may record to one MLflow.
            check: called before each request; raises to prevent it.
            digests: gets the digests of each model's files before they are uploaded.
        """
        self._client = client.connect(tracking_uri, check)
        self._refusals = Refusals()
        self._log = RunLog(self._client, self._refusals, check or (lambda: None))
        self._runs = Runs(self._client, artifact_root, namespace)
        self._digests = digests
        rows = RunRows.find(self._client, check or (lambda: None))
        self._trials = TrialRuns(self._client, self._runs, self._log, self._refusals, rows)
        self.trials_together = _TRIALS_TOGETHER if rows is None else _TRIALS_A_TRANSACTION
        self._opened: dict[str, StudyOpened] = {}
        self._notes: dict[str, float | None] = {}

    def remember(self, opened: StudyOpened) -> None:
        """Remember a study whose `StudyOpened` was delivered by an earlier process."""
        self._opened[opened.study] = opened

    def classify_error(self, error: Exception) -> Severity:
        """Return whether an error of `deliver` is an outage, a fault of the record, or unclear.

        A server that fails at the simplest request too is away, whatever its answer to the record was.
        """
        found = client.classify_error(error)
        if found != "unclear":
            return found
        try:
            self._client.search_experiments(max_results=1)
        except MlflowException:
            return "outage"
        return found

    def deliver(self, records: Sequence[Record]) -> None:
        """Deliver records in order, those of one trial together; a repeated delivery changes nothing.

        Raises:
            KerastudyError: if the study of a record was never opened.
            RefusedPartsError: if MLflow refused parts of them, and took all others.
            MlflowException: if MLflow fails; see `classify_error`.
        """
        self._refusals.clear()
        try:
            for of_trials, group in itertools.groupby(records, lambda record: isinstance(record, TrialRecord)):
                if of_trials:
                    self._record_trials([record for record in group if isinstance(record, TrialRecord)])
                else:
                    for record in group:
                        self._record(record)
            self._refusals.raise_found()
        except Exception:
            # The run may have been deleted, or the server replaced: look everything up again.
            self._runs.forget()
            raise

    def _record(self, record: Record) -> None:
        match record:
            case StudyOpened():
                self._open_study(record)
            case ModelKept():
                self._keep_model(record)
            case ModelDisplaced():
                study = self._get_study(record.study)
                key = self._runs.make_key(record.study, record.number, record.retraining)
                displace = model_registry.release_key if record.retraining else model_registry.delete_trial_model
                displace(self._client, study.experiment_id, key)
            case StudyClosed():
                self._close_study(record)

    def _get_study(self, name: str) -> StudyRun:
        if name not in self._opened:
            raise KerastudyError(f'study "{name}" was never opened in MLflow: its first row is missing')
        return self._runs.find_or_create_study(self._opened[name])

    def _open_study(self, opened: StudyOpened) -> None:
        self._opened[opened.study] = opened
        self._runs.forget(opened.study)
        study = self._get_study(opened.study)
        self._client.update_run(study.run_id, status="RUNNING")
        tags = {**opened.tags, "state": "running", "kerastudy.state": "running", "kerastudy.metric": opened.metric}
        tags["kerastudy.reason"] = ""  # an earlier pause or end may have left one
        self._log.log(study, tags={**tags, "kerastudy.direction": opened.direction})
        self._trials.log_dataset(study, opened)
        with self._refusals.collect(f"the views of {study.name}"):
            self._seed_views(study)
        best = self._client.get_run(study.run_id).data.metrics.get(encode_name(f"best_{opened.metric}"))
        result = "no result yet" if best is None else f"best {opened.metric} so far {best:.6g}"
        self._write_note(study, f"Running: {result}")
        self._log.upload(study, opened.artifacts)

    def _record_trials(self, records: Sequence[TrialRecord]) -> None:
        by_study: dict[str, list[TrialRecord]] = {}
        for record in records:
            by_study.setdefault(record.study, []).append(record)
        ended: list[tuple[TrialFinished, TrialRun]] = []
        for name, of_study in by_study.items():
            study = self._get_study(name)
            if found := self._trials.record(study, of_study):
                self._record_progress(study, found)
            ended += found
        # Last, because MLflow may refuse files alone: a web server in front of it limits their size.
        for finished, run in ended:
            self._add_files(finished, run)

    def _add_files(self, finished: TrialFinished, run: TrialRun) -> None:
        self._upload_trial_files(run, finished.folder)
        if finished.model is not None and Path(finished.model).exists():
            with self._refusals.collect(f"the model of {run.name}"):
                model_id = self._log_model(finished.study, run, Path(finished.model))
                self._log.log(run, metrics=make_final_metrics(finished, model_id))

    def _log_model(self, study: str, run: TrialRun, saved: Path) -> str:
        def record_files(model_id: str, files: Mapping[str, str]) -> None:
            if self._digests is not None:
                self._digests.record(make_mlflow_key(model_id), study, files)

        return model_registry.log_trial_model(self._client, run, saved, record_files)

    def _upload_trial_files(self, run: TrialRun, folder: str) -> None:
        self._log.upload(run, folder, run.artifacts)
        hit("artifacts-uploaded")

    def _keep_model(self, kept: ModelKept) -> None:
        """Log the model of a trial that has ended, with its scores; the run's end and status stay."""
        if not Path(kept.model).exists():  # displaced since
            return
        run, _ = self._runs.find_or_create_trial(self._get_study(kept.study), kept.number)
        self._upload_trial_files(run, kept.folder)
        model_id = self._log_model(kept.study, run, Path(kept.model))
        self._log.log_named(run, self._load_scores(run.run_id, model_id))

    def _load_scores(self, run_id: str, model_id: str) -> list[Metric]:
        """Return a trial's recorded scores, linked to a model; MLflow stores a repeated point once."""
        names = [name for name in self._client.get_run(run_id).data.metrics if name.startswith("best_")]
        points = [point for name in names for point in self._client.get_metric_history(run_id, name)]
        return [Metric(point.key, point.value, point.timestamp, point.step, model_id=model_id) for point in points]

    def _record_progress(self, study: StudyRun, ended: Sequence[tuple[TrialFinished, TrialRun]]) -> None:
        """Log the study's curve, one step a trial, and write the best score so far to its note."""
        metric, best = study.opened.metric, None
        points: list[Metric] = []
        for finished, run in ended:
            if finished.best_so_far is None:
                continue
            points += make_curve_points({"best_so_far": finished.best_so_far}, finished.at_ms, finished.number)
            if finished.value is not None and finished.value == finished.best_so_far:
                points += make_metrics({f"best_{metric}": finished.value}, finished.at_ms)
                best = finished, run
        self._log.log(study, metrics=points)
        if best is not None and self._notes.get(study.name) != best[0].value:
            finished, run = best
            self._write_note(
                study, f"Running: best {metric} so far {finished.value:.6g}, trial {finished.number}", winner=run
            )
            self._notes[study.name] = finished.value

    def _close_study(self, closed: StudyClosed) -> None:
        study = self._get_study(closed.study)
        self._runs.delete_twins(study)
        model_registry.delete_twins(self._client, study.experiment_id, f"{self._runs.make_key(study.name)}/")
        winner = None if closed.winner is None else self._runs.find_or_create_trial(study, closed.winner)[0]
        delivered = winner
        if closed.winner is not None and closed.retraining:
            delivered = self._runs.find_or_create_trial(study, closed.winner, closed.retraining)[0]
        registered = None
        with self._refusals.collect(f"the registered model {closed.register}"):
            registered = self._register(study, closed, delivered)
        metrics = make_test_metrics(closed)
        if delivered is not None:
            further = make_metrics(closed.winner_metrics, closed.finished_ms)
            if metrics or further:
                self._log.log(delivered, metrics=[*metrics, *further])
            self._log.upload(delivered, closed.winner_artifacts)
        self._tag_pareto_front(study, closed)
        scores = {f"best_{study.opened.metric}": closed.best_value, **closed.metrics}
        metrics += make_metrics(scores, closed.finished_ms)
        tags = {**closed.tags, "state": closed.state, "kerastudy.state": closed.state}
        tags["kerastudy.reason"] = closed.reason
        # A pause with running trials may have left a count of them, which must become 0 at the end.
        states = {"running": 0, "paused": 0, **closed.trials}
        counts = {f"kerastudy.trials.{state}": str(count) for state, count in states.items()}
        self._log.log(study, metrics=metrics, tags={**tags, **counts})
        self._write_note(study, format_outcome(study.opened, closed), winner=winner, registered=registered)
        self._settle_children(study, closed)
        if closed.state == "paused":
            self._client.update_run(study.run_id, status="SCHEDULED")
        else:
            self._client.set_terminated(study.run_id, _STUDY_STATUS[closed.state], closed.finished_ms)
        self._log.upload(study, closed.artifacts)

    def _register(
        self, study: StudyRun, closed: StudyClosed, winner: TrialRun | None
    ) -> model_registry.RegisteredVersion | None:
        if winner is None or closed.register is None:
            return None
        score = "" if closed.best_value is None else f"{study.opened.metric} {closed.best_value:.6g}, "
        link = urls.make_run_url("", winner.experiment_id, winner.run_id)
        return model_registry.register_winner(
            self._client,
            winner,
            model_registry.Registration(
                closed.register,
                tags={
                    "study": closed.study,
                    "trial": str(closed.winner),
                    "metric": study.opened.metric,
                    "value": format_value(closed.best_value),
                    "dataset_digest": study.opened.dataset_digest,
                },
                description=f"{score}trial {closed.winner} of study {closed.study}: [{winner.name}]({link})",
            ),
            alias=closed.alias,
            study_key=self._runs.make_key(closed.study),
            ended_ms=closed.finished_ms,
        )

    def _tag_pareto_front(self, study: StudyRun, closed: StudyClosed) -> None:
        """Tag the runs of trials on the Pareto front of several objectives, and reset the tag of all others."""
        if not study.opened.columns:
            return
        on_pareto_front = {self._runs.make_key(study.name, number) for number in closed.pareto_front}
        for key, run in self._runs.load_trials(study).items():
            self._client.set_tag(run.run_id, "kerastudy.pareto_front", str(key in on_pareto_front).lower())

    def _settle_children(self, study: StudyRun, closed: StudyClosed) -> None:
        """Leave no child run unfinished without a process: after a pause it is SCHEDULED, otherwise KILLED."""
        for run in self._runs.load_trials(study).values():
            # After a pause the end may come without it, as of a retraining that is not needed any more.
            if run.status not in ("RUNNING", "SCHEDULED"):
                continue
            if closed.state == "paused":
                self._client.update_run(run.run_id, status="SCHEDULED")
            else:
                self._client.set_terminated(run.run_id, "KILLED", closed.finished_ms)
            if closed.state == "cancelled":  # for good; after another end it may go on
                for tag in ("state", "kerastudy.state"):
                    self._client.set_tag(run.run_id, tag, closed.state)
        self._runs.forget(study.name)

    def _seed_views(self, study: StudyRun) -> None:
        name = shared_views.TAG_PREFIX + shared_views.make_studies_view_id(study.opened.experiment)
        present = self._client.get_experiment(study.experiment_id).tags.get(name)
        for tag in (
            shared_views.make_leaderboard_tag(study.opened, study.run_id),
            shared_views.make_studies_tag(study.opened, present),
        ):
            self._client.set_experiment_tag(study.experiment_id, *tag)

    def _write_note(
        self,
        study: StudyRun,
        headline: str,
        *,
        winner: TrialRun | None = None,
        registered: model_registry.RegisteredVersion | None = None,
    ) -> None:
        """Write the parent run's description: one bold line, then links. MLflow folds it after four lines."""
        leaderboard = urls.make_leaderboard_url(
            "", study.experiment_id, shared_views.make_leaderboard_view_id(study.name)
        )
        linked = [f"[Leaderboard]({leaderboard})"]
        if winner is not None:
            linked.append(f"[Best trial {winner.name}]({urls.make_run_url('', winner.experiment_id, winner.run_id)})")
        if registered is not None:
            page = urls.make_registered_model_url("", registered.name, registered.version)
            alias = f" ({registered.alias})" if registered.alias else ""
            linked.append(f"[Model {registered.name}, version {registered.version}]({page}){alias}")
        self._log.log(study, tags={NOTE: f"**{escape_markdown(headline)}**\n\n{' · '.join(linked)}"})
