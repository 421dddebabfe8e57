"""Picture files as pixels: upright, 8 bits a channel, of one size.

Arrays hold them as uint8 [row, height, width, channel], with 1 channel if all are grey and 3 otherwise. Transparent
parts are laid over white, and of several frames the first is read, each with a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipelines.data.array_types import Array
from search_spaces.errors import InputError, Problem

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_MOST_NAMED = 10


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


@dataclass(frozen=True)
class _Picture:
    pixels: Array
    is_grey: bool
    was_transparent: bool
    frames: int


def read_picture_files(
    paths: Sequence[str],
    base: Path,
    size: tuple[int, int] | None,
    key: str = "data.source",
    places: Sequence[str] = (),
    *,
    skip_broken: bool = False,
) -> Pictures:
    """Return the pictures of some files.

    Args:
        paths: names of the files, from `base`.
        base: folder that relative names start from.
        size: height and width that pictures are resized to; None if all have one size.
        key: dotted key of the study file that names them.
        places: for messages the place of each, such as `line 3`; none where the names are enough.
        skip_broken: whether those that cannot be read are left out.

    Raises:
        InputError: if some cannot be read, with up to ten of them, or sizes differ and no size is set.
    """
    pictures: list[_Picture] = []
    read: list[int] = []
    broken: list[str] = []
    for index, path in enumerate(paths):
        try:
            pictures.append(_read_picture(base / path, size))
            read.append(index)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            where = f" ({places[index]})" if places else ""
            broken.append(f"{path}{where}: {_describe(error, base / path)}")
    if not pictures or (broken and not skip_broken):
        raise InputError(Problem(_explain_broken(broken), key))
    _check_sizes(pictures, [paths[index] for index in read])
    array = np.stack(list(_match_channels(pictures)))
    return Pictures(array, tuple(read), (*_note_broken(broken), *_note_forms(pictures)))


def _read_picture(path: Path, size: tuple[int, int] | None) -> _Picture:
    with Image.open(path) as opened:
        is_grey = opened.mode in GREY_MODES
        frames = getattr(opened, "n_frames", 1)
        # Cameras store the rotation of a picture in its metadata.
        picture = _reduce_bits(ImageOps.exif_transpose(opened))
        is_transparent = picture.has_transparency_data and _is_transparent(picture)
        picture = (_lay_over_white(picture) if is_transparent else picture).convert("L" if is_grey else "RGB")
    if size is not None:
        height, width = size
        # Pillow counts the width first, Keras the height.
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return _Picture(np.asarray(picture, dtype=np.uint8), is_grey, is_transparent, frames)


def _reduce_bits(picture: Image.Image) -> Image.Image:
    """Return a picture of 16 bits a pixel with 8: `convert` would cut values off at 255."""
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if picture.mode not in ("I", "I;16", "I;16B", "I;16L", "I;16N"):
        return picture
    pixels = np.asarray(picture).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65_535:
        raise ValueError("its pixels have 32 bits; save it with 8 or 16 bits")
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def _is_transparent(picture: Image.Image) -> bool:
    # Many files have a channel for transparency in which all is opaque.
    return bool(np.asarray(picture.convert("RGBA").getchannel("A")).min() < 255)


def _lay_over_white(picture: Image.Image) -> Image.Image:
    coloured = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)


def _describe(error: Exception, path: Path) -> str:
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


def _check_sizes(pictures: Sequence[_Picture], names: Sequence[str]) -> None:
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


def _match_channels(pictures: Sequence[_Picture]) -> Iterable[Array]:
    """Return the pixels of all: one picture in colour decides the channels of all."""
    has_colour = not all(picture.is_grey for picture in pictures)
    for picture in pictures:
        pixels = picture.pixels if picture.pixels.ndim == 3 else picture.pixels[..., np.newaxis]
        yield np.repeat(pixels, 3, axis=-1) if has_colour and picture.is_grey else pixels


def _note_broken(broken: Sequence[str]) -> tuple[str, ...]:
    if not broken:
        return ()
    count = "1 picture" if len(broken) == 1 else f"{len(broken)} pictures"
    return (f"left out as broken (data.skip_broken): {count}: {_list_some(broken)}",)


def _note_forms(pictures: Sequence[_Picture]) -> tuple[str, ...]:
    transparent = sum(picture.was_transparent for picture in pictures)
    moving = sum(picture.frames > 1 for picture in pictures)
    notes = []
    if transparent:
        notes.append(f"pictures with transparent parts are laid over white ({transparent} of {len(pictures)})")
    if moving:
        notes.append(f"of pictures with several frames the first is read ({moving} of {len(pictures)})")
    return tuple(notes)
