"""Kinds of files: the reader of each, and the keys of reading that it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.raw import RawData
from pipelines.data.reading.arrays import read_npz
from pipelines.data.reading.csv_files import read_csv
from pipelines.data.reading.excel_files import read_excel
from pipelines.data.reading.images import read_images
from pipelines.data.reading.json_files import read_json
from pipelines.data.reading.npy_files import read_npy
from pipelines.data.reading.source_file import SourceFile
from pipelines.data.reading.source_paths import COMPRESSIONS, JSON_SUFFIXES, TEXT_SUFFIXES, find_sources, find_suffix
from pipelines.data.reading.tabular_files import read_feather, read_parquet
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem


@dataclass(frozen=True)
class FileFormat:
    """A kind of file: its reader, and the keys of reading that the reader uses."""

    read: Callable[[SourceFile], RawData]
    keys: tuple[str, ...] = ()


def _read_npz(file: SourceFile) -> RawData:
    return read_npz(file.path, file.name, file.key, file.part)


_IMAGES = FileFormat(read_images, ("skip_broken",))
_FORMATS: Mapping[str, FileFormat] = {
    **dict.fromkeys(
        TEXT_SUFFIXES,
        FileFormat(
            read_csv,
            ("header", "names", "encoding", "sep", "comment", "quote", "skiprows", "skipfooter", "skip_broken"),
        ),
    ),
    **dict.fromkeys(JSON_SUFFIXES, FileFormat(read_json, ("encoding", "skip_broken"))),
    **dict.fromkeys((".parquet", ".pq"), FileFormat(read_parquet)),
    **dict.fromkeys((".feather", ".arrow"), FileFormat(read_feather)),
    ".xlsx": FileFormat(read_excel, ("header", "names", "skiprows", "skipfooter", "sheet")),
    ".npz": FileFormat(_read_npz),
    ".npy": FileFormat(read_npy, ("names",)),
}
_FOR = {
    "header": "text files and sheets",
    "names": "text files, sheets and .npy files",
    "encoding": "text files",
    "sep": "text files of rows",
    "comment": "text files of rows",
    "quote": "text files of rows",
    "skiprows": "text files and sheets",
    "skipfooter": "text files and sheets",
    "sheet": "Excel files",
    "skip_broken": "text files and pictures",
}
"""Keys of reading, with the files that they are for."""


def find_format(path: Path) -> FileFormat:
    """Return the kind of a file that `find_sources` found, or of a folder."""
    if path.is_dir():
        return _IMAGES
    suffix = find_suffix(path.name)
    for packed in COMPRESSIONS:
        suffix = suffix.removesuffix(packed)
    return _FORMATS[suffix]


def check_reading_keys(spec: DataSpec, base: Path) -> None:
    """Check that each key of reading is used by a file of the study.

    Raises:
        InputError: with those that are not.
    """
    paths = [path for key, each in spec.list_sources() for path in find_sources(each, base, f"data.{key}")]
    used = {key for path in paths for key in find_format(path).keys}
    problems = [
        Problem(f"this is for {kinds}, and {spec.describe_source()} is none; remove this key", f"data.{key}")
        for key, kinds in _FOR.items()
        if key not in used and getattr(spec, key) != DataSpec.model_fields[key].default
    ]
    if problems:
        raise InputError(problems)
