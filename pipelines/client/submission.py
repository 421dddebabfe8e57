"""`StudyClient`, the interface of both clients, and submission of a study through it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from pipelines.client.access import AccessClient
from pipelines.operations.control import StudyStatus
from pipelines.operations.uploads import UploadRow
from pipelines.queries.views import BestTrial, StudyRow, StudyView, TrialRow
from pipelines.study.study import Study
from pipelines.supervisor.event_log import StoredEvent
from search_spaces.errors import InputError, KerastudyError
from tracking.store.model_grants import RegisteredModel
from tracking.store.study_queue import ENDED_STATES, ControlRequest
from tracking.timings.spans import StudyRun

if TYPE_CHECKING:
    from pipelines.export.export import ExportResult
    from pipelines.operations.archive import ArchiveResult
    from pipelines.operations.delete import DeletionResult
    from pipelines.operations.predict import Predictions
    from pipelines.operations.promote import PromotionResult
    from pipelines.operations.replay.replay import ReplayResult
    from pipelines.operations.report import ReportResult
    from pipelines.queries.hosts import HostView
    from pipelines.queries.usage import HomeUsage
    from tracking.reports.comparison import ComparisonTables

_POLL_S = 1.0  # a study takes minutes; each poll is a request to the service
_MAX_SILENCE_S = 60.0  # a restart takes seconds, or half a minute on a busy machine


class StudyClient(Protocol):
    """Studies of a home (`LocalClient`) or of a service (`HttpClient`).

    Each method raises InputError if the study or the request is refused, and KerastudyError if the service does not
    answer.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def submit(self, study: Study, *, priority: int = 0) -> tuple[str, bool]:
        """Submit a study; return its name, and whether it is new there."""

    def upload_data(self, study: Study) -> Study:
        """Upload the data files of a study, and return it with their new names."""

    def list_studies(self, *, archived: bool = False) -> Sequence[StudyRow]:
        """Return every study, oldest first; archived ones on request."""

    def read_study(self, name: str) -> StudyView:
        """Return one study."""

    def read_timings(self, name: str) -> Sequence[StudyRun]:
        """Return what the time of a study's runs was spent on, the oldest run first."""

    def list_trials(self, name: str) -> Sequence[TrialRow]:
        """Return a study's trials."""

    def find_best_trial(self, name: str) -> BestTrial:
        """Return a study's best trial."""

    def read_log(self, name: str, trial: int | None, *, follow: bool) -> Iterator[str]:
        """Yield a study's log, or a trial's, piece by piece; with `follow`, until the study ends."""

    def read_events(self, name: str) -> Iterator[StoredEvent]:
        """Yield a study's events from the first one, until the study ends."""

    def control(self, name: str, control_request: ControlRequest) -> StudyStatus:
        """Pause, stop or cancel a study; return its status afterwards."""

    def delete(self, name: str, *, force: bool) -> DeletionResult:
        """Delete a study with its files, runs and versions; with `force`, even if something needs it."""

    def archive(self, name: str) -> ArchiveResult:
        """Hide a study that has ended, and remove what its results do not need."""

    def unarchive(self, name: str) -> ArchiveResult:
        """Show an archived study again."""

    def read_usage(self) -> HomeUsage:
        """Return the room that the home takes."""

    def list_hosts(self) -> Sequence[HostView]:
        """Return the processes that run studies on all hosts."""

    def export(
        self, name: str, trial: int | None, formats: Sequence[str] | None, target: Path, *, ensemble: bool = False
    ) -> ExportResult:
        """Write a model of a study to a new folder."""

    def predict(self, name: str, file: Path, target: Path, trial: int | None) -> Predictions:
        """Write the predictions for the rows of a file to a new CSV file."""

    def write_report(self, name: str, target: Path) -> ReportResult:
        """Write a study's report to one HTML file."""

    def compare(
        self, names: Sequence[str], target: Path | None, report: Callable[[str], None]
    ) -> tuple[ComparisonTables, ReportResult | None]:
        """Compare studies, and write the page of that if a target is given; `report` is called with each step."""

    def promote(self, name: str, trial: int | None, alias: str | None, *, force: bool) -> PromotionResult:
        """Move an alias to a trial's model, if it is at least as good as the version that has the alias."""

    def replay(self, name: str, trial: int, target: Path | None, report: Callable[[str], None]) -> ReplayResult:
        """Train a trial again and compare it with its record; `report` is called with each step."""

    def list_models(self) -> Sequence[RegisteredModel]:
        """Return the registered models, with whom they belong to and who else may use them."""

    def grant_model(self, name: str, submitter: str, *, moves_protected: bool) -> RegisteredModel:
        """Let another submitter register and promote under a registered model's name."""

    def revoke_model(self, name: str, submitter: str) -> RegisteredModel:
        """Take a grant back."""

    def list_uploads(self) -> Sequence[UploadRow]:
        """Return the uploaded data files: the caller's, or everybody's for an admin."""

    def remove_upload(self, name: str) -> None:
        """Remove an uploaded data file that no study needs."""

    @property
    def access(self) -> AccessClient:
        """Accounts, tokens and the audit log."""


@dataclass(frozen=True)
class SubmissionResult:
    """Result of a submission.

    Attributes:
        study: the study's name.
        is_new: whether there is something to run that was not there before.
        state: the study's state.
        place: its place in the queue, from 1; None if it does not wait, or on a home without a service.
        next: the command that shows more.
    """

    study: str
    is_new: bool
    state: str
    place: int | None
    next: str


def submit(client: StudyClient, study: Study, priority: int, *, upload: bool) -> SubmissionResult:
    """Submit a study, with its data files if `upload` is set.

    Raises:
        InputError: if it is refused.
    """
    if upload:
        study = client.upload_data(study)
    name, is_new = client.submit(study, priority=priority)
    view = client.read_study(name)
    return SubmissionResult(name, is_new, view.state, getattr(view, "place", None), f"kerastudy logs {name} --follow")


def wait(client: StudyClient, name: str) -> StudyStatus:
    """Wait until a study is over or paused.

    A service that restarts is silent for some seconds: the wait ends after a minute without an answer.

    Raises:
        InputError: if there is no such study.
        KerastudyError: if the service does not answer.
    """
    answered_at = time.monotonic()
    while True:
        try:
            view = client.read_study(name)
        # It is a KerastudyError too, but an answer: waiting would not change it.
        except InputError:
            raise
        except KerastudyError:
            if time.monotonic() - answered_at > _MAX_SILENCE_S:
                raise
        else:
            answered_at = time.monotonic()
            if view.state in (*ENDED_STATES, "paused"):
                return StudyStatus(name, view.state, view.reason)
        time.sleep(_POLL_S)


def follow(client: StudyClient, name: str) -> Iterator[str | StudyStatus]:
    """Yield a study's log piece by piece until the study ends, and its status as the last value.

    Raises:
        InputError: if there is no such study.
        KerastudyError: if the service does not answer.
    """
    # A log also ends when the service stops, so the wait below decides whether the study is over.
    yield from client.read_log(name, None, follow=True)
    yield wait(client, name)
