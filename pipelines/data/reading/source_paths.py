"""Files and folders of the data sources, checked before any heavy library is loaded.

A source is one file, a folder, a list of files, or a pattern of files (`data/*.csv`), whose files count in the order of
their names.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType

from pipelines.spec.data_spec import DataSpec, SourceKey
from pipelines.spec.source_urls import explain_refused_url, is_url
from search_spaces.errors import InputError, Problem, suggest_choice

TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".train", ".test")
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zip")
BINARY_SUFFIXES = (".parquet", ".pq", ".feather", ".arrow", ".xlsx", ".npz", ".npy")
SUFFIXES = frozenset(
    {*BINARY_SUFFIXES}
    | {suffix + packed for suffix in (*TEXT_SUFFIXES, *JSON_SUFFIXES) for packed in ("", *COMPRESSIONS)}
)
"""Ends of the files that are read; of compressed files both, as in `.csv.gz`."""
FORMS = (
    "a .csv, .tsv, .txt, .json, .jsonl (also .gz, .bz2, .xz or .zip of these), .xlsx, .parquet, .feather, .npz or .npy "
    "file, an image folder, sklearn:<name>, keras:<name> or loader.py:function"
)
CONFINED = "KERASTUDY_CONFINED"
"""Environment variable of the processes that work for a service."""
_PICTURE_ADVICE = "for pictures name the folder that holds one sub-folder a class, or a table of files and labels"
_INSTEAD = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"), _PICTURE_ADVICE),
    ".xls": "save it as .xlsx or .csv",
    ".xlsb": "save it as .xlsx or .csv",
    ".xlsm": "save it as .xlsx or .csv",
    ".ods": "save it as .xlsx or .csv",
    ".zip": "unpack it and name the folder or file in it; a packed table is read if its name ends in .csv.zip",
    ".tar": "unpack it and name the folder or file in it",
    ".tgz": "unpack it and name the folder or file in it",
    ".gz": "name it by what is in it, such as data.csv.gz",
    ".bz2": "name it by what is in it, such as data.csv.bz2",
    ".xz": "name it by what is in it, such as data.csv.xz",
    ".pkl": "a pickle runs code when it is read; write a loader (loader.py:function) that returns what is in it",
    ".pickle": "a pickle runs code when it is read; write a loader (loader.py:function) that returns what is in it",
    ".py": "name the function in it too, as loader.py:function",
}
"""What to do with other files that hold data."""
_LOADER_ADVICE = "other files are read by a loader (loader.py:function) that returns a DataFrame or arrays"
_FETCHED: ContextVar[Mapping[str, Mapping[Path, str]]] = ContextVar("fetched", default=MappingProxyType({}))
# No slash behind the colon, which would make it a path.
_LOADER = re.compile(r"\.py:[^/\\]*$")
_SAME_FOLDERS = re.compile(r"(?:(?<=/)|^)(?:\*\*/){2,}")
_MOST_BESIDE = 50
_MOST_PROBLEMS = 1


def check_source_paths(spec: DataSpec, base: Path) -> None:
    """Check that the files that a study names exist, and that none is named twice.

    Raises:
        InputError: with all that are missing or doubled.
    """
    problems: list[Problem] = []
    seen: dict[Path, SourceKey] = {}
    for key, written in spec.list_sources():
        try:
            for path in find_sources(written, base, f"data.{key}"):
                before = seen.get(path.resolve())
                seen.setdefault(path.resolve(), key)
                # One file for validation and test rows is a choice; rows that are trained on too are a mistake.
                if before in (key, "source"):
                    problems.append(_explain_doubled(path, base, key, before))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


def find_sources(written: str, base: Path, key: str) -> list[Path]:
    """Return the files and folders that a source names, those of a pattern sorted; none for a named set or a loader.

    Raises:
        InputError: if it is an address, is not there, or is nothing that can be read.
    """
    if is_url(written):
        if refused := explain_refused_url(written):
            raise InputError(Problem(refused, key))
        found = list(_FETCHED.get().get(written, ()))
    elif resolve_source_path(written, base) is None:
        return []
    elif is_pattern(written, base):
        found = _expand(written, base)
        if not found:
            message = f"no file fits the pattern {written}; expected one such as data/*.csv, from {base}"
            raise InputError(Problem(message, key))
    else:
        found = _expand(written, base)
    problems = [problem for path in found if (problem := _find_problem(path, name_file(path, base), key))]
    if len(problems) > _MOST_PROBLEMS:
        left = len(problems) - _MOST_PROBLEMS
        more = Problem(f"{left} more {'file' if left == 1 else 'files'} of {written} cannot be read", key)
        problems = [*problems[:_MOST_PROBLEMS], more]
    if problems:
        raise InputError(problems)
    return found


def resolve_source_path(source: str, base: Path) -> Path | None:
    """Return the file, folder or pattern that a source names; None for a named set or a loader."""
    if is_url(source):
        return next(iter(_FETCHED.get().get(source, ())), None)
    if source.startswith(("sklearn:", "keras:")) or is_loader(source):
        return None
    return base / source


@contextmanager
def use_fetched(copies: Mapping[str, Mapping[Path, str]]) -> Iterator[None]:
    """Let the functions of this module find the local copies of addresses: by address the files, each with its name."""
    token = _FETCHED.set(copies)
    try:
        yield
    finally:
        _FETCHED.reset(token)


def list_source_files(spec: DataSpec, base: Path) -> list[Path]:
    """Return every file and folder that a study's data is read from, with the files of loaders."""
    paths = [path for _, source in spec.list_sources() for path in list_paths(source, base)]
    return [each for path in paths if path.exists() for each in (path, *path.rglob("*"))]


def list_paths(source: str, base: Path) -> list[Path]:
    """Return the files and folders of one source, whether they are there or not; of a loader its code's file."""
    if is_loader(source):
        return [base / source.rpartition(":")[0]]
    if is_url(source):
        return list(_FETCHED.get().get(source, ()))
    return [] if resolve_source_path(source, base) is None else _expand(source, base)


def may_name(path: str) -> bool:
    """Return whether a table may name a file: on a service only one below the table's folder.

    Who submits a study must neither read nor find out what else is on the service's machine.
    """
    return not is_confined() or not (Path(path).is_absolute() or ".." in Path(path).parts)


def is_confined() -> bool:
    """Return whether this process works for a service."""
    return CONFINED in os.environ


def is_loader(source: str) -> bool:
    """Return whether a source has the form `file.py:function`."""
    return _LOADER.search(source) is not None


def may_import_keras(spec: DataSpec) -> bool:
    """Return whether reading the data may import Keras: a loader imports what it likes, and Keras has own sets."""
    return any(is_loader(source) or source.startswith("keras:") for _, source in spec.list_sources())


def is_pattern(source: str, base: Path) -> bool:
    """Return whether a source is a pattern of files; a file of that very name is none."""
    return glob.has_magic(source) and not _exists(base / source)


def find_suffix(name: str) -> str:
    """Return the end of a file's name in lower case, of a compressed file both: `.csv.gz`."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes[-2:]]
    both = "".join(suffixes)
    return both if both in SUFFIXES or (suffixes and suffixes[-1] in COMPRESSIONS) else "".join(suffixes[-1:])


def name_file(path: Path, base: Path) -> str:
    """Return a file as a study would name it: from the folder of the study file, where it is below that."""
    for copies in _FETCHED.get().values():
        if path in copies:
            return copies[path]
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)


def expand_pattern(source: str, base: Path) -> list[str]:
    """Return the names of the files that fit a pattern, from the folder; none where the source is no pattern."""
    if not is_pattern(source, base):
        return []
    # Each `**` in a row walks all folders again below each of them, and finds the same.
    source = _SAME_FOLDERS.sub("**/", source)
    # Sorted, since the order of a folder differs between file systems.
    names = glob.glob(source, root_dir=base, recursive=True)  # noqa: PTH207 - Path.glob takes no full path
    return sorted(name for name in names if (base / name).is_file())


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # longer than any name here may be
        return False


def _expand(source: str, base: Path) -> list[Path]:
    return [base / name for name in expand_pattern(source, base)] if is_pattern(source, base) else [base / source]


def _find_problem(path: Path, written: str, key: str) -> Problem | None:
    if not _exists(path):
        if not _exists(path.parent) or not path.parent.is_dir():
            where = "; a relative path begins at the study file's folder" if not Path(written).is_absolute() else ""
            return Problem(f"there is no file or folder {written}, nor the folder that it would be in{where}", key)
        beside = [entry.name for entry in path.parent.iterdir()]
        # A folder of data may hold millions of files; the hint needs a few.
        beside = [name for name in beside if not name.startswith(".")][:_MOST_BESIDE]
        return Problem(f"there is no file or folder {written}; {suggest_choice(path.name, beside)}", key)
    if not os.access(path, os.R_OK):
        return Problem(f"{written} may not be read; check its permissions", key)
    if not (path.is_file() or path.is_dir()):
        # A pipe without a writer would be read for ever.
        return Problem(f"{written} is a {describe_special_file(path)}; expected a file or a folder", key)
    suffix = find_suffix(path.name)
    if path.is_file() and suffix not in SUFFIXES:
        got = f'got a file ending in "{suffix}"' if suffix else "got a file without an ending"
        advice = _INSTEAD.get(suffix) or _INSTEAD.get(Path(path.name).suffix.lower(), _LOADER_ADVICE)
        return Problem(f"{got}: {written}; {advice}; expected {FORMS}", key)
    if path.is_file() and path.stat().st_size == 0:
        return Problem(f"{written} is empty", key)
    return None


def describe_special_file(path: Path) -> str:
    """Return what a path is that is neither a file nor a folder."""
    mode = path.stat().st_mode
    kinds = ((stat.S_ISFIFO, "named pipe"), (stat.S_ISSOCK, "socket"))
    return next((kind for is_kind, kind in kinds if is_kind(mode)), "device")


def _explain_doubled(path: Path, base: Path, key: SourceKey, before: SourceKey) -> Problem:
    name = name_file(path, base)
    if key == before:
        return Problem(f"{name} is named twice; name it once", f"data.{key}")
    part = key.removesuffix("_source")
    return Problem(f"{name} is among the files of data.{before} too, so {part} rows would be trained on", f"data.{key}")
