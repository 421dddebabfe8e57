"""Work of a study beside its trials: its baselines, and the models of likely winners."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from pipelines.engines.base import Backend, Event
from pipelines.selection.model_backend import can_use_numpy
from pipelines.supervisor.baselines_job import BaselinesRun
from pipelines.supervisor.events import StudyEvent
from pipelines.supervisor.models_ahead import LikelyModels
from pipelines.supervisor.open_study import OpenStudy
from tracking.timings.spans import REPORT
from tracking.timings.stopwatch import get_times, time_thread

_TICK_S = 0.5
_LATEST_S = 20.0  # chosen: a first trial that takes longer has the second core to spare


class WorkAside:
    """The work beside the trials of one study.

    Args:
        study: the study.
        load: loads libraries that the report needs.
        trains_in_fleets: whether trials train in fleets: such a study has loaded nothing that writes models, and its
            first trials wait for a program that every core is needed for.
    """

    def __init__(self, study: OpenStudy, load: Callable[[], None], *, trains_in_fleets: bool) -> None:
        self._study = study
        context = study.context
        self._is_late = trains_in_fleets
        uses_numpy = trains_in_fleets and can_use_numpy(context.study, context.summary)
        self._backend: Backend = "numpy" if uses_numpy else "tensorflow"
        self._baselines = BaselinesRun(study, self._backend)
        self._models = LikelyModels(study, self._backend)
        self._loading = threading.Thread(target=_try, args=(load,), daemon=True)
        self._started: float | None = None
        self._has_begun = False
        self._preparation: Preparation | None = None
        self._events: list[StudyEvent] = []

    def begin_due(self) -> None:
        """Begin what is due: nothing that delays a first trial, and one job at a time."""
        if self._has_begun:
            if self._is_late and not self._baselines.is_running:
                self._models.write_due()
            return
        if self._is_due():
            self._begin()

    def _begin(self) -> None:
        self._has_begun = True
        self._loading.start()
        # The job starts the processes too.
        if not self._baselines.start_once() and self._is_late:
            self._study.engine.warm(self._backend)

    def is_of(self, event: Event) -> bool:
        """Return whether an event is of this work."""
        return self._baselines.is_of(event) or self._models.is_of(event)

    def handle(self, event: Event) -> Iterator[StudyEvent]:
        """Record an event of this work."""
        if self._models.is_of(event):
            self._models.handle(event)
        else:
            yield from self._baselines.handle(event)

    def collect(self, event: Event) -> None:
        """Record an event of this work; what there is to show of it, `finish` yields."""
        if self.is_of(event):
            self._events += self.handle(event)

    def move_models(self) -> None:
        """Give the kept trials the models that were written for them ahead.

        Raises:
            HaltedError: if a pause or a cancellation was requested.
        """
        while self._models.is_running:
            self._wait()
        self._models.move_kept()

    def remove_models(self) -> None:
        """Remove models that were written ahead and that no trial has got."""
        self._models.remove()

    def begin_report(self) -> None:
        """Begin to prepare the report, once no further trial will end."""
        if not self._has_begun:
            self._begin()
        self._preparation = Preparation(self._prepare_report)
        self._preparation.start()

    def finish_report(self) -> None:
        """Wait until the report is prepared, if that has begun.

        Raises:
            OSError: if the disk is full.
        """
        if self._preparation is not None:
            while not self._preparation.has_ended(_TICK_S):
                self._study.control.keep_alive()

    def _prepare_report(self) -> None:
        # Before anything else imports the same modules, which could find them half loaded.
        self._loading.join()
        self._study.recorder.prepare_report()

    def finish(self) -> Iterator[StudyEvent]:
        """Wait for the end of this work while no other job runs.

        Raises:
            HaltedError: if a pause or a cancellation was requested.
        """
        if not self._has_begun:
            self._begin()
        while self._baselines.is_running:
            self._wait()
        yield from self._events
        self._events.clear()

    def _wait(self) -> None:
        self._study.control.keep_alive_unless_halted()
        for event in self._study.engine.events(_TICK_S):
            self.collect(event)

    def _is_due(self) -> bool:
        if not self._is_late or self._study.ended_trials:
            return True
        clock = self._study.control.clock()
        self._started = self._started or clock
        return clock > self._started + _LATEST_S


class Preparation(threading.Thread):
    """A thread whose error its owner gets, and whose time counts for the study of the thread that made it."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._prepare = prepare
        self._times = get_times()
        self._error: Exception | None = None

    def run(self) -> None:
        """Prepare."""
        try:
            with time_thread(self._times, REPORT):
                self._prepare()
        except Exception as error:  # the owner raises it
            self._error = error

    def has_ended(self, seconds: float) -> bool:
        """Wait at most so many seconds; return whether it has ended, or raise what ended it."""
        self.join(seconds)
        if self._error is not None:
            raise self._error
        return not self.is_alive()


def _try(load: Callable[[], None]) -> None:
    """Load modules; one that cannot be imported fails again where it is used."""
    with suppress(ImportError):
        load()
