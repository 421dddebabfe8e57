"""`LocalClient`: studies of a home on this machine."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipelines.client.access import LocalAccess
from pipelines.data.reading.source_paths import check_source_paths
from pipelines.operations import grants, uploads
from pipelines.operations.submit import submit_study
from pipelines.operations.uploads import UploadRow
from pipelines.queries.study_reader import StudyReader
from pipelines.queries.views import BestTrial, StudyRow, StudyView, TrialRow
from pipelines.study.study import Study
from pipelines.supervisor.event_log import LOG_FILE, StoredEvent, read_events_after
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, UnknownError
from tracking.store.accounts import LOCAL_USER, OPERATOR, Identity
from tracking.store.audit import AuditLog
from tracking.store.database import Store
from tracking.store.model_grants import RegisteredModel
from tracking.store.study_queue import ControlRequest, StudyQueue
from tracking.store.submissions import Submissions
from tracking.timings.spans import StudyRun, read_runs

if TYPE_CHECKING:
    from pipelines.export.export import ExportResult
    from pipelines.operations.archive import ArchiveResult
    from pipelines.operations.control import StudyStatus
    from pipelines.operations.delete import DeletionResult
    from pipelines.operations.predict import Predictions
    from pipelines.operations.promote import PromotionResult
    from pipelines.operations.replay.replay import ReplayResult
    from pipelines.operations.report import ReportResult
    from pipelines.queries.hosts import HostView
    from pipelines.queries.usage import HomeUsage
    from tracking.reports.comparison import ComparisonTables

_POLL_S = 0.5  # a log is read by eye
_PIECE_BYTES = 1 << 16  # a log of gigabytes is never in memory as a whole


class LocalClient:
    """Studies of a home; see `StudyClient`."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    # Studies -------------------------------------------------------------------------------------------------

    def submit(self, study: Study, *, priority: int = 0) -> tuple[str, bool]:
        """Put a study into the home's queue, for a service to run; return its name, and whether it is new there.

        Raises:
            InputError: if its files are missing, or there is another study of that name.
        """
        try:
            check_source_paths(study.spec.data, study.base)
        except InputError as error:
            raise study.locate_problems(error) from None
        # One transaction: a study without its submission would wait for ever, since a service starts submitted ones
        # only.
        with Store.open(self.home.store) as store, store.write() as connection:
            is_new = submit_study(study, StudyQueue(store), connection)
            caller = _identify_caller()
            Submissions(store).put(study.name, caller, priority, connection)
            AuditLog(store).record("study.submit", study.name, caller, connection=connection)
        return study.name, is_new

    def upload_data(self, study: Study) -> Study:
        """Refuse an upload: the files are on this machine already.

        Raises:
            InputError: always.
        """
        raise InputError("--upload: there is no service to send files to; set KERASTUDY_URL")

    def list_studies(self, *, archived: bool = False) -> Sequence[StudyRow]:
        """Return every study, oldest first; archived ones on request."""
        with StudyReader.open(self.home) as reader:
            return reader.list_studies(archived=archived)

    def read_study(self, name: str) -> StudyView:
        """Return one study."""
        with StudyReader.open(self.home) as reader:
            return reader.read_study(name)

    def read_timings(self, name: str) -> Sequence[StudyRun]:
        """Return what the time of a study's runs was spent on, the oldest run first."""
        self.read_study(name)  # for its error
        return read_runs(self.home.locate_study(name))

    def list_trials(self, name: str) -> Sequence[TrialRow]:
        """Return a study's trials."""
        with StudyReader.open(self.home) as reader:
            return reader.list_trials(name)

    def find_best_trial(self, name: str) -> BestTrial:
        """Return a study's best trial."""
        with StudyReader.open(self.home) as reader:
            return reader.find_best_trial(name)

    def control(self, name: str, control_request: ControlRequest) -> StudyStatus:
        """Pause, stop or cancel a study; return its status afterwards."""
        from pipelines.operations.control import control_study  # the supervisor's modules take long to import

        status = control_study(self.home, name, control_request)
        self._record(f"study.{control_request}", name)
        return status

    def delete(self, name: str, *, force: bool) -> DeletionResult:
        """Delete a study with its files, runs and versions; with `force`, even if something needs it."""
        from pipelines.operations.delete import delete_study

        result = delete_study(self.home, name, force=force)
        self._record("study.delete", name)
        return result

    def archive(self, name: str) -> ArchiveResult:
        """Hide a study that has ended, and remove what its results do not need."""
        from pipelines.operations.archive import archive_study

        result = archive_study(self.home, name)
        self._record("study.archive", name)
        return result

    def unarchive(self, name: str) -> ArchiveResult:
        """Show an archived study again."""
        from pipelines.operations.archive import unarchive_study

        result = unarchive_study(self.home, name)
        self._record("study.unarchive", name)
        return result

    def read_usage(self) -> HomeUsage:
        """Return the room that the home takes."""
        from pipelines.queries.usage import UsageMeter
        from pipelines.spec.home_rules import read_home_rules

        with StudyReader.open(self.home):  # an error for a home without studies
            pass
        with Store.open(self.home.store) as store:
            return UsageMeter(self.home, store, read_home_rules(self.home.folder).quotas).measure()

    def list_hosts(self) -> Sequence[HostView]:
        """Return the processes that run studies on all hosts."""
        from pipelines.queries.hosts import list_hosts

        with StudyReader.open(self.home):  # an error for a home without studies
            pass
        with Store.open(self.home.store) as store:
            return list_hosts(store)

    def read_log(self, name: str, trial: int | None, *, follow: bool) -> Iterator[str]:
        """Yield a study's log, or a trial's, piece by piece; with `follow`, until no process works on the study."""
        file = self._find_log(name, trial)
        position = 0
        while True:
            # The state is read before the file: what is written between the two is yielded all the same.
            # `interrupted` ends it too: unlike a service, a home has no process that resumes the study.
            is_over = not follow or self._has_ended(name)
            while file.exists():
                with file.open("rb") as stream:
                    stream.seek(position)
                    piece = stream.read(_PIECE_BYTES)
                if not piece:
                    break
                position += len(piece)
                yield piece.decode(errors="replace")
            if is_over:
                break
            time.sleep(_POLL_S)
        if position == 0:  # a study that has not begun, and a trial that trained in a fleet
            with StudyReader.open(self.home) as reader:
                yield reader.describe_log(name, trial)

    def read_events(self, name: str) -> Iterator[StoredEvent]:
        """Yield a study's events from the first one, until no process works on the study."""
        self.read_study(name)  # an unknown study is an error with the nearest name
        position = 0
        while True:
            # The state is read first, as for a log.
            is_over = self._has_ended(name)
            while found := read_events_after(self.home, name, position):
                position = found[-1].id
                yield from found
            if is_over:
                return
            time.sleep(_POLL_S)

    def _record(self, operation: str, name: str) -> None:
        """Add a line to the home's audit log, as a service does for each request."""
        with Store.open(self.home.store) as store:
            AuditLog(store).record(operation, name, _identify_caller())

    def _has_ended(self, name: str) -> bool:
        with Store.open(self.home.store) as store:
            record = StudyQueue(store).get(name)
        return record.is_at_rest or (record.state == "running" and record.holder is None)

    def _find_log(self, name: str, trial: int | None) -> Path:
        if trial is None:
            self.read_study(name)  # an unknown study is an error with the nearest name
            return self.home.locate_study(name) / LOG_FILE
        if trial not in {each.number for each in self.list_trials(name)}:
            raise UnknownError(f"{name} has no trial {trial}")
        return self.home.locate_worker_log(name, trial)

    def export(
        self, name: str, trial: int | None, formats: Sequence[str] | None, target: Path, *, ensemble: bool = False
    ) -> ExportResult:
        """Write a model of a study to a new folder; see `export_study`."""
        from pipelines.operations.export import export_study  # loads NumPy and the formats

        return export_study(self.home, name, trial, formats, target, ensemble=ensemble)

    def predict(self, name: str, file: Path, target: Path, trial: int | None) -> Predictions:
        """Write the predictions for the rows of a file to a new CSV file; see `predict_file`."""
        from pipelines.operations.predict import predict_file

        return predict_file(self.home, name, file, target, trial=trial)

    def write_report(self, name: str, target: Path) -> ReportResult:
        """Write a study's report to one HTML file."""
        from pipelines.operations.report import write_report

        return write_report(self.home, name, target)

    def compare(
        self, names: Sequence[str], target: Path | None, report: Callable[[str], None]
    ) -> tuple[ComparisonTables, ReportResult | None]:
        """Compare studies, and write the page of that if a target is given; `report` is called with each step."""
        from pipelines.operations.compare import compare_studies, write_comparison
        from pipelines.operations.report import check_report_target
        from tracking.reports.comparison import make_tables

        if target is not None:
            check_report_target(target)  # before models are scored
        found = compare_studies(self.home, names, report=report)
        return make_tables(found), None if target is None else write_comparison(found, target)

    def promote(self, name: str, trial: int | None, alias: str | None, *, force: bool) -> PromotionResult:
        """Move an alias to a trial's model, if it is at least as good as the version that has the alias."""
        from pipelines.operations.promote import promote_trial

        result = promote_trial(self.home, name, trial, alias, force=force)
        self._record("model.promote", name)
        return result

    def replay(self, name: str, trial: int, target: Path | None, report: Callable[[str], None]) -> ReplayResult:
        """Train a trial again and compare it with its record; `report` is called with each step."""
        from pipelines.operations.replay.replay import replay  # loads pandas

        return replay(self.home, name, trial, target, report)

    # Registered models and uploads ---------------------------------------------------------------------------

    def list_models(self) -> Sequence[RegisteredModel]:
        """Return the registered models, with whom they belong to and who else may use them."""
        with Store.open(self.home.store) as store:
            return grants.list_models(store)

    def grant_model(self, name: str, submitter: str, *, moves_protected: bool) -> RegisteredModel:
        """Let another submitter register and promote under a registered model's name."""
        with Store.open(self.home.store) as store:
            return grants.grant_model(store, name, submitter, moves_protected=moves_protected)

    def revoke_model(self, name: str, submitter: str) -> RegisteredModel:
        """Take a grant back."""
        with Store.open(self.home.store) as store:
            return grants.revoke_model(store, name, submitter)

    def list_uploads(self) -> Sequence[UploadRow]:
        """Return the data files uploaded to the home's service."""
        with Store.open(self.home.store) as store:
            return uploads.list_uploads(self.home, store)

    def remove_upload(self, name: str) -> None:
        """Remove an uploaded data file that no study needs."""
        with Store.open(self.home.store) as store:
            uploads.remove_upload(self.home, store, name, OPERATOR)

    @property
    def access(self) -> LocalAccess:
        """Accounts, tokens and audit log of the home's service."""
        return LocalAccess(self.home)


def _identify_caller() -> Identity:
    user = getpass.getuser()
    return Identity(f"{LOCAL_USER}{user}", user, "admin")
