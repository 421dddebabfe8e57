"""Picture files as pixels: upright, 8 bits a channel, of one size.

Arrays hold them as uint8 [row, height, width, channel], with 1 channel if all are grey and 3 otherwise. Transparent
parts are laid over white, and of several frames the first is read, each with a note.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.data.array_types import Array
from pipelines.data.reading.source_paths import may_name
from pipelines.data.scratch import Scratch
from search_spaces.errors import InputError, Problem
from tracking.mlflow.picture_values import Picture, convert_channels, read_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_MOST_NAMED = 10
_READ_TOGETHER = 64
_REFUSED = "a service reads pictures below the table's folder only"


@dataclass(frozen=True)
class Pictures:
    """Pictures in one array.

    Attributes:
        array: uint8 [row, height, width, channel].
        read: index of each row's file among those that were named; all of them unless broken ones were left out.
        notes: what was decided for the user.
    """

    array: Array
    read: tuple[int, ...]
    notes: tuple[str, ...] = ()


def read_picture_files(
    paths: Sequence[str | bytes],
    base: Path,
    size: tuple[int, int] | None,
    key: str = "data.source",
    places: Sequence[str] = (),
    *,
    skip_broken: bool = False,
    scratch: Scratch | None = None,
) -> Pictures:
    """Return the pictures of some files.

    Args:
        paths: names of the files, from `base`, or their contents.
        base: folder that relative names start from.
        size: height and width that pictures are resized to; None if all have one size.
        key: dotted key of the study file that names them.
        places: for messages the place of each, such as `line 3`; none where the names are enough.
        skip_broken: whether those that cannot be read are left out.
        scratch: makes the array, for pictures that are too many for the memory; they are decoded by all cores.

    Raises:
        InputError: if some cannot be read, with up to ten of them, or sizes differ and no size is set.
    """
    stack = _Stack() if scratch is None else _StackInFile(scratch, len(paths))
    read: list[int] = []
    broken: list[str] = []
    for index, found in enumerate(_iterate_pictures(paths, base, size, in_parallel=scratch is not None)):
        if isinstance(found, Picture):
            stack.add(found)
            read.append(index)
        else:
            where = f" ({places[index]})" if places else ""
            broken.append(f"{_name(paths[index])}{where}: {_describe(found, paths[index], base)}")
    if not read or (broken and not skip_broken):
        raise InputError(Problem(_explain_broken(broken), key))
    _check_sizes(stack.shapes, [_name(paths[index]) for index in read])
    return Pictures(stack.close(), tuple(read), (*_note_broken(broken), *_note_forms(stack)))


class _Stack:
    """Pictures in memory, and what is known of all of them."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.transparent = 0
        self.moving = 0
        self.is_grey = True
        self._pictures: list[Picture] = []

    def add(self, picture: Picture) -> None:
        """Add a picture."""
        self.shapes.append(picture.pixels.shape[:2])
        self.transparent += picture.was_transparent
        self.moving += picture.frames > 1
        self.is_grey &= picture.is_grey
        self._keep(picture)

    def close(self) -> Array:
        """Return all pictures: one in colour decides the channels of all."""
        channels = 1 if self.is_grey else 3
        return np.stack([convert_channels(picture, channels) for picture in self._pictures])

    def _keep(self, picture: Picture) -> None:
        self._pictures.append(picture)


class _StackInFile(_Stack):
    """Pictures in a file; those of another size than the first are counted only."""

    def __init__(self, scratch: Scratch, rows: int) -> None:
        super().__init__()
        self._scratch = scratch
        self._rows = rows
        self._array: Array | None = None

    def close(self) -> Array:
        """Return all pictures."""
        assert self._array is not None
        pixels = self._array[: len(self.shapes)]
        return pixels[..., :1] if self.is_grey else pixels

    def _keep(self, picture: Picture) -> None:
        if self._array is None:
            self._array = self._scratch.make((self._rows, *self.shapes[0], 3), np.uint8)
        if self.shapes[-1] == self.shapes[0]:
            self._array[len(self.shapes) - 1] = convert_channels(picture, 3)


def _iterate_pictures(
    paths: Sequence[str | bytes], base: Path, size: tuple[int, int] | None, *, in_parallel: bool
) -> Iterator[Picture | Exception]:
    """Yield each picture, or why it cannot be read."""

    def read(path: str | bytes) -> Picture | Exception:
        try:
            return _read_named(path, base, size)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return error

    if not in_parallel:
        yield from map(read, paths)
        return
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        # A few at a time: the pool reads all that it is given at once, and would hold them.
        for start in range(0, len(paths), _READ_TOGETHER):
            yield from pool.map(read, paths[start : start + _READ_TOGETHER])


def _name(path: str | bytes) -> str:
    return path if isinstance(path, str) else f"{len(path)} bytes"


def _read_named(path: str | bytes, base: Path, size: tuple[int, int] | None) -> Picture:
    if isinstance(path, bytes):
        return read_picture(BytesIO(path), size)
    if not may_name(path):
        raise ValueError(_REFUSED)
    return read_picture(base / path, size)


def _describe(error: Exception, named: str | bytes, base: Path) -> str:
    if str(error) == _REFUSED:
        return _REFUSED
    if isinstance(named, bytes):
        return "they are no picture, or a damaged one"
    path = base / named
    if path.is_dir():
        return "expected a picture file, got a folder or nothing"
    if not path.exists():
        return "there is no such file"
    if path.stat().st_size == 0:
        return "it is empty"
    return "it is no picture, or a damaged one" if "cannot identify" in str(error) else str(error)


def _explain_broken(broken: Sequence[str]) -> str:
    count = (
        "1 file cannot be read as a picture" if len(broken) == 1 else f"{len(broken)} files cannot be read as pictures"
    )
    return f"{count}: {_list_some(broken)}; replace or remove them, or set data.skip_broken: true to leave them out"


def _list_some(named: Sequence[str]) -> str:
    more = f"; and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return "; ".join(named[:_MOST_NAMED]) + more


def _check_sizes(shapes: Sequence[tuple[int, ...]], names: Sequence[str]) -> None:
    sizes = Counter(shapes)
    if len(sizes) == 1:
        return
    usual = sizes.most_common(1)[0][0]
    first = next(index for index, shape in enumerate(shapes) if shape == usual)
    other = next(index for index, shape in enumerate(shapes) if shape != usual)
    shown = f"{names[first]} is {_format_size(usual)}, {names[other]} is {_format_size(shapes[other])}"
    message = (
        f"pictures have {len(sizes)} sizes: {shown} (height x width); set the size that all are resized to, such as "
        f"[{usual[0]}, {usual[1]}]"
    )
    raise InputError(Problem(message, "data.image_size"))


def _format_size(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _note_broken(broken: Sequence[str]) -> tuple[str, ...]:
    if not broken:
        return ()
    count = "1 picture" if len(broken) == 1 else f"{len(broken)} pictures"
    return (f"left out as broken (data.skip_broken): {count}: {_list_some(broken)}",)


def _note_forms(stack: _Stack) -> tuple[str, ...]:
    notes, count = [], len(stack.shapes)
    if stack.transparent:
        notes.append(f"pictures with transparent parts are laid over white ({stack.transparent} of {count})")
    if stack.moving:
        notes.append(f"of pictures with several frames the first is read ({stack.moving} of {count})")
    return tuple(notes)
