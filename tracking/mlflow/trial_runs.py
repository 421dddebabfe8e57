"""Runs of trials and retrainings in MLflow, brought up to date with their records.

Where this process has MLflow's database open, the runs of a whole delivery are written in one transaction (`run_rows`).
Everywhere else, and for what is refused there, each run takes a few requests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric
from mlflow.exceptions import MlflowException

from tracking.mlflow.client import classify_error
from tracking.mlflow.formatting import (
    format_value,
    make_epoch_metrics,
    make_final_metrics,
    make_pause_tag,
    make_state_tags,
    make_trial_tags,
)
from tracking.mlflow.model_registry import TrialRun
from tracking.mlflow.refusals import Refusals
from tracking.mlflow.run_log import RunLog, encode_entries
from tracking.mlflow.run_rows import RunChange, RunRows, make_run_id
from tracking.mlflow.runs import KnownRun, Runs, StudyRun
from tracking.outbox.records import (
    EpochsRecorded,
    ParametersDrawn,
    StudyOpened,
    TrialFinished,
    TrialRecord,
    TrialStarted,
)
from tracking.testing.failpoints import hit

if TYPE_CHECKING:
    from mlflow import MlflowClient

# A pruned trial is a success of the pruner; KILLED stands for a cancelled one.
_STATUS: Final = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
# Of 64 characters; MLflow accepts at most 36.
_DIGEST_LENGTH: Final = 16


@dataclass(frozen=True)
class TrialUpdate:
    """What the records of a trial, or of a retraining, change in its run.

    Attributes:
        started: its start; None where it was recorded before.
        tags: tags of its state.
        metrics: points of its epochs.
        params: hyperparameters, with their values as text.
        finished: its end; None where it goes on.
    """

    number: int
    retraining: str
    started: TrialStarted | None
    tags: Mapping[str, str]
    metrics: Sequence[Metric]
    params: Mapping[str, str]
    finished: TrialFinished | None

    @property
    def first_tags(self) -> dict[str, str]:
        """Return the tags of a run that is created now."""
        return {**(self.started.tags if self.started else {}), **self.tags}

    @property
    def started_ms(self) -> int | None:
        """Return the time of the start; None where it was recorded before."""
        return self.started.started_ms if self.started else None

    def end_at(self, known: KnownRun | None) -> TrialUpdate:
        """Return the update with the end that MLflow has already, and with the scores of the end."""
        if self.finished is None:
            return self
        ended_ms = (known.end_ms if known else None) or self.finished.finished_ms
        finished = replace(self.finished, finished_ms=ended_ms)
        return replace(self, finished=finished, metrics=[*self.metrics, *make_final_metrics(finished)])


def build_updates(records: Sequence[TrialRecord], metric: str) -> list[TrialUpdate]:
    """Return an update for each trial and retraining of a study's records, in the order of their first records."""
    by_run: dict[tuple[int, str], list[TrialRecord]] = {}
    for record in records:
        by_run.setdefault((record.number, record.retraining), []).append(record)
    return [_build_update(number, retraining, found, metric) for (number, retraining), found in by_run.items()]


def _build_update(number: int, retraining: str, records: Sequence[TrialRecord], metric: str) -> TrialUpdate:
    ends = [each for each in records if isinstance(each, TrialFinished)]
    return TrialUpdate(
        number,
        retraining,
        next((each for each in records if isinstance(each, TrialStarted)), None),
        {
            **make_pause_tag(records),
            **(make_trial_tags(ends[-1], metric) if ends else make_state_tags(records, metric)),
        },
        [point for each in records if isinstance(each, EpochsRecorded) for point in make_epoch_metrics(each)],
        {
            name: format_value(value)
            for each in records
            if isinstance(each, TrialStarted | ParametersDrawn)
            for name, value in each.params.items()
        },
        # After a crash between the rows for MLflow and Optuna's a trial has several ends; the first was delivered.
        replace(ends[-1], finished_ms=ends[0].finished_ms) if ends else None,
    )


def make_dataset_input(opened: StudyOpened) -> DatasetInput | None:
    """Return the dataset of a study as MLflow's input of a run; None where the data is unknown."""
    if not opened.dataset_digest:
        return None
    dataset = Dataset(
        name=opened.dataset_name,
        digest=opened.dataset_digest[:_DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": opened.dataset_source}),
        profile=json.dumps({"rows": dict(opened.dataset_rows)}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


class TrialRuns:
    """Writer of trials' records to their runs, except files and models.

    Args:
        client: MLflow's client.
        runs: the runs that MLflow has.
        log: writes to single runs.
        refusals: collects what MLflow refuses.
        rows: writes many runs at once; None where MLflow's database is not this process's.
    """

    def __init__(
        self, client: MlflowClient, runs: Runs, log: RunLog, refusals: Refusals, rows: RunRows | None = None
    ) -> None:
        self._client = client
        self._runs = runs
        self._log = log
        self._refusals = refusals
        self._rows = rows

    def record(self, study: StudyRun, records: Sequence[TrialRecord]) -> list[tuple[TrialFinished, TrialRun]]:
        """Write records of a study's trials; return the ends among them, with the time that MLflow has for each."""
        updates = build_updates(records, study.opened.metric)
        ended = self._write_rows(study, updates)
        if ended is None:
            ended = [self._request(study, update) for update in updates]
        runs = [self._runs.get_trial(study, update.number, update.retraining) for update in updates]
        return [(finished, run) for finished, run in zip(ended, runs, strict=True) if finished is not None]

    def log_dataset(self, run: StudyRun | TrialRun, opened: StudyOpened) -> None:
        """Log the dataset of a study as the input of a run."""
        if (dataset := make_dataset_input(opened)) is not None:
            with self._refusals.collect(f"the dataset of {run.name}"):
                self._client.log_inputs(run.run_id, [dataset])

    # One run after the other ----------------------------------------------------------------------------------

    def _request(self, study: StudyRun, update: TrialUpdate) -> TrialFinished | None:
        """Write a trial's records to its run, with one request for each kind of data; return its end."""
        run, is_new = self._runs.find_or_create_trial(
            study, update.number, update.retraining, started_ms=update.started_ms, tags=update.first_tags
        )
        if update.started is not None:
            self.log_dataset(run, study.opened)
        update = update.end_at(self._runs.load_trials(study)[run.key])
        # A new run has the tags since its creation.
        tags = {} if is_new else update.tags
        self._log.log(run, metrics=update.metrics, params=update.params, tags=tags, known=study.opened.parameters)
        if (finished := update.finished) is not None:
            hit("run-logged")
            self._runs.end_run(study, run, _STATUS[finished.state], finished.state, finished.finished_ms)
        return finished

    # All runs at once -----------------------------------------------------------------------------------------

    def _write_rows(self, study: StudyRun, updates: Sequence[TrialUpdate]) -> list[TrialFinished | None] | None:
        """Write the records of many trials in one transaction, and return their ends; None if requests have to."""
        known = self._runs.load_trials(study)
        parents = {self._runs.make_key(study.name, update.number) for update in updates if update.retraining}
        if self._rows is None or not parents <= known.keys():
            return None
        keys = [self._runs.make_key(study.name, update.number, update.retraining) for update in updates]
        updates = [update.end_at(known.get(key)) for update, key in zip(updates, keys, strict=True)]
        changes = [self._plan_change(study, update, known.get(key)) for update, key in zip(updates, keys, strict=True)]
        try:
            uris = self._rows.write(study.experiment_id, changes)
        except MlflowException as error:
            if classify_error(error) == "outage":
                raise
            return None
        for update, key, change in zip(updates, keys, changes, strict=True):
            known[key] = _follow(update, change, known.get(key), uris)
            if update.finished is not None:
                hit("run-logged")
        return [update.finished for update in updates]

    def _plan_change(self, study: StudyRun, update: TrialUpdate, known: KnownRun | None) -> RunChange:
        new = None
        if known is None:
            new = self._runs.describe_new_trial(
                study, update.number, update.retraining, started_ms=update.started_ms, tags=update.first_tags
            )
        metrics, params, tags = encode_entries(
            update.metrics, update.params, {} if new else update.tags, study.opened.parameters
        )
        return RunChange(
            make_run_id() if known is None else known.run_id,
            new,
            metrics,
            params,
            tags,
            make_dataset_input(study.opened) if update.started is not None else None,
            _choose_status(update, known),
            update.finished.finished_ms if update.finished else None,
        )


def _choose_status(update: TrialUpdate, known: KnownRun | None) -> str:
    """Return the new status of a run; empty where it stays."""
    if update.finished is not None:
        return _STATUS[update.finished.state]
    is_resumed = known is not None and update.started is not None and known.end_ms is None
    return "RUNNING" if known is None or (is_resumed and known.status != "RUNNING") else ""


def _follow(update: TrialUpdate, change: RunChange, known: KnownRun | None, uris: Mapping[str, str]) -> KnownRun:
    """Return a run as MLflow has it after a change."""
    if known is None:
        known = KnownRun(change.run_id, "", "running", None, uris[change.run_id])
    known = replace(known, status=change.status or known.status)
    if (finished := update.finished) is None:
        return known
    return replace(known, state=finished.state, ended_ms=finished.finished_ms)
