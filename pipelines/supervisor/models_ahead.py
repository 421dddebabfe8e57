"""Models of likely winners, written beside the last trials, so that the study's end has few left to write.

They lie in a separate folder, and those that are kept move to their trials when no further trial will end: what
better trials displace never was a trial's, and after a kill the folder is used or removed as a whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pipelines.engines.base import Backend, Event, Failed, Finished, Job
from pipelines.selection.model_locations import locate_trial
from pipelines.supervisor.open_study import OpenStudy
from pipelines.training.jobs import WRITE_MODELS_AHEAD
from pipelines.training.messages import ModelsAhead
from pipelines.training.trial_folder import ARTIFACTS, MODEL_FILE
from tracking.testing.failpoints import hit

_NAME: Final = "models-ahead"
_FOLDER: Final = "models_ahead"
_SHARE: Final = 0.5  # chosen: of the first half of the trials few stay among the best
_EVERY_S: Final = 1.0  # chosen: each job is a process
_MOST_S: Final = 120.0  # chosen, as for baselines


class LikelyModels:
    """The models of one study's likely winners.

    Args:
        study: the study.
        backend: Keras's backend in the job's worker.

    Attributes:
        is_running: whether some are being written.
    """

    def __init__(self, study: OpenStudy, backend: Backend) -> None:
        self._study = study
        self._context = study.context
        self._backend = backend
        self._folder = study.context.home.locate_study(study.context.name) / _FOLDER
        self._seen = -1
        self._next = 0.0
        self._has_failed = False
        self.is_running = False

    def write_due(self) -> None:
        """Start to write those that are missing, in the second half of the search and after trials have ended."""
        now = self._study.control.clock()
        if self.is_running or self._has_failed or now < self._next:
            return
        self._next, ended = now + _EVERY_S, self._study.ended_trials
        if ended == self._seen or not _SHARE * self._context.most_trials <= ended < self._context.most_trials:
            return
        self._seen = ended
        kept = self._study.recorder.find_missing_models()
        self._remove_others(kept)
        if missing := [number for number in kept if not (self._locate(number) / MODEL_FILE).exists()]:
            self._submit(missing)

    def is_of(self, event: Event) -> bool:
        """Return whether an event is the job's."""
        return self.is_running and event.job == _NAME

    def handle(self, event: Event) -> None:
        """Take note of the end of the job; what it failed to write is written at the study's end, or fails there."""
        self.is_running = not isinstance(event, Finished | Failed)
        self._has_failed = isinstance(event, Failed)

    def move_kept(self) -> None:
        """Move the models that are kept to their trials, once no further trial will end; remove the others."""
        for number in self._study.recorder.find_missing_models():
            source, target = self._locate(number), self._context.home.locate_trial(self._context.name, number)
            if (source / MODEL_FILE).exists():
                for file in (source / ARTIFACTS).iterdir():
                    file.replace(target / ARTIFACTS / file.name)
                hit("model-ahead-moving")
                (source / MODEL_FILE).replace(target / MODEL_FILE)
        self.remove()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _submit(self, numbers: Iterable[int]) -> None:
        context = self._context
        trials = tuple(locate_trial(context.home, context.name, number) for number in numbers)
        payload = ModelsAhead(trials, str(self._folder))
        log = context.home.locate_study(context.name) / "models.log"
        job = Job(_NAME, WRITE_MODELS_AHEAD, payload, log, time_s=_MOST_S, backend=self._backend, aside=True)
        self._study.engine.submit(job)
        self.is_running = True

    def _remove_others(self, kept: Iterable[int]) -> None:
        wanted = {self._locate(number) for number in kept}
        for folder in self._folder.glob("*"):
            if folder not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def _locate(self, number: int) -> Path:
        return self._folder / self._context.home.locate_trial(self._context.name, number).name
