"""Images of a folder with one sub-folder per class.

An array holds them as uint8 [row, height, width, channel], with 1 channel if all are grey and 3 otherwise; transparency
is left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from pipelines.data.array_types import Array
from pipelines.data.raw import GivenPart, Origin, RawData
from search_spaces.errors import InputError, Problem

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")


def read_images(
    folder: Path, name: str, size: tuple[int, int] | None, key: str, part: GivenPart | None = None
) -> RawData:
    """Return the pictures below `folder`, their classes named by the sub-folders.

    Args:
        folder: holds one sub-folder a class.
        name: the folder as the study names it.
        size: height and width that pictures are resized to; None if all have one size.
        key: dotted key of the study file that names the folder.
        part: the part that the pictures were given for.

    Raises:
        InputError: if there are no pictures, one cannot be read, or sizes differ and no size is set.
    """
    # Sorted, since the order of a folder differs between file systems.
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    files = [(index, file) for index, label in enumerate(classes) for file in _list_pictures(folder / label)]
    if not files:
        message = f"{name} holds no pictures; expected one sub-folder a class with {', '.join(SUFFIXES)} files"
        raise InputError(Problem(message, key))
    empty = sorted(set(range(len(classes))) - {index for index, _ in files})
    if empty:
        raise InputError(Problem(f'{name} has no pictures of class "{classes[empty[0]]}"', key))
    # All are opened before any is converted: one picture in colour decides the channels of all.
    opened = [_open_picture(file, folder, key) for _, file in files]
    mode = "L" if all(grey for _, grey in opened) else "RGB"
    pictures = [picture.convert(mode) for picture, _ in opened]
    names = [file.relative_to(folder).as_posix() for _, file in files]
    array = np.stack([_convert_to_array(picture) for picture in _match_sizes(pictures, names, size)])
    return RawData(
        origins=(Origin(name, key, "file", names, part),),
        array=array,
        labels=pd.DataFrame({"class": [index for index, _ in files]}),
        class_names=tuple(classes),
    )


def _list_pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())


def _open_picture(file: Path, folder: Path, key: str) -> tuple[Image.Image, bool]:
    """Return the picture, upright and 8 bits a channel, and whether it is grey."""
    try:
        with Image.open(file) as opened:
            grey = opened.mode in GREY_MODES
            # Cameras store the rotation of a picture in its metadata.
            picture = ImageOps.exif_transpose(opened)
            if opened.mode in ("I", "I;16"):
                # 16 bits per pixel: convert("L") would cut values off at 255.
                picture = Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8))
            return picture.convert("L" if grey else "RGB"), grey
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        message = f"{file.relative_to(folder).as_posix()} cannot be read as a picture: {error}"
        raise InputError(Problem(message, key)) from None


def _match_sizes(pictures: list[Image.Image], names: list[str], size: tuple[int, int] | None) -> list[Image.Image]:
    if size is not None:
        height, width = size
        # Pillow counts the width first, Keras the height.
        return [picture.resize((width, height), Image.Resampling.BILINEAR) for picture in pictures]
    for picture, name in zip(pictures, names, strict=True):
        if picture.size != pictures[0].size:
            first, other = _format_size(pictures[0]), _format_size(picture)
            message = (
                f"pictures differ in size: {names[0]} is {first}, {name} is {other} "
                "(height x width); set the size that all are resized to, such as [64, 64]"
            )
            raise InputError(Problem(message, "data.image_size"))
    return pictures


def _format_size(picture: Image.Image) -> str:
    return f"{picture.height} x {picture.width}"


def _convert_to_array(picture: Image.Image) -> Array:
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels
