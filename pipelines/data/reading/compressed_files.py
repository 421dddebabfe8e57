"""Compressed files, opened as if they were not: `.gz`, `.bz2`, `.xz`, and `.zip` with one file in it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from search_spaces.errors import InputError, Problem

# NotImplementedError and RuntimeError: a zip file of an unknown kind, or one with a password.
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)


_OPENERS: Mapping[str, Callable[[Path], gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}


@contextmanager
def open_file(path: Path, name: str, key: str) -> Iterator[BinaryIO]:
    """Yield the bytes of a file, unpacked where its name ends in such a suffix.

    Args:
        path: the file.
        name: its name in messages.
        key: dotted key of the study file that names it.

    Raises:
        InputError: if it cannot be unpacked, or a zip file holds several files.
    """
    suffix = path.suffix.lower()
    if suffix not in (".gz", ".bz2", ".xz", ".zip"):
        with path.open("rb") as plain:
            yield plain
        return
    try:
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_choose_member(archive, name, key)) as member:
                yield cast(BinaryIO, member)
        else:
            with _OPENERS[suffix](path) as unpacked:
                yield cast(BinaryIO, unpacked)
    except _BROKEN as error:
        raise InputError(Problem(f"{name} cannot be unpacked: {error}; pack or download it again", key)) from None


def _choose_member(archive: zipfile.ZipFile, name: str, key: str) -> str:
    # macOS adds files of its own to an archive, hidden ones among them.
    files = [each for each in archive.namelist() if not each.endswith("/") and not each.startswith("__MACOSX/")]
    files = [each for each in files if not each.rpartition("/")[2].startswith(".")] or files
    if len(files) == 1:
        return files[0]
    if not files:
        raise InputError(Problem(f"expected one file in {name}, and it holds none; pack it again", key))
    held = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")
    message = f"expected one file in {name}, got {len(files)} ({held}); unpack it and name the file"
    raise InputError(Problem(message, key))
