"""Studies of a service: submitted, listed, shown and controlled by clients, in plain values.

It decides who may do what. Addresses, status codes and JSON are in `service.routes`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from pipelines.data.reading.source_paths import check_source_paths
from pipelines.operations import control
from pipelines.operations.submit import submit_study
from pipelines.operations.uploads import UPLOADS
from pipelines.queries.study_reader import StudyReader
from pipelines.queries.views import ListedStudy, ServedStudy, StudyList, StudyRow
from pipelines.service.config import ServiceSpec
from pipelines.service.errors import ForbiddenError, require_scope
from pipelines.service.http.hidden_paths import HiddenPaths
from pipelines.service.mlflow.study_links import PAGES
from pipelines.service.studies.life_cycle import LifeCycle
from pipelines.service.studies.ownership import Ownership
from pipelines.service.studies.path_policy import confine_paths
from pipelines.service.studies.quotas import Quotas
from pipelines.service.studies.study_versions import StudyVersions
from pipelines.service.studies.uploads import Uploads
from pipelines.service.supervisors.supervisor_pool import SupervisorPool
from pipelines.study.load import check_document
from pipelines.study.study import Study
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError, Problem, UnknownError
from search_spaces.yaml_document import Document
from tracking.mlflow.urls import find_external_server
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.registered_names import claim_registered_name
from tracking.store.study_queue import ControlRequest, StudyQueue
from tracking.store.submissions import Request, Submission, Submissions

MAX_IN_A_PAGE = 500
# A kill leaves another state behind than the one that is shown.
_STORED_STATES = {"interrupted": ("preparing", "running"), "queued": ("queued", "preparing")}
_MAX_PRIORITY = 100


class StudyService:
    """Studies of one home, as clients of its service see and change them.

    Attributes:
        life_cycle: deletes and archives them.
        quotas: how much room they may take.
    """

    def __init__(self, home: Home, store: Store, spec: ServiceSpec, supervisors: SupervisorPool) -> None:
        self._home = home
        self._store = store
        self._spec = spec
        self._supervisors = supervisors
        self._queue = StudyQueue(store)
        self._submissions = Submissions(store)
        self._reader = StudyReader(home, store, place="this service")
        self._ownership = Ownership(store)
        self.hidden_paths = HiddenPaths(home, spec)
        self.versions = StudyVersions(store)
        self.uploads = Uploads(home, store, spec)
        self.quotas = Quotas(home, store, spec.quotas)
        self.life_cycle = LifeCycle(home, store, supervisors, spec.protected_aliases)

    # Submitting ----------------------------------------------------------------------------------------------

    def submit(
        self, document: Document, caller: Identity, *, key: str | None = None, priority: int = 0
    ) -> tuple[str, bool]:
        """Put a study in the queue, durably; return its name, and whether it is new there.

        Args:
            document: the study file as it was read.
            caller: the submitter.
            key: an idempotency key: the same key again is the same submission.
            priority: the waiting study with the highest priority starts first.

        Raises:
            InputError: with every problem of the file; nothing was stored.
            ConflictError: if the name or the key belongs to another study, or the registered model is taken.
            ForbiddenError: if the study belongs to another submitter, or the caller may not submit.
            NoRoomError: if a quota is reached.
        """
        require_scope(caller, "submit")
        if not -_MAX_PRIORITY <= priority <= _MAX_PRIORITY:
            raise InputError(
                f"priority: expected a whole number from -{_MAX_PRIORITY} to {_MAX_PRIORITY}, got {priority}"
            )
        if priority > self._spec.ceilings.priority and not caller.has_scope("admin"):
            most = self._spec.ceilings.priority
            raise ForbiddenError(
                f"priority: {caller.name} may choose at most {most} (ceilings.priority), got {priority}"
            )
        # Of what was written, before paths are resolved: a key stands for a request and not for its meaning here.
        request = hashlib.sha256(repr((document.data, priority)).encode()).hexdigest()
        # Outside of the transaction, which locks the store for every supervisor: reading files takes long.
        study = self._check_document(document)
        self.quotas.check_room(caller)
        # One transaction for key, owner and names: of fifty equal requests at once, one makes the study.
        with self._store.write() as connection:
            if key is not None and (known := self._submissions.find_request(caller.id, key, connection)) is not None:
                if known.digest != request:
                    raise ConflictError(f'the idempotency key "{key}" was used for another request: choose another one')
                return known.study, False
            before = self._submissions.find(study.name, connection)
            if before is not None and before.submitter_id != caller.id and not caller.has_scope("admin"):
                message = f'"{study.name}" is a study of {before.submitter}: give yours another name'
                raise ConflictError(study.document.make_problem(("study",), message))
            registered = claim_registered_name(connection, study.registered_name, study.name, caller)
            owner = (
                None
                if registered.study == study.name
                else self._ownership.find_other_owner(registered, caller, connection)
            )
            if owner is not None:
                key_path = ("export", "register") if study.spec.export.register_as else ("study",)
                message = (
                    f'"{study.registered_name}" is a registered model of {owner}: set export.register to another name'
                )
                raise ConflictError(study.document.make_problem(key_path, message))
            is_new = submit_study(study, self._queue, connection)
            self._submissions.put(study.name, caller, priority, connection)
            if is_new:
                self.quotas.check_waiting(caller, connection)
            if key is not None:
                self._submissions.store_request(caller.id, key, Request(request, study.name), connection)
        # After the commit: until then another request could store the old order again.
        self._supervisors.forget_order()
        return study.name, is_new

    def _check_document(self, document: Document) -> Study:
        """Return the study that a document describes, if this service can run it."""
        refused: tuple[Problem, ...] = ()
        try:
            document = confine_paths(document, self._spec, self._home.folder / UPLOADS)
        except InputError as error:
            refused = error.problems
        if any(problem.path.startswith("space.extends") for problem in refused):
            raise InputError(refused)  # further checks would read what it extends
        try:
            # Without code once a path was refused: whether a file exists elsewhere is not shown.
            study = check_document(document, self._home.folder, with_code=not refused)
        except InputError as error:
            raise InputError([*refused, *error.problems]) from None
        if refused:
            raise InputError(refused)
        try:
            check_source_paths(study.spec.data, study.base)
        except InputError as error:
            raise study.locate_problems(error) from None
        return study

    # Reading -------------------------------------------------------------------------------------------------

    def list_studies(
        self,
        *,
        states: Collection[str] = (),
        submitter: str | None = None,
        after: str | None = None,
        limit: int = 50,
        archived: bool = False,
    ) -> StudyList:
        """Return a page of the studies, oldest first; archived ones on request.

        Raises:
            UnknownError: if there is no study called `after`.
        """
        # A study that was cut off is still stored as running: the process that was killed could not change it.
        stored = {each for state in states for each in _STORED_STATES.get(state, (state,))}
        found: list[ListedStudy] = []
        # One more than shown: with it there is a next page. With filters, how many rows are needed is unknown.
        chunk = limit + 1 if submitter is None and not states else MAX_IN_A_PAGE
        while True:
            records = self._queue.list(states=stored, after=after, limit=chunk, archived=archived)
            submitted = self._submissions.find_many(record.name for record in records)
            for record in records:
                submission = submitted.get(record.name)
                if submitter is not None and (submission is None or submission.submitter != submitter):
                    continue
                if len(found) == limit:
                    return StudyList(tuple(found), found[-1].name)
                row = self._reader.make_row(record)
                if not states or row.state in states:
                    found.append(_make_listed_study(row, submission))
            if len(records) < chunk:
                return StudyList(tuple(found), None)
            after = records[-1].name

    def load_study(self, name: str) -> ServedStudy:
        """Return the state and progress of a study.

        Raises:
            UnknownError: if there is none of that name.
        """
        view = self._reader.read_study(name)
        submission = self._submissions.find(name)
        place = None
        if submission is not None and view.state in ("queued", "interrupted"):
            waiting = self._supervisors.list_waiting()
            place = waiting.index(name) + 1 if name in waiting else None
        of_service = {"submitter": submission.submitter, "priority": submission.priority} if submission else {}
        page = f"{PAGES}{name}" if self._spec.mlflow or find_external_server(self._home.folder, os.environ) else ""
        return ServedStudy(**{**vars(view), **of_service, "place": place, "page": page})

    @property
    def reader(self) -> StudyReader:
        """Reader of studies and trials."""
        return self._reader

    def find_worker_log(self, study: str, trial: int) -> Path:
        """Return the file with the output of a trial's worker.

        Raises:
            UnknownError: if there is no such study or trial.
        """
        if trial not in {each.number for each in self._reader.list_trials(study)}:
            raise UnknownError(f"{study} has no trial {trial}")
        return self._home.locate_worker_log(study, trial)

    @property
    def spec(self) -> ServiceSpec:
        """Settings of the operator."""
        return self._spec

    @property
    def home(self) -> Home:
        """Home that holds all state."""
        return self._home

    @property
    def store(self) -> Store:
        """Store of the home."""
        return self._store

    # Controlling ---------------------------------------------------------------------------------------------

    def request_control(self, name: str, control_request: ControlRequest, caller: Identity) -> control.StudyStatus:
        """Pause, stop or cancel a study, and return its status afterwards.

        Raises:
            UnknownError: if there is none of that name.
            ConflictError: if its state does not allow that.
            ForbiddenError: if it belongs to another submitter.
            KerastudyError: if the process that works on it does not answer, or the study cannot be cancelled.
        """
        self._ownership.require_study(name, caller)
        # A process that has not claimed the study yet would start it after it was paused.
        self._supervisors.withdraw(name)
        self._supervisors.forget_order()
        if (status := control.request_control(self._home, name, control_request)) is not None:
            return status
        self._supervisors.cancel(name)
        record = self._queue.get(name)
        return control.StudyStatus(name, record.state, record.reason)

    def resume(self, name: str, caller: Identity) -> control.StudyStatus:
        """Put a paused or failed study back into the queue, as it was submitted.

        Raises:
            UnknownError: if there is none of that name.
            ConflictError: if it is not paused.
            ForbiddenError: if it belongs to another submitter.
        """
        self._ownership.require_study(name, caller)
        # For its errors: the study is loaded again by its supervisor.
        control.load_resumable(self._home, name)
        record = self._queue.get(name)
        if record.state == "finished":
            raise ConflictError(f"{name} is finished: submit it again with a larger budget to go on")
        if record.state == "queued":
            return control.StudyStatus(name, record.state, record.reason)
        with self._store.write() as connection:
            before = self._submissions.find(name, connection)
            # A study of `kerastudy run` gets a submission here: no service starts one without. Others keep their
            # submitter.
            self._submissions.put(name, caller, before.priority if before else 0, connection)
            self._queue.set_state(name, "queued", connection=connection)
        self._supervisors.forget_order()
        return control.StudyStatus(name, "queued", "")


def _make_listed_study(row: StudyRow, submission: Submission | None) -> ListedStudy:
    of_service: Mapping[str, object] = (
        {"submitter": submission.submitter, "priority": submission.priority} if submission else {}
    )
    return ListedStudy(**{**vars(row), **of_service})
