"""Copies of data that a study names by address: fetched whole into the study's folder, and read from there.

A copy is complete or absent. Each file is written beside its place, resumed where a connection broke, compared with the
size and the stamp that the storage states before and after, and renamed. A copy is used again as long as the storage
states the same files with the same stamps; otherwise it is fetched anew, and the digest of the rows decides whether a
study may go on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import posixpath
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.data.reading.source_paths import is_confined
from pipelines.spec.data_spec import DataSpec
from pipelines.spec.source_urls import CREDENTIALS, PACKAGES, explain_refused_url, find_scheme, hide_credentials, is_url
from pipelines.spec.units import format_bytes
from pipelines.workspace.atomic_files import write_text
from search_spaces.errors import InputError, Problem

COPIES: Final = "sources"
"""Folder of the copies, in a study's folder."""
TRIES: Final = 6
"""Tries at a file without a byte in between, before it is given up."""
_MANIFEST: Final = "manifest.json"
_BLOCK: Final = 8 * 2**20
_PAUSE_S: Final = 0.5
_STATED_EVERY_S: Final = 5.0
_STAMPS: Final = (
    "ETag",
    "etag",
    "md5Hash",
    "md5",
    "content_md5",
    "generation",
    "LastModified",
    "last_modified",
    "mtime",
)
# By name: these packages are extras.
_NOT_THERE: Final = ("NoSuchBucket", "ContainerNotFound")
_NO_ACCESS: Final = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "ClientAuthenticationError",
    "AzureSigningError",
    "RefreshError",
    "DefaultCredentialsError",
)
_OF_ACCOUNTS: Final = ("client_email", "private_key", "token_uri")
_NO_ENDPOINT: Final = ("EndpointResolutionError",)


@dataclass(frozen=True)
class RemoteFile:
    """A file as the storage states it.

    Attributes:
        path: its path for the storage.
        name: its path below the copy.
        size: bytes; None where the storage does not state them.
        stamp: what changes with its content; empty where the storage states nothing of the kind.
    """

    path: str
    name: str
    size: int | None
    stamp: str


@dataclass(frozen=True)
class Fetched:
    """Copies of the addresses that a study names.

    Attributes:
        files: the files of each address, with their names for messages.
        notes: on addresses that could not be reached, whose earlier copies are used.
    """

    files: dict[str, dict[Path, str]]
    notes: tuple[str, ...]


def fetch_sources(spec: DataSpec, folder: Path, describe: Callable[[str], None]) -> Fetched:
    """Return the copies of the addresses that a study names; fetch them if needed.

    Args:
        spec: the study file's `data`.
        folder: folder of the copies.
        describe: is called with each step, in words.

    Raises:
        InputError: if an address cannot be read in full.
    """
    found: dict[str, dict[Path, str]] = {}
    notes: list[str] = []
    for key, source in spec.list_sources():
        if is_url(source) and source not in found:
            found[source] = _fetch(source, folder, f"data.{key}", describe, notes)
    return Fetched(found, tuple(notes))


def _fetch(source: str, folder: Path, key: str, describe: Callable[[str], None], notes: list[str]) -> dict[Path, str]:
    _check(source, key)
    copy = folder / hashlib.sha256(source.encode()).hexdigest()[:16]
    describe(f"looking at {source}")
    try:
        storage, files = _list_files(source)
    except Exception as wrapped:
        error, kept = _unwrap(wrapped), _read_manifest(copy)
        if kept is not None and not _is_final(error):
            notes.append(_note_copy(source, copy, error))
            return _name_copies(source, copy, kept)
        raise _explain(source, error, key) from None
    if not files:
        raise InputError(Problem(f"there is no file at {source}, or none fits it", key))
    if _read_manifest(copy) != _describe_files(files):
        _fetch_files(source, storage, files, copy, key, describe)
    return _name_copies(source, copy, _describe_files(files))


def _note_copy(source: str, copy: Path, error: Exception) -> str:
    """Return that an address could not be reached; with both times, since the note may be read much later."""
    now, then = (time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at)) for at in (time.time(), _read_time(copy)))
    return f"{source} could not be reached at {now} ({type(error).__name__}): its copy of {then} is used"


def _read_time(copy: Path) -> float:
    return (copy / _MANIFEST).stat().st_mtime


def _unwrap(error: Exception) -> Exception:
    """Return the cause of an error: fsspec's HTTP files are "not found" whatever happened."""
    while isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _check(source: str, key: str) -> None:
    if problem := explain_refused_url(source):
        raise InputError(Problem(problem, key))
    package, extra = PACKAGES[find_scheme(source)]
    if importlib.util.find_spec(package) is None:
        advice = f'pip install "kerastudy[{extra}]"' if extra else f"pip install {package}"
        raise InputError(Problem(f"{source} is read by {package}, which is not installed: {advice}", key))


def _list_files(source: str) -> tuple[Any, list[RemoteFile]]:
    """Return the storage of an address and the files that it names: one, those of a folder, or those of a pattern."""
    import fsspec

    storage, path = fsspec.core.url_to_fs(source, **_choose_options(source))
    storage.invalidate_cache()
    is_web = find_scheme(source).startswith("http")
    if not is_web and any(mark in path for mark in "*?["):
        paths, root = sorted(each for each in storage.glob(path) if not storage.isdir(each)), None
    elif not is_web and storage.isdir(path):
        paths, root = sorted(storage.find(path)), path
    else:
        paths, root = [path], None
    names = [_name(each, root) for each in paths]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise _UnusableError(f"several files of the pattern are called {doubled}")
    return storage, [_describe_file(storage, each, name) for each, name in zip(paths, names, strict=True)]


def _choose_options(source: str) -> dict[str, Any]:
    if not find_scheme(source).startswith("http"):
        return {"use_listings_cache": False}
    # An allowed server must not lead a service to an address that is not.
    return {"get_client": _open_unredirected} if is_confined() else {}


async def _open_unredirected(**keywords: Any) -> Any:
    import aiohttp

    async def refuse(*_: Any) -> None:
        raise PermissionError("the server redirects to another address, which a service does not follow")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    return aiohttp.ClientSession(trace_configs=[trace], **keywords)


def _name(path: str, root: str | None) -> str:
    """Return a file's path below the copy."""
    plain = path.partition("?")[0]
    name = posixpath.basename(plain) if root is None else posixpath.relpath(plain, root)
    parts = name.split("/")
    if not name or ".." in parts or name.startswith("/"):
        raise _UnusableError(f"a file there has an impossible name: {name!r}")
    return name


def _describe_file(storage: Any, path: str, name: str) -> RemoteFile:
    facts = storage.info(path)
    stamps = [f"{key}={facts[key]}" for key in _STAMPS if facts.get(key)]
    size = facts.get("size")
    return RemoteFile(path, name, None if size is None else int(size), "; ".join(stamps))


def _fetch_files(
    source: str, storage: Any, files: list[RemoteFile], copy: Path, key: str, describe: Callable[[str], None]
) -> None:
    """Fetch all files beside the copy, and replace it.

    Raises:
        InputError: if one cannot be read in full, or changes meanwhile.
    """
    aside, described = copy.with_name(f"{copy.name}.partial"), _describe_files(files)
    # What an interrupted fetch has of these very files is good; of others nothing is.
    if _read_manifest(aside) != described:
        shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True, exist_ok=True)
    write_text(aside / _MANIFEST, json.dumps(described))
    total = sum(file.size or 0 for file in files)
    progress = _Progress(source, total, describe)
    for file in files:
        try:
            _fetch_file(storage, file, aside / "files" / file.name, progress)
        except Exception as error:
            raise _explain(source, _unwrap(error), key, progress.done) from None
    shutil.rmtree(copy, ignore_errors=True)
    aside.replace(copy)


class _Progress:
    """Statement of how much of an address is there, every few seconds."""

    def __init__(self, source: str, total: int, describe: Callable[[str], None]) -> None:
        self._source = source
        self._total = total
        self._describe = describe
        self._stated_at = 0.0
        self.done = 0

    def add(self, count: int) -> None:
        """Count further bytes."""
        self.done += count
        if time.monotonic() - self._stated_at > _STATED_EVERY_S:
            self._stated_at = time.monotonic()
            of = f" of {format_bytes(self._total)}" if self._total else ""
            self._describe(f"fetching {self._source}: {format_bytes(self.done)}{of}")


def _fetch_file(storage: Any, file: RemoteFile, path: Path, progress: _Progress) -> None:
    """Fetch one file, from where an earlier try ended.

    Raises:
        OSError: if it ends early, or the connection breaks again and again.
        ValueError: if it has changed meanwhile.
    """
    if path.exists():
        progress.add(path.stat().st_size)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part, failed = path.with_name(f"{path.name}.part"), 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _read_on(storage, file, part, progress)
            break
        except Exception as error:
            if _is_final(error):
                raise
            # A connection that brings something each time is slow, and not broken.
            failed = 0 if part.exists() and part.stat().st_size > before else failed + 1
            if failed >= TRIES:
                raise
            time.sleep(_PAUSE_S * 2**failed)
    after = _describe_file(storage, file.path, file.name)
    if (after.size, after.stamp) != (file.size, file.stamp):
        part.unlink()
        raise _ChangedError(f"{file.name} changed while it was read")
    part.replace(path)


def _is_final(error: Exception) -> bool:
    """Return whether another try would fail as well."""
    status = _find_status(error)
    is_refused = 400 <= status < 500 and status not in (408, 429)
    return is_refused or isinstance(error, (FileNotFoundError, PermissionError, _ChangedError))


def _find_status(error: Exception) -> int:
    """Return the HTTP status that an error has; 0 for none. Each package names it otherwise."""
    found = (getattr(error, name, None) for name in ("status", "status_code", "code"))
    return next((status for status in found if isinstance(status, int)), 0)


class _UnusableError(ValueError):
    """Files there that have no place in a copy."""


class _ChangedError(ValueError):
    """A file that is another one than at the start of its fetch."""


def _read_on(storage: Any, file: RemoteFile, part: Path, progress: _Progress) -> None:
    start = part.stat().st_size if part.exists() else 0
    with storage.open(file.path, "rb", block_size=_BLOCK, cache_type="readahead") as remote:
        if start:
            try:
                remote.seek(start)
            except (OSError, ValueError, NotImplementedError):  # a server that sends whole files only
                start = 0
        with part.open("r+b" if start else "wb") as local:
            local.seek(start)
            local.truncate()
            while block := remote.read(_BLOCK):
                local.write(block)
                progress.add(len(block))
            local.flush()
            os.fsync(local.fileno())
    got = part.stat().st_size
    if file.size is not None and got != file.size:
        if got > file.size:
            part.unlink()
        raise OSError(f"{file.name} ended after {got:,} of {file.size:,} bytes")


def _describe_files(files: list[RemoteFile]) -> list[list[Any]]:
    return [[file.name, file.size, file.stamp] for file in files]


def _read_manifest(copy: Path) -> list[list[Any]] | None:
    try:
        read: list[list[Any]] = json.loads((copy / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read


def _name_copies(source: str, copy: Path, described: list[list[Any]]) -> dict[Path, str]:
    """Return the files of a copy, or its folder where the address names one, with their names for messages."""
    names = [name for name, _, _ in described]
    is_single = posixpath.basename(source.partition("?")[0].rstrip("/"))
    if names == [is_single]:
        return {copy / "files" / names[0]: source}
    if any(mark in source for mark in "*?[") and not find_scheme(source).startswith("http"):
        return {copy / "files" / name: f"{posixpath.dirname(source)}/{name}" for name in names}
    return {copy / "files": source}


def _explain(source: str, error: Exception, key: str, done: int = 0) -> InputError:
    kind, status, package = type(error).__name__, _find_status(error), PACKAGES[find_scheme(source)][0]
    reason = hide_credentials(" ".join(str(error).split()))[:200]
    if isinstance(error, OSError) and error.errno == 28:  # of this machine's disk, which the engine reports
        raise error
    if isinstance(error, FileNotFoundError) or status == 404 or kind in _NOT_THERE:
        message = f"there is no file or folder {source}, or no access to it"
    elif isinstance(error, PermissionError) or status in (401, 403) or kind in _NO_ACCESS:
        given = _name_credentials(package)
        message = f"{source} may not be read ({kind}: {reason}){given}"
    elif isinstance(error, _UnusableError):
        message = f"{source}: {reason}; rename it there, or name other files"
    elif isinstance(error, _ChangedError):
        message = f"{source}: {reason}; run again once it stays as it is"
    elif isinstance(error, ValueError) or kind in _NO_ENDPOINT:
        message = f"{source} cannot be read ({kind}: {reason}); check the variables of {package} in the environment"
        message += f": {CREDENTIALS[package]}" if package in CREDENTIALS else ""
    else:
        after = f" after {format_bytes(done)}" if done else ""
        message = f"{source} cannot be read{after} ({kind}: {reason}); nothing of it is used, so run again"
    return InputError(Problem(message, key))


def _name_credentials(package: str) -> str:
    """Return which variables give access; with what is wrong with a file of Google's, whose package tries without."""
    if package not in CREDENTIALS:
        return ""
    named = f"; credentials come from the environment: {CREDENTIALS[package]}"
    file = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if package == "gcsfs" and file and (problem := _find_problem(Path(file))):
        return f"{named}, which names {file}: {problem}"
    return named


def _find_problem(file: Path) -> str:
    """Return why a file holds no credentials of Google's; nothing of its content."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        return str(error.strerror)
    except ValueError:
        return "it is no JSON"
    needed = _OF_ACCOUNTS if isinstance(found, dict) and found.get("type") == "service_account" else ("type",)
    lacks = [name for name in needed if not isinstance(found, dict) or name not in found]
    return f"it lacks {', '.join(lacks)}" if lacks else ""
