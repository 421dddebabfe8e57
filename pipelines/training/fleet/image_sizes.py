"""Sizes of images behind blocks of convolutions, each of which halves the image: plain numbers, no framework."""

from __future__ import annotations

import math


def list_image_sizes(image: tuple[int, ...], blocks: int, *, strided: bool = False) -> list[tuple[int, int]]:
    """Return height and width of an image [height, width, channel], and of what each of so many blocks makes of it.

    Args:
        image: its shape.
        blocks: their number.
        strided: whether a stride halves it. Of an odd side that keeps the last pixel, which Keras's pooling leaves out.
    """
    sizes = [(image[0], image[1])]
    for _ in range(blocks):
        height, width = sizes[-1]
        # A side of 1 stays.
        sizes.append((-(-height // 2), -(-width // 2)) if strided else (max(1, height // 2), max(1, width // 2)))
    return sizes


def count_vector(
    image: tuple[int, ...], blocks: int, filters: int, global_pooling: str, *, strided: bool = False
) -> int:
    """Return the length of the vector that the last block's image is reduced to."""
    sizes = list_image_sizes(image, blocks, strided=strided)
    return (math.prod(sizes[-1]) if global_pooling == "flatten" else 1) * filters
