"""Data sources: the rows, with their places, of all that `data.source` can name.

Only `keras:<name>` uses the network: Keras downloads the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.data.prepared import InputKind
from pipelines.data.raw import GivenPart, RawData, combine
from pipelines.data.reading.arrays import call_loader, flatten_examples
from pipelines.data.reading.builtin_datasets import load_keras, load_sklearn
from pipelines.data.reading.column_names import clean_column_names
from pipelines.data.reading.file_formats import check_reading_keys, find_format
from pipelines.data.reading.image_columns import read_picture_columns
from pipelines.data.reading.images import match_parts
from pipelines.data.reading.picture_tables import read_pictures_of
from pipelines.data.reading.source_file import SourceFile
from pipelines.data.reading.source_paths import find_sources, is_loader, name_file, resolve_source_path
from pipelines.data.scratch import Scratch
from pipelines.spec.code_references import find_stopped_import
from pipelines.spec.data_spec import DataSpec, SourceKey
from search_spaces.errors import InputError, Problem

_MOST_NOTED = 3
_PARTS: dict[SourceKey, GivenPart | None] = {"source": None, "validation_source": "validation", "test_source": "test"}


def load(spec: DataSpec, base: Path, prefers: InputKind, scratch: Scratch | None = None) -> RawData:
    """Return all rows of a study's data, with those of separate files marked as given.

    Args:
        spec: the study file's `data`.
        base: folder that paths are relative to.
        prefers: form of features that the model family takes, if a source has several forms; "any" for a user model.
        scratch: makes the array of pictures that are too many for the memory; None for others.

    Raises:
        InputError: if a source is missing or cannot be used; `Problem.path` names the key.
    """
    check_reading_keys(spec, base)
    groups: dict[SourceKey, list[str]] = {}
    for each, written in spec.list_sources():
        groups.setdefault(each, []).append(written)
    parts: list[RawData] = []
    for source_key, named in groups.items():
        # A dictionary of parts or a set of Keras has test rows already.
        given = {origin.part for part in parts for origin in part.origins}
        part, key = _PARTS[source_key], f"data.{source_key}"
        if part is not None and part in given:
            message = f"{spec.describe_source()} already has {part} rows; remove this key"
            raise InputError(Problem(message, key))
        sources = [_Source(written, key, part, spec, base, len(named) > 1, scratch) for written in named]
        for source in sources:
            parts += _load_source(source, prefers, _list_columns(parts))
    raw = clean_column_names(combine(match_parts(_shorten_notes(parts), scratch), scratch), "data.source")
    # The classes of a named set are known, so they are numbered and encoded like a table's.
    is_named = spec.describe_source().startswith(("sklearn:", "keras:"))
    if raw.examples is not None and (prefers != "any" or spec.preprocess == "dense" or is_named):
        raw = replace(flatten_examples(raw), notes=raw.notes)
    _check_division(raw, spec)
    return raw


def _shorten_notes(parts: list[RawData]) -> list[RawData]:
    """Return the parts with the notes of the first files: hundreds of files may have one each."""
    noted = [index for index, part in enumerate(parts) if part.notes]
    if len(noted) <= _MOST_NOTED:
        return parts
    more = noted[_MOST_NOTED:]
    last = parts[more[-1]].origins[0].name
    note = f"{len(more)} more files have notes on how they were read, the last one {last}"
    cut = {index: replace(parts[index], notes=(note,) if index == more[0] else ()) for index in more}
    return [cut.get(index, part) for index, part in enumerate(parts)]


def load_new_rows(spec: DataSpec, base: Path, columns: Sequence[str] = ()) -> RawData:
    """Return the rows of a file that are to be predicted; they may lack the target, and the file be of another kind.

    Args:
        spec: the study file's `data` with this file as its source.
        base: folder of the file.
        columns: the columns that the model takes, for a file without a header.

    Raises:
        InputError: if it cannot be read.
    """
    parts = [
        find_format(path).read(SourceFile(path, name_file(path, base), "FILE", spec, None, tuple(columns), is_new=True))
        for _, written in spec.list_sources()
        for path in find_sources(written, base, "FILE")
    ]
    if not parts:
        raise InputError(Problem(f"expected a file, got {spec.describe_source()}", "FILE"))
    return clean_column_names(combine(parts), "FILE")


def note_stopped_imports(spec: DataSpec, base: Path) -> tuple[str, ...]:
    """Return a note for each loader whose file starts a search, which is not run."""
    loaders = [each for _, each in spec.list_sources() if is_loader(each) and resolve_source_path(each, base) is None]
    stops = [find_stopped_import(each, base, "data") for each in loaders]
    return tuple(dict.fromkeys(str(stop) for stop in stops if stop is not None))


@dataclass(frozen=True)
class _Source:
    """One source of a study, as it is written.

    Attributes:
        is_listed: whether it is one of a list.
    """

    written: str
    key: str
    part: GivenPart | None
    spec: DataSpec
    base: Path
    is_listed: bool
    scratch: Scratch | None = None


def _list_columns(parts: Sequence[RawData]) -> tuple[str, ...]:
    """Return the columns of the first table that was read."""
    return next((tuple(part.table.columns) for part in parts if part.table is not None), ())


def _load_source(source: _Source, prefers: InputKind, columns: tuple[str, ...]) -> list[RawData]:
    """Return the rows of each file that a source names, or of the loader or named set that it is."""
    written, key = source.written, source.key
    parts: list[RawData] = []
    for path in find_sources(written, source.base, key):
        parts.append(_load_path(path, source, prefers, columns or _list_columns(parts)))
    if parts:
        return parts
    if source.is_listed:
        message = f"a list of sources holds files, got {written}; name it alone, or write one loader that joins them"
        raise InputError(Problem(message, key))
    loaded = _call_loader(source, prefers) if is_loader(written) else None
    if source.spec.image_size is not None and (loaded is None or not loaded.pictures):
        message = f"pictures of an image folder are resized, but {written} is none; remove this key"
        raise InputError(Problem(message, "data.image_size"))
    if loaded is not None:
        return [loaded]
    if source.part is not None:
        raise InputError(Problem(f"{source.part} rows must be a file or a loader, got {written}", key))
    kind, _, name = written.partition(":")
    return [load_sklearn(name, key, prefers) if kind == "sklearn" else load_keras(name, key)]


def _call_loader(source: _Source, prefers: InputKind) -> RawData:
    raw = call_loader(source.written, source.base, source.key, source.part)
    # A table from memory has no folder: its paths start from the study file's.
    if prefers not in ("dense", "mixed", "any"):
        return raw
    return read_picture_columns(raw, source.spec, source.base, prefers)


def _load_path(path: Path, source: _Source, prefers: InputKind, columns: tuple[str, ...]) -> RawData:
    file = SourceFile(
        path, name_file(path, source.base), source.key, source.spec, source.part, columns, scratch=source.scratch
    )
    raw = find_format(path).read(file)
    if path.is_dir():
        return raw
    return read_pictures_of(raw, file, prefers)


def _check_division(raw: RawData, spec: DataSpec) -> None:
    given = sorted({origin.part for origin in raw.origins if origin.part is not None})
    if given and spec.split.column is not None:
        message = f"{' and '.join(given)} rows are given separately; remove this key or those rows"
        raise InputError(Problem(message, "data.split.column"))
    if "validation" in given and spec.split.folds is not None:
        message = "folds divide the rows themselves, but validation rows are given separately; remove one of the two"
        raise InputError(Problem(message, "data.split.folds"))
