"""What a service does for those who ask it, in plain values: submit, look, control, export.

Who may do what is decided here; how that is asked and answered is the door's (`http_api`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter
from sqlalchemy import Connection

from pipelines.data.source_paths import check_source_paths
from pipelines.operations import control
from pipelines.operations.promote import Promoted, check_alias
from pipelines.operations.submit import hand_in
from pipelines.queries.study_reader import Lookup
from pipelines.queries.views import StudyRow, StudyView
from pipelines.service.config import ServiceSpec
from pipelines.service.errors import ForbiddenError, TooMuchError, require_scope
from pipelines.service.mlflow_pages import PAGES
from pipelines.service.path_policy import UPLOADS, confine_paths
from pipelines.service.supervisor_pool import SupervisorPool
from pipelines.service.uploads import Upload
from pipelines.study.load import Study, check_document
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError, KerastudyError, Problem, UnknownError
from search_spaces.yaml_document import Document
from tracking.mlflow.server import is_elsewhere
from tracking.store.database import Store
from tracking.store.registered_names import claim_registered_name, find_registered_name
from tracking.store.study_queue import StudyQueue, Wish
from tracking.store.submissions import Request, Submission, Submissions
from tracking.store.tokens import Token

MOST_IN_A_PAGE = 500
_MOST_PRIORITY = 100
_EXPORTS_AT_ONCE = 2
_EXPORT_S = 1800.0


@dataclass(frozen=True)
class ListedStudy(StudyRow):
    """One study in a service's list; `submitter` is empty for one that the service was not handed."""

    submitter: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Page:
    """Some of a list; `next` is where the next page begins, None at the end."""

    studies: tuple[ListedStudy, ...]
    next: str | None


@dataclass(frozen=True)
class ServedStudy(StudyView):
    """How one study of a service stands; `place` counts from 1 in the queue, and is None for one that does not wait."""

    submitter: str = ""
    priority: int = 0
    place: int | None = None


class StudyService:
    """A service's work but for its processes."""

    def __init__(self, home: Home, store: Store, spec: ServiceSpec, supervisors: SupervisorPool) -> None:
        self._home = home
        self._store = store
        self._spec = spec
        self._supervisors = supervisors
        self._queue = StudyQueue(store)
        self._submissions = Submissions(store)
        self._lookup = Lookup(home, store, place="this service")
        self._exports = threading.BoundedSemaphore(_EXPORTS_AT_ONCE)

    # Submitting ----------------------------------------------------------------------------------------------

    def submit(
        self, document: Document, token: Token, *, key: str | None = None, priority: int = 0
    ) -> tuple[str, bool]:
        """Put a study in the queue; return its name, and whether it is new there. It is durable when this returns.

        Args:
            document: the study file as it was read.
            token: whose study it is.
            key: an idempotency key: the same key again is the same submission.
            priority: of two waiting studies, the one with the higher priority begins first.

        Raises:
            InputError: with every problem of the file; nothing was stored.
            ConflictError: if the name or the key stands for another study, or the registered model's name is another's.
            ForbiddenError: if the study is somebody else's, or the token may not submit.
        """
        require_scope(token, "submit")
        if not -_MOST_PRIORITY <= priority <= _MOST_PRIORITY:
            raise InputError(
                f"priority: expected a whole number from -{_MOST_PRIORITY} to {_MOST_PRIORITY}, got {priority}"
            )
        request = hashlib.sha256(repr((document.data, priority)).encode()).hexdigest()
        study = self._check_document(document)
        with self._store.write() as connection:
            if key is not None and (known := self._submissions.request(token.name, key, connection)) is not None:
                if known.digest != request:
                    raise ConflictError(f'the idempotency key "{key}" was used for another request: choose another one')
                return known.study, False
            before = self._submissions.find(study.name, connection)
            if before is not None and before.submitter != token.name and not token.may("admin"):
                message = f'"{study.name}" is a study of {before.submitter}: give yours another name'
                raise ConflictError(study.document.problem(("study",), message))
            first = claim_registered_name(connection, study.registered_name, study.name)
            owner = None if first == study.name else self._find_other_owner(first, token, connection)
            if owner is not None:
                key_path = ("export", "register") if study.spec.export.register_as else ("study",)
                message = (
                    f'"{study.registered_name}" is a registered model of {owner}: set export.register to another name'
                )
                raise ConflictError(study.document.problem(key_path, message))
            is_new = hand_in(study, self._queue, connection)
            self._submissions.put(study.name, token.name, priority, connection)
            if key is not None:
                self._submissions.remember(token.name, key, Request(request, study.name), connection)
        self._supervisors.changed()
        return study.name, is_new

    def _find_other_owner(self, study: str, token: Token, connection: Connection) -> str | None:
        """Return who owns the names that a study was the first to register; None where the token may use them."""
        submission = self._submissions.find(study, connection)
        if token.may("admin") or (submission is not None and submission.submitter == token.name):
            return None
        return submission.submitter if submission else "this service's operator"

    def _check_document(self, document: Document) -> Study:
        """Return the study that a document describes, if this service can run it."""
        refused: tuple[Problem, ...] = ()
        try:
            document = confine_paths(document, self._spec, self._home.folder / UPLOADS)
        except InputError as error:
            refused = error.problems
        if any(problem.path.startswith("space.extends") for problem in refused):
            raise InputError(refused)  # to check more of it, what it extends would have to be read
        try:
            study = check_document(document, self._home.folder, with_code=not refused)
        except InputError as error:
            raise InputError([*refused, *error.problems]) from None
        if refused:
            raise InputError(refused)
        try:
            check_source_paths(study.spec.data, study.base)
        except InputError as error:
            raise study.placed(error) from None
        return study

    def start_upload(self, name: str) -> Upload:
        """Return what takes a data file for studies; close it in the end.

        Args:
            name: the file's own name, whose ending says what it is.

        Raises:
            ForbiddenError: if this service takes no uploads.
            InputError: if the name does not end like data.
        """
        if self._spec.uploads is None:
            raise ForbiddenError("this service takes no uploads: its operator has to allow them")
        return Upload(self._home.folder / UPLOADS, name, self._spec.uploads, self._spec.all_uploads)

    # Looking -------------------------------------------------------------------------------------------------

    def list_studies(
        self, *, states: Collection[str] = (), submitter: str | None = None, after: str | None = None, most: int = 50
    ) -> Page:
        """Return a page of the studies, oldest first.

        Raises:
            UnknownError: if there is no study called `after`.
        """
        # Nobody could write down that a study was cut off.
        stored = {"running" if state == "interrupted" else state for state in states}
        found: list[ListedStudy] = []
        chunk = most + 1 if submitter is None and not states else MOST_IN_A_PAGE
        while True:
            records = self._queue.list(states=stored, after=after, most=chunk)
            submitted = self._submissions.of(record.name for record in records)
            for record in records:
                submission = submitted.get(record.name)
                if submitter is not None and (submission is None or submission.submitter != submitter):
                    continue
                if len(found) == most:
                    return Page(tuple(found), found[-1].name)
                row = self._lookup.row(record)
                if not states or row.state in states:
                    found.append(_make_listed_study(row, submission))
            if len(records) < chunk:
                return Page(tuple(found), None)
            after = records[-1].name

    def load_study(self, name: str) -> ServedStudy:
        """Return how a study stands.

        Raises:
            UnknownError: if there is none of that name.
        """
        view = self._lookup.study(name)
        submission = self._submissions.find(name)
        place = None
        if submission is not None and view.state in ("queued", "interrupted"):
            waiting = self._supervisors.waiting()
            place = waiting.index(name) + 1 if name in waiting else None
        of_service = {"submitter": submission.submitter, "priority": submission.priority} if submission else {}
        page = f"{PAGES}{name}" if self._spec.mlflow or is_elsewhere(self._home.folder) else ""
        return ServedStudy(**{**vars(view), **of_service, "place": place, "page": page})

    @property
    def lookup(self) -> Lookup:
        """What reads studies and trials."""
        return self._lookup

    def find_worker_log(self, study: str, trial: int) -> Path:
        """Return the file of what a trial's worker printed.

        Raises:
            UnknownError: if there is no such study or trial.
        """
        if trial not in {each.number for each in self._lookup.trials(study)}:
            raise UnknownError(f"{study} has no trial {trial}")
        return self._home.worker_log(study, trial)

    @property
    def home(self) -> Home:
        """Where everything is kept."""
        return self._home

    # Controlling ---------------------------------------------------------------------------------------------

    def request_control(self, name: str, wish: Wish, token: Token) -> control.Standing:
        """Pause, stop or cancel a study, and return how it stands then.

        Raises:
            UnknownError: if there is none of that name.
            ConflictError: if it is in no state to do that.
            ForbiddenError: if it is somebody else's.
            KerastudyError: if whoever works on it does not answer.
        """
        self._require_ownership(name, token)
        self._supervisors.withdraw(name)
        self._supervisors.changed()
        if (standing := control.ask_for(self._home, name, wish)) is not None:
            return standing
        self._command("cancel", name)
        record = self._queue.get(name)
        return control.Standing(name, record.state, record.reason)

    def resume(self, name: str, token: Token) -> control.Standing:
        """Put a paused or failed study back into the queue, as it was submitted.

        Raises:
            UnknownError: if there is none of that name.
            ConflictError: if it is not paused.
            ForbiddenError: if it is somebody else's.
        """
        self._require_ownership(name, token)
        control.to_resume(self._home, name)
        record = self._queue.get(name)
        if record.state == "finished":
            raise ConflictError(f"{name} is finished: submit it again with a larger budget to go on")
        if record.state == "queued":
            return control.Standing(name, record.state, record.reason)
        with self._store.write() as connection:
            before = self._submissions.find(name, connection)
            self._submissions.put(name, token.name, before.priority if before else 0, connection)
            self._queue.set_state(name, "queued", connection=connection)
        self._supervisors.changed()
        return control.Standing(name, "queued", "")

    # Exporting -----------------------------------------------------------------------------------------------

    @contextmanager
    def export(
        self, study: str, trial: int | None, formats: Sequence[str], *, ensemble: bool = False
    ) -> Iterator[Path]:
        """Yield a ZIP archive with a model in the formats, as `export_study` chooses it; it is gone afterwards.

        Models are loaded in processes of their own.

        Raises:
            UnknownError: if there is no such study or trial.
            ConflictError: if the trial is not complete, or no trial is.
            TooMuchError: if too many exports are under way.
            KerastudyError: if a file cannot be written or differs from the Keras model.
        """
        number = self._lookup.complete_trial(study, trial)
        with self._limit_exports(), tempfile.TemporaryDirectory(prefix="kerastudy-export-") as scratch:
            folder = Path(scratch) / f"{study}-t{number:03d}"
            options = ["--to", str(folder), *([] if trial is None else ["--trial", str(number)])]
            options += ["--ensemble"] if ensemble else []
            if formats:
                options += ["--format", ",".join(formats)]
            self._command("export", study, *options)
            archive = Path(scratch) / f"{folder.name}.zip"
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
                for each in sorted(path for path in folder.rglob("*") if path.is_file()):
                    file.write(each, Path(folder.name) / each.relative_to(folder))
            shutil.rmtree(folder)
            yield archive

    def promote(self, study: str, trial: int | None, alias: str | None, token: Token, *, force: bool) -> Promoted:
        """Give a trial's model an alias, if it is at least as good as the version that holds it.

        Models are loaded in processes of their own.

        Raises:
            UnknownError: if there is no such study or trial.
            ConflictError: if the trial is not complete, or no trial is.
            InputError: if MLflow takes no such alias.
            ForbiddenError: if it is somebody else's study, or the registered model is.
            TooMuchError: if too many exports are under way.
            KerastudyError: if MLflow does not answer.
        """
        self._require_ownership(study, token)
        check_alias(alias)
        name = self._lookup.checked(study).registered_name
        with self._store.read() as connection:
            first = find_registered_name(connection, name)
            owner = None if first is None else self._find_other_owner(first, token, connection)
        if owner is not None:
            raise ForbiddenError(f"{name} is a registered model of {owner}: only they and an admin move its aliases")
        number = self._lookup.complete_trial(study, trial)
        options = ["--json", "--trial", str(number), *(["--alias", alias] if alias else []), *["--force"][: int(force)]]
        with self._limit_exports():
            said = self._command("promote", study, *options, may_fail=True)
        return TypeAdapter(Promoted).validate_json(said)

    @contextmanager
    def _limit_exports(self) -> Iterator[None]:
        """Load models in a few processes at a time."""
        if not self._exports.acquire(blocking=False):
            raise TooMuchError(f"{_EXPORTS_AT_ONCE} exports are under way: ask again in a while")
        try:
            yield
        finally:
            self._exports.release()

    def _command(self, *words: str, may_fail: bool = False) -> str:
        """Run one of our own verbs in a process of its own, and return what it printed.

        Args:
            words: the command line.
            may_fail: whether exit status 1 is an answer where something was printed.

        Raises:
            InputError: if it ends with exit status 2.
            KerastudyError: if it fails otherwise.
        """
        command = [sys.executable, "-P", "-c", "from pipelines.cli import command; command()", *words]
        done = subprocess.run(
            command,
            env=self._home.environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_EXPORT_S,
            check=False,
        )
        if done.returncode == 0 or (may_fail and done.returncode == 1 and done.stdout):
            return done.stdout
        said = done.stderr.strip().splitlines()
        message = said[-1] if said else f"kerastudy {words[0]} ended with exit status {done.returncode}"
        raise InputError(message) if done.returncode == 2 else KerastudyError(message)

    def _require_ownership(self, name: str, token: Token) -> None:
        require_scope(token, "submit")
        self._queue.get(name)
        submission = self._submissions.find(name)
        owner = submission.submitter if submission else ""
        if owner != token.name and not token.may("admin"):
            whose = f"a study of {owner}" if owner else "not a study of this service's submitters"
            raise ForbiddenError(f"{name} is {whose}: only they and an admin may do that")


def _make_listed_study(row: StudyRow, submission: Submission | None) -> ListedStudy:
    of_service: Mapping[str, object] = (
        {"submitter": submission.submitter, "priority": submission.priority} if submission else {}
    )
    return ListedStudy(**{**vars(row), **of_service})
