"""`HttpClient`: studies of a service, over HTTP.

`KERASTUDY_URL` is its address. Its token is in `KERASTUDY_TOKEN`, or was stored by `kerastudy login` in a file that
only this user can read.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

import httpx
from pydantic import TypeAdapter

from pipelines.client.access import HttpAccess
from pipelines.client.event_stream import parse_event_stream
from pipelines.client.predictions import describe_predictions
from pipelines.data.reading.source_paths import find_sources
from pipelines.export.export import ExportResult, Parity, check_target
from pipelines.operations.archive import ArchiveResult
from pipelines.operations.control import StudyStatus
from pipelines.operations.delete import DeletionResult
from pipelines.operations.predict import Predictions, check_prediction_files
from pipelines.operations.promote import PromotionResult
from pipelines.operations.report import ReportResult, check_report_target, save_page
from pipelines.operations.uploads import UploadRow
from pipelines.queries.hosts import HostView
from pipelines.queries.usage import HomeUsage
from pipelines.queries.views import BestTrial, ListedStudy, ServedStudy, TrialRow, UploadedFile
from pipelines.spec.data_spec import SOURCE_KEYS
from pipelines.study.load import check_document
from pipelines.study.stored import serialize_study
from pipelines.study.study import Study
from pipelines.supervisor.event_log import StoredEvent
from pipelines.workspace.atomic_files import write_text
from search_spaces.errors import InputError, KerastudyError, Place, Problem
from tracking.reports.comparison import ComparisonTables
from tracking.store.accounts import Identity
from tracking.store.model_grants import RegisteredModel
from tracking.store.study_queue import ControlRequest

URL = "KERASTUDY_URL"
TOKEN = "KERASTUDY_TOKEN"
_CONFIG = "KERASTUDY_CONFIG"
# Seconds without a byte, not in all: a large download may take much longer.
_PATIENCE = httpx.Timeout(60.0, connect=10.0)
_EXPORT_S = 1800.0  # the service ends an export after as long
# A request for each run, on a slow MLflow server; the deletion goes on if the client leaves.
_DELETION_S = 900.0
_REPORT_S = 300.0  # of 10,000 trials it takes seconds, and may wait for others
_Answer = TypeVar("_Answer")


class HttpClient:
    """Studies of a service; see `StudyClient`.

    Args:
        url: its address.
        token: see `tracking.store.tokens`.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        # `trust_env=False`: with it, httpx would send the token through a proxy that the environment names.
        self._client = httpx.Client(
            base_url=self._url, headers={"Authorization": f"Bearer {token}"}, timeout=_PATIENCE, trust_env=False
        )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> HttpClient | None:
        """Return the client of the service that the environment names; None if it names none.

        Raises:
            InputError: if there is no token for it.
        """
        url = environ.get(URL, "").strip().rstrip("/")
        if not url:
            return None
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{URL}: expected an address such as http://127.0.0.1:8080, got {url}")
        # Stored tokens are looked up by URL, so that none is sent to another service.
        token = environ.get(TOKEN, "").strip() or _read_tokens(environ).get(url)
        if not token:
            raise InputError(f"there is no token for {url}: run kerastudy login, or set {TOKEN}")
        return cls(url, token)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Studies -------------------------------------------------------------------------------------------------

    def submit(self, study: Study, *, priority: int = 0, key: str | None = None) -> tuple[str, bool]:
        """Submit a study; return its name, and whether it is new there.

        Args:
            study: the study.
            priority: of two waiting studies, the one with the higher priority starts first.
            key: an idempotency key; the same key again is the same submission.

        Raises:
            InputError: if the service refuses it, with the lines of the study file on this machine.
        """
        headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
        try:
            answer = self._request(
                "POST",
                "/v1/studies",
                content=serialize_study(study).encode(),
                headers=headers,
                params={"priority": str(priority)},
            )
        except InputError as error:
            # The service checked a copy: its lines are not those of the file here.
            unplaced = [Problem(each.message, each.path) for each in error.problems]
            raise study.locate_problems(InputError(unplaced)) from None
        return str(answer.json()["study"]), bool(answer.json()["is_new"])

    def upload_data(self, study: Study) -> Study:
        """Upload the data files of a study, and return it with their new names.

        Raises:
            InputError: if one is a folder, or the service refuses it.
        """
        document = study.document
        for key in SOURCE_KEYS:
            written = [source for each, source in study.spec.data.list_sources() if each == key]
            paths = [find_sources(source, study.base, f"data.{key}") for source in written]
            if not any(paths):
                continue
            if folder := next((path for found in paths for path in found if path.is_dir()), None):
                raise InputError(document.make_problem(("data", key), f"expected a file to send, got {folder.name}"))
            # A named set or a loader has no files and stays.
            sent: list[str] = []
            for source, found in zip(written, paths, strict=True):
                sent += [self.upload_file(path).source for path in found] or [source]
            document = document.replace_value(("data", key), sent[0] if len(sent) == 1 else sent, document.file)
        return check_document(document, study.base)

    def upload_file(self, file: Path) -> UploadedFile:
        """Upload a data file.

        Raises:
            InputError: if the service refuses it.
        """
        answer = self._request("PUT", f"/v1/uploads/{file.name}", content=_read_chunks(file))
        return _parse(UploadedFile, answer.json())

    def list_studies(self, *, archived: bool = False) -> tuple[ListedStudy, ...]:
        """Return every study, oldest first; archived ones on request."""
        chosen = {"limit": "500", **({"archived": "true"} if archived else {})}
        found: list[ListedStudy] = []
        after: str | None = None
        while True:
            # 500 is the service's largest page.
            page = self._request("GET", "/v1/studies", params={**chosen, **({"after": after} if after else {})}).json()
            found += (_parse(ListedStudy, each) for each in page["studies"])
            if (after := page["next"]) is None:
                return tuple(found)

    def read_study(self, name: str) -> ServedStudy:
        """Return one study."""
        view = _parse(ServedStudy, self._request("GET", f"/v1/studies/{name}").json())
        return replace(view, page=f"{self._url}{view.page}") if view.page else view

    def list_trials(self, name: str) -> tuple[TrialRow, ...]:
        """Return a study's trials."""
        found: list[TrialRow] = []
        after: int | None = -1
        while after is not None:
            page = self._request("GET", f"/v1/studies/{name}/trials", params={"after": str(after)}).json()
            found += (_parse(TrialRow, each) for each in page["trials"])
            after = page["next"]
        return tuple(found)

    def find_best_trial(self, name: str) -> BestTrial:
        """Return a study's best trial."""
        return _parse(BestTrial, self._request("GET", f"/v1/studies/{name}/best").json())

    def control(self, name: str, control_request: ControlRequest) -> StudyStatus:
        """Pause, stop or cancel a study; return its status afterwards."""
        # The service waits up to two minutes for a cancellation.
        return _parse(StudyStatus, self._request("POST", f"/v1/studies/{name}:{control_request}", timeout=120.0).json())

    def resume(self, name: str) -> StudyStatus:
        """Put a paused study back into the queue."""
        return _parse(StudyStatus, self._request("POST", f"/v1/studies/{name}:resume").json())

    def delete(self, name: str, *, force: bool) -> DeletionResult:
        """Delete a study with its files, runs and versions; with `force`, even if something needs it."""
        params = {"force": "true"} if force else {}
        answer = self._request("DELETE", f"/v1/studies/{name}", params=params, timeout=_DELETION_S)
        return _parse(DeletionResult, answer.json())

    def archive(self, name: str) -> ArchiveResult:
        """Hide a study that has ended, and remove what its results do not need."""
        answer = self._request("POST", f"/v1/studies/{name}:archive", timeout=_DELETION_S)
        return _parse(ArchiveResult, answer.json())

    def unarchive(self, name: str) -> ArchiveResult:
        """Show an archived study again."""
        answer = self._request("POST", f"/v1/studies/{name}:unarchive", timeout=_DELETION_S)
        return _parse(ArchiveResult, answer.json())

    def read_usage(self) -> HomeUsage:
        """Return the room that the home takes."""
        return _parse(HomeUsage, self._request("GET", "/v1/usage", timeout=_EXPORT_S).json())

    def list_hosts(self) -> Sequence[HostView]:
        """Return the processes that run studies on all hosts."""
        return _parse(list[HostView], self._request("GET", "/v1/hosts").json())

    def read_log(self, name: str, trial: int | None, *, follow: bool) -> Iterator[str]:
        """Yield a study's log, or a trial's, piece by piece; with `follow`, until the study ends."""
        params = {"follow": str(follow).lower(), **({} if trial is None else {"trial": str(trial)})}
        path = f"/v1/studies/{name}/logs"
        # A log that is followed may be silent for hours; one that is not comes at once.
        patience = httpx.Timeout(60.0, read=None if follow else 60.0)
        with self._report_unreachable(), self._client.stream("GET", path, params=params, timeout=patience) as answer:
            # The body of a streamed answer is not read yet, and the error is in it.
            if not answer.is_success:
                answer.read()
                raise _read_error(answer)
            yield from answer.iter_text()

    def read_events(self, name: str) -> Iterator[StoredEvent]:
        """Yield a study's events from the first one, until the study ends or the service stops."""
        path, patience = f"/v1/studies/{name}/events", httpx.Timeout(60.0, read=None)
        with self._report_unreachable(), self._client.stream("GET", path, timeout=patience) as answer:
            if not answer.is_success:
                answer.read()
                raise _read_error(answer)
            yield from parse_event_stream(answer.iter_lines())

    def replay(self, name: str, trial: int, target: Path | None, report: Callable[[str], None]) -> NoReturn:
        """Refuse a replay: it trains on the machine that holds the home.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"replay works on the machine that holds the home, and {URL} names a service: run it there, as "
            f"kerastudy --home FOLDER replay {name} {trial}"
        )

    def export(
        self, name: str, trial: int | None, formats: Sequence[str] | None, target: Path, *, ensemble: bool = False
    ) -> ExportResult:
        """Download a trial's model to a new folder.

        Raises:
            InputError: if study, trial or format are unknown, or the target exists.
            KerastudyError: if a file differs from the Keras model.
        """
        check_target(target)
        params: dict[str, Any] = {"format": list(formats or ())} | ({} if trial is None else {"trial": trial})
        params |= {"ensemble": "true"} if ensemble else {}
        path = f"/v1/studies/{name}:export"
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, on the same disk: the rename at the end is atomic, and a broken download leaves no folder.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
            archive = Path(scratch) / "export.zip"
            with (
                self._report_unreachable(),
                self._client.stream("POST", path, params=params, timeout=_EXPORT_S) as answer,
                archive.open("wb") as file,
            ):
                if not answer.is_success:
                    answer.read()
                    raise _read_error(answer)
                for chunk in answer.iter_bytes():
                    file.write(chunk)
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(Path(scratch) / "export")  # drops paths that lead out of the folder
            (folder,) = (Path(scratch) / "export").iterdir()
            written = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
            number = int(folder.name.rpartition("-t")[2])
            folder.rename(target)
        test = self.find_best_trial(name).test if trial is None and not ensemble else {}
        return ExportResult(name, number, str(target), tuple(_parse(Parity, each) for each in written), test)

    def predict(self, name: str, file: Path, target: Path, trial: int | None) -> Predictions:
        """Send the rows of a file to the service, and write their predictions to a new CSV file.

        Raises:
            InputError: if the study, the trial or the file is unknown, the target exists, or the rows are refused.
        """
        check_prediction_files(file, target)
        if file.is_dir():
            raise InputError(Problem(f"expected a file to send, got the folder {file}", "FILE"))
        path, given = f"/v1/studies/{name}:predict", {"file": file.name, "trial": trial}
        params = {key: value for key, value in given.items() if value is not None}
        # Beside the target, on the same disk: the rename at the end is atomic, and a broken download leaves no file.
        with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name}-") as scratch:
            received = Path(scratch) / "predictions.csv"
            with (
                self._report_unreachable(),
                self._client.stream(
                    "POST", path, params=params, content=_read_chunks(file), timeout=_EXPORT_S
                ) as answer,
                received.open("wb") as written,
            ):
                if not answer.is_success:
                    answer.read()
                    raise _read_error(answer)
                for chunk in answer.iter_bytes():
                    written.write(chunk)
            found = describe_predictions(name, target, received, answer.headers)
            received.replace(target)
        return found

    def write_report(self, name: str, target: Path) -> ReportResult:
        """Write a study's report, which the service makes, to one HTML file.

        Raises:
            InputError: if there is no such study, or the target cannot be written.
        """
        check_report_target(target)
        answer = self._request("GET", f"/v1/studies/{name}/report", timeout=_REPORT_S)
        return save_page(name, answer.text, target)

    def read_timings(self, name: str) -> NoReturn:
        """Refuse to list times: they are in a file of the machine that holds the home.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"--timings reads a file of the machine that holds the home, and {URL} names a service: its report has the "
            f"times too, kerastudy report {name}"
        )

    def compare(
        self, names: Sequence[str], target: Path | None, report: Callable[[str], None]
    ) -> tuple[ComparisonTables, ReportResult | None]:
        """Compare studies, on the service, and write the page of that if a target is given.

        Raises:
            InputError: if there is no such study, only one is named, or the target cannot be written.
        """
        if target is not None:
            check_report_target(target)
        report("the service compares them")
        params = {"study": list(dict.fromkeys(names)), **({} if target is None else {"page": "true"})}
        content = self._request("POST", "/v1/studies:compare", params=params, timeout=_EXPORT_S).json()
        found = _parse(ComparisonTables, content)
        return found, None if target is None else save_page(", ".join(names), content["page"], target)

    def promote(self, name: str, trial: int | None, alias: str | None, *, force: bool) -> PromotionResult:
        """Move an alias to a trial's model, if it is at least as good as the version that has the alias."""
        given = {"trial": trial, "alias": alias, "force": str(force).lower()}
        params = {key: value for key, value in given.items() if value is not None}
        answer = self._request("POST", f"/v1/studies/{name}:promote", params=params, timeout=_EXPORT_S)
        return _parse(PromotionResult, answer.json())

    # Registered models and uploads ---------------------------------------------------------------------------

    def list_models(self) -> tuple[RegisteredModel, ...]:
        """Return the registered models, with whom they belong to and who else may use them."""
        return tuple(_parse(RegisteredModel, each) for each in self._request("GET", "/v1/models").json())

    def grant_model(self, name: str, submitter: str, *, moves_protected: bool) -> RegisteredModel:
        """Let another submitter register and promote under a registered model's name."""
        params = {"protected": str(moves_protected).lower()}
        answer = self._request("PUT", f"/v1/models/{name}/grants/{submitter}", params=params)
        return _parse(RegisteredModel, answer.json())

    def revoke_model(self, name: str, submitter: str) -> RegisteredModel:
        """Take a grant back."""
        return _parse(RegisteredModel, self._request("DELETE", f"/v1/models/{name}/grants/{submitter}").json())

    def list_uploads(self) -> tuple[UploadRow, ...]:
        """Return the uploaded data files: the caller's, or everybody's for an admin."""
        return tuple(_parse(UploadRow, each) for each in self._request("GET", "/v1/uploads").json())

    def remove_upload(self, name: str) -> None:
        """Remove an uploaded data file that no study needs."""
        self._request("DELETE", f"/v1/uploads/{name.removeprefix('uploads/')}")

    # Tokens --------------------------------------------------------------------------------------------------

    def read_identity(self) -> Identity:
        """Return whose this client's token is."""
        return _parse(Identity, self._request("GET", "/v1/me").json())

    @property
    def access(self) -> HttpAccess:
        """Accounts, tokens and audit log of the service."""
        return HttpAccess(self._request)

    # Requests ------------------------------------------------------------------------------------------------

    def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        with self._report_unreachable():
            answer = self._client.request(method, path, **request)
        if not answer.is_success:
            raise _read_error(answer)
        return answer

    @contextmanager
    def _report_unreachable(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise KerastudyError(f"the service at {self._url} does not answer: {error}") from error


def login(url: str, token: str, environ: Mapping[str, str] = os.environ) -> Identity:
    """Store a service's token in a file of this user, if the service accepts it.

    Raises:
        InputError: if the service refuses the token.
        KerastudyError: if it does not answer.
    """
    with HttpClient(url, token) as remote:
        mine = remote.read_identity()
    file = _locate_file(environ)
    # The umask makes the file private from its first byte; a chmod afterwards would leave a moment to read it.
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = os.umask(0o077)
    try:
        write_text(file, json.dumps({**_read_tokens(environ), url.rstrip("/"): token}, indent=2) + "\n")
    finally:
        os.umask(before)
    return mine


def _read_chunks(file: Path) -> Iterator[bytes]:
    """Yield a file in parts, since it may be larger than memory."""
    # httpx sends a generator in chunks, without a length; the service counts the bytes as they arrive.
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            yield chunk


def _locate_file(environ: Mapping[str, str]) -> Path:
    base = environ.get(_CONFIG) or environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "kerastudy" / "tokens.json"


def _read_tokens(environ: Mapping[str, str]) -> dict[str, str]:
    file = _locate_file(environ)
    try:
        # As ssh treats its keys: a token that others could read counts as lost.
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise InputError(f"others can read {file}, which holds tokens: chmod 600 it")
        stored: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{file} cannot be read as JSON: remove it and log in again") from error
    return stored


def _parse(kind: type[_Answer], content: Any) -> _Answer:
    return TypeAdapter(kind).validate_python(content)


def _read_error(answer: httpx.Response) -> KerastudyError:
    """Return the error that a service answered with."""
    try:
        detail = answer.json()
        errors = [_read_problem(each) for each in detail.get("errors", ())]
        message = str(detail["detail"])
    except (ValueError, KeyError, AttributeError):
        errors, message = [], f"the service answered {answer.status_code}: {answer.text[:200]}"
    if answer.status_code == 401:
        return InputError(f"{message}; run kerastudy login, or set {TOKEN}")
    # Refusals that the user can mend: exit code 2. The rest is the service's failure: 1.
    if answer.status_code in (403, 404, 409, 413, 422):
        return InputError(errors or message)
    return KerastudyError(message)


def _read_problem(written: Mapping[str, Any]) -> Problem:
    place = Place(written["file"], written["line"], written["column"]) if written.get("file") else None
    return Problem(str(written["message"]), str(written.get("path", "")), place)
