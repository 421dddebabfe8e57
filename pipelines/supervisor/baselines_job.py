"""The job that scores a study's baselines, beside its first trials."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from pipelines.baselines.jobs import SCORE_BASELINES, BaselinesJob
from pipelines.baselines.results import Baselines, read_baselines, write_baselines
from pipelines.engines.attempts import RetryPolicy
from pipelines.engines.base import Backend, Event, Failed, Finished, Job
from pipelines.supervisor.events import BaselinesReady, StudyEvent
from pipelines.supervisor.open_study import OpenStudy

_NAME: Final = "baselines"
_MOST_S: Final = 120.0  # chosen; the job itself stops sooner, unless the machine is busy
_SWITCH: Final = "KERASTUDY_BASELINES"
_RETRIES: Final = RetryPolicy(2, frozenset({"died"}))  # chosen: a node that was lost is no property of the data


class BaselinesRun:
    """The baselines of one study, scored once: their file is in the study's folder.

    Args:
        study: the study.
        backend: Keras's backend in the job's worker: any does.
        environ: environment, where `KERASTUDY_BASELINES=off` turns them off for all studies.

    Attributes:
        is_running: whether the job runs.
    """

    def __init__(
        self, study: OpenStudy, backend: Backend = "tensorflow", environ: Mapping[str, str] = os.environ
    ) -> None:
        self._study = study
        self._backend = backend
        self._context = study.context
        self._folder = study.context.home.locate_study(study.context.name)
        self._is_due = study.context.spec.selection.baselines and environ.get(_SWITCH) != "off"
        self.is_running = False
        self._ended_attempts = 0

    def start_once(self) -> bool:
        """Start the job on the first call, unless the baselines are there or not wanted; return whether it started."""
        if not self._is_due:
            return False
        self._is_due = False
        if self._is_there():
            return False
        self._submit()
        return True

    def _submit(self) -> None:
        context = self._context
        payload = BaselinesJob(
            str(context.home.locate_data(context.name)),
            str(self._folder),
            context.training,
            context.objective.metric,
            context.objective.direction,
            is_compiled=context.study.has_user_model,
        )
        log, memory = self._folder / "baselines.log", self._study.memory_bytes
        job = Job(_NAME, SCORE_BASELINES, payload, log, time_s=_MOST_S, memory_bytes=memory, aside=True)
        self._study.engine.submit(replace(job, backend=self._backend))
        self.is_running = True

    def is_of(self, event: Event) -> bool:
        """Return whether an event is the job's."""
        return self.is_running and event.job == _NAME

    def handle(self, event: Event) -> Iterator[StudyEvent]:
        """Record the end of the job; without scores, the reason is stored in their place."""
        if isinstance(event, Finished):
            self.is_running = False
            yield BaselinesReady(event.result)
        elif isinstance(event, Failed):
            self.is_running = False
            self._ended_attempts += 1
            if _RETRIES.allows_retry(event, [0.0] * self._ended_attempts):
                self._submit()
            # One that was stopped is scored when the study goes on.
            elif event.kind != "stopped":
                yield BaselinesReady(self._store_failure(event))

    def _store_failure(self, event: Failed) -> Baselines:
        context = self._context
        reason = f"no baselines: {event.reason}; see {self._folder / 'baselines.log'}"
        failed = Baselines(
            context.objective.metric, context.objective.direction, context.summary.digest, skipped=reason
        )
        write_baselines(self._folder, failed)
        return failed

    def _is_there(self) -> bool:
        known = read_baselines(self._folder)
        return known is not None and (known.metric, known.digest) == (
            self._context.objective.metric,
            self._context.summary.digest,
        )
