"""Pictures as pixels: the one reading that training and a deployed model share.

A deployed model has a copy of this file beside its loader, so nothing of kerastudy is imported here. Pillow is imported
where a picture is opened: pixels in arrays need none.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
DATA_URI = "data:image/png;base64,"


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        pixels: uint8 [height, width] of a grey picture, [height, width, 3] of another.
        was_transparent: whether parts of it were laid over white.
        frames: their number in the file; the first is read.
    """

    pixels: Any
    is_grey: bool
    was_transparent: bool
    frames: int


def read_picture(source: str | Path | io.BytesIO, size: tuple[int, int] | None) -> Picture:
    """Return a picture upright, with 8 bits a channel.

    Args:
        source: its file, or the file's content.
        size: height and width that it is resized to; None leaves its size.

    Raises:
        OSError: if there is no such file, or it is no picture.
        ValueError: if its pixels have no form of 8 or 16 bits.
    """
    from PIL import Image, ImageOps

    with Image.open(source) as opened:
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
    return Picture(np.asarray(picture, dtype=np.uint8), is_grey, is_transparent, frames)


def read_picture_cell(value: Any, shape: tuple[int, ...]) -> Any:
    """Return a cell's picture as a model takes it: float32 [height, width, channel].

    Args:
        value: a path, a file's content as bytes or as a data URI, an array of pixels, or Pillow's image.
        shape: height, width and channels in training.

    Raises:
        ValueError: if it is no picture, or an array of another shape.
    """
    if isinstance(value, dict):  # as in Parquet files of Hugging Face
        value = value.get("bytes") or value.get("path")
    if hasattr(value, "shape") or isinstance(value, list):
        return _check_pixels(np.asarray(value, dtype=np.float32), shape)
    from PIL import Image

    try:
        picture = read_picture(_open(value), (shape[0], shape[1]))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"expected a picture, got {_shorten(value)}: {error}") from None
    return convert_channels(picture, shape[2]).astype(np.float32)


def convert_channels(picture: Picture, channels: int) -> Any:
    """Return a picture's pixels with 1 or 3 channels, uint8 [height, width, channel]."""
    pixels = picture.pixels
    if picture.is_grey:
        return np.repeat(pixels[..., np.newaxis], channels, axis=-1)
    if channels == 3:
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.uint8)[..., np.newaxis]


def write_data_uri(pixels: Any) -> str:
    """Return pixels [height, width, channel] of 0 to 255 as text that `read_picture_cell` takes."""
    from PIL import Image

    values = np.asarray(pixels).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(content, "PNG")
    return DATA_URI + base64.b64encode(content.getvalue()).decode("ascii")


def _open(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return io.BytesIO(bytes(value))
    if isinstance(value, str) and value.startswith("data:"):
        return io.BytesIO(base64.b64decode(value.partition(",")[2], validate=True))
    if isinstance(value, str | Path):
        return Path(str(value).strip())
    if hasattr(value, "save"):  # Pillow's image
        content = io.BytesIO()
        value.save(content, "PNG")
        content.seek(0)
        return content
    raise ValueError("it is neither a path, nor bytes, nor an array of pixels")


def _shorten(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}..."


def _check_pixels(pixels: Any, shape: tuple[int, ...]) -> Any:
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, shape[2], axis=-1)
    if pixels.shape != shape:
        raise ValueError(f"expected pixels [height, width, channel] of shape {shape}, got {pixels.shape}")
    return pixels


def _reduce_bits(picture: Any) -> Any:
    """Return a picture of 16 bits a pixel with 8: `convert` would cut values off at 255."""
    from PIL import Image

    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if picture.mode not in ("I", "I;16", "I;16B", "I;16L", "I;16N"):
        return picture
    pixels = np.asarray(picture).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65_535:
        raise ValueError("its pixels have 32 bits; save it with 8 or 16 bits")
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def _is_transparent(picture: Any) -> bool:
    # Many files have a channel for transparency in which all is opaque.
    return bool(np.asarray(picture.convert("RGBA").getchannel("A")).min() < 255)


def _lay_over_white(picture: Any) -> Any:
    from PIL import Image

    coloured = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
