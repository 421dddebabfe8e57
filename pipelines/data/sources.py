"""Data sources: the rows, with their places, of all that `data.source` can name.

Only `keras:<name>` uses the network: Keras downloads the data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.data.arrays import call_loader, flatten_examples, read_npz
from pipelines.data.builtin_datasets import load_keras, load_sklearn
from pipelines.data.images import read_images
from pipelines.data.prepared import InputKind
from pipelines.data.raw import GivenPart, RawData, combine
from pipelines.data.source_paths import find_source, is_loader, resolve_source_path
from pipelines.data.tabular_files import read_csv, read_parquet
from pipelines.spec.code_references import find_stopped_import
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem


def load(spec: DataSpec, base: Path, prefers: InputKind) -> RawData:
    """Return all rows of a study's data, with those of separate files marked as given.

    Args:
        spec: the study file's `data`.
        base: folder that paths are relative to.
        prefers: form of features that the model family takes, if a source has several forms; "any" for a user model.

    Raises:
        InputError: if a source is missing or cannot be used; `Problem.path` names the key.
    """
    named: list[tuple[GivenPart | None, str | None]] = [
        (None, spec.source),
        ("validation", spec.validation_source),
        ("test", spec.test_source),
    ]
    sources = [_Source(written, part, spec, base) for part, written in named if written is not None]
    parts: list[RawData] = []
    for source in sources:
        # A dictionary of parts or a set of Keras has test rows already.
        given = {origin.part for part in parts for origin in part.origins}
        if source.part is not None and source.part in given:
            message = f"{spec.source} already has {source.part} rows; remove this key"
            raise InputError(Problem(message, source.key))
        parts.append(_load_source(source, prefers))
    raw = combine(parts)
    # The classes of a named set are known, so they are numbered and encoded like a table's.
    is_named = spec.source.startswith(("sklearn:", "keras:"))
    if raw.examples is not None and (prefers != "any" or spec.preprocess == "dense" or is_named):
        raw = flatten_examples(raw)
    _check_division(raw, spec)
    return raw


def note_stopped_imports(spec: DataSpec, base: Path) -> tuple[str, ...]:
    """Return a note for each loader whose file starts a search, which is not run."""
    written = (spec.source, spec.validation_source, spec.test_source)
    loaders = [each for each in written if each and is_loader(each) and resolve_source_path(each, base) is None]
    stops = [find_stopped_import(each, base, "data") for each in loaders]
    return tuple(dict.fromkeys(str(stop) for stop in stops if stop is not None))


@dataclass(frozen=True)
class _Source:
    """One of the up to three sources of a study."""

    written: str
    part: GivenPart | None
    spec: DataSpec
    base: Path

    @property
    def key(self) -> str:
        return f"data.{self.part}_source" if self.part else "data.source"


def _load_source(source: _Source, prefers: InputKind) -> RawData:
    written, key = source.written, source.key
    path = find_source(written, source.base, key)
    if source.spec.image_size is not None and not (path and path.is_dir()):
        message = f"pictures of an image folder are resized, but {written} is none; remove this key"
        raise InputError(Problem(message, "data.image_size"))
    if path is not None:
        return _load_path(path, source)
    if is_loader(written):
        return call_loader(written, source.base, key, source.part)
    if source.part is not None:
        raise InputError(Problem(f"{source.part} rows must be a file or a loader, got {written}", key))
    kind, _, name = written.partition(":")
    return load_sklearn(name, key, prefers) if kind == "sklearn" else load_keras(name, key)


def _load_path(path: Path, source: _Source) -> RawData:
    written, key, part = source.written, source.key, source.part
    if path.is_dir():
        return read_images(path, written, source.spec.image_size, key, part)
    readers = {
        ".csv": read_csv,
        ".tsv": read_csv,
        ".parquet": read_parquet,
        ".pq": read_parquet,
        ".npz": read_npz,
    }
    return readers[path.suffix.lower()](path, written, key, part)


def _check_division(raw: RawData, spec: DataSpec) -> None:
    given = sorted({origin.part for origin in raw.origins if origin.part is not None})
    if given and spec.split.column is not None:
        message = f"{' and '.join(given)} rows are given separately; remove this key or those rows"
        raise InputError(Problem(message, "data.split.column"))
    if "validation" in given and spec.split.folds is not None:
        message = "folds divide the rows themselves, but validation rows are given separately; remove one of the two"
        raise InputError(Problem(message, "data.split.folds"))
