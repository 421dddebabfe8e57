"""Picture files as pixels: upright, 8 bits a channel, of one size.

Arrays hold them as uint8 [row, height, width, channel], with 1 channel if all are grey and 3 otherwise. Transparent
parts are laid over white, and of several frames the first is read, each with a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.data.array_types import Array
from pipelines.data.reading.source_paths import may_name
from search_spaces.errors import InputError, Problem
from tracking.mlflow.picture_values import Picture, convert_channels, read_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_MOST_NAMED = 10
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
) -> Pictures:
    """Return the pictures of some files.

    Args:
        paths: names of the files, from `base`, or their contents.
        base: folder that relative names start from.
        size: height and width that pictures are resized to; None if all have one size.
        key: dotted key of the study file that names them.
        places: for messages the place of each, such as `line 3`; none where the names are enough.
        skip_broken: whether those that cannot be read are left out.

    Raises:
        InputError: if some cannot be read, with up to ten of them, or sizes differ and no size is set.
    """
    pictures: list[Picture] = []
    read: list[int] = []
    broken: list[str] = []
    for index, path in enumerate(paths):
        try:
            pictures.append(_read_named(path, base, size))
            read.append(index)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            where = f" ({places[index]})" if places else ""
            broken.append(f"{_name(path)}{where}: {_describe(error, path, base)}")
    if not pictures or (broken and not skip_broken):
        raise InputError(Problem(_explain_broken(broken), key))
    _check_sizes(pictures, [_name(paths[index]) for index in read])
    array = np.stack(list(_match_channels(pictures)))
    return Pictures(array, tuple(read), (*_note_broken(broken), *_note_forms(pictures)))


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


def _check_sizes(pictures: Sequence[Picture], names: Sequence[str]) -> None:
    sizes = Counter(picture.pixels.shape[:2] for picture in pictures)
    if len(sizes) == 1:
        return
    usual = sizes.most_common(1)[0][0]
    first = next(index for index, picture in enumerate(pictures) if picture.pixels.shape[:2] == usual)
    other = next(index for index, picture in enumerate(pictures) if picture.pixels.shape[:2] != usual)
    shown = f"{names[first]} is {_format_size(usual)}, {names[other]} is {_format_size(pictures[other].pixels.shape)}"
    message = (
        f"pictures have {len(sizes)} sizes: {shown} (height x width); set the size that all are resized to, such as "
        f"[{usual[0]}, {usual[1]}]"
    )
    raise InputError(Problem(message, "data.image_size"))


def _format_size(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _match_channels(pictures: Sequence[Picture]) -> Iterable[Array]:
    """Return the pixels of all: one picture in colour decides the channels of all."""
    channels = 1 if all(picture.is_grey for picture in pictures) else 3
    return (convert_channels(picture, channels) for picture in pictures)


def _note_broken(broken: Sequence[str]) -> tuple[str, ...]:
    if not broken:
        return ()
    count = "1 picture" if len(broken) == 1 else f"{len(broken)} pictures"
    return (f"left out as broken (data.skip_broken): {count}: {_list_some(broken)}",)


def _note_forms(pictures: Sequence[Picture]) -> tuple[str, ...]:
    transparent = sum(picture.was_transparent for picture in pictures)
    moving = sum(picture.frames > 1 for picture in pictures)
    notes = []
    if transparent:
        notes.append(f"pictures with transparent parts are laid over white ({transparent} of {len(pictures)})")
    if moving:
        notes.append(f"of pictures with several frames the first is read ({moving} of {len(pictures)})")
    return tuple(notes)
