"""Sizes of images behind blocks of convolutions, each of which halves the image: plain numbers, no framework."""

from __future__ import annotations

import math


def list_image_sizes(image: tuple[int, ...], blocks: int) -> list[tuple[int, int]]:
    """Return height and width of an image [height, width, channel], and of what each of so many blocks makes of it."""
    sizes = [(image[0], image[1])]
    for _ in range(blocks):
        height, width = sizes[-1]
        sizes.append((_halve(height), _halve(width)))
    return sizes


def count_vector(image: tuple[int, ...], blocks: int, filters: int, global_pooling: str) -> int:
    """Return the length of the vector that the last block's image is reduced to."""
    pixels = math.prod(list_image_sizes(image, blocks)[-1]) if global_pooling == "flatten" else 1
    return pixels * filters


def count_patch_numbers(kernel_size: int, filters: int, blocks: int, image: tuple[int, ...]) -> int:
    """Return the most numbers that the patches of one image take in a block, or its output if that takes more."""
    sizes, channels = list_image_sizes(image, blocks), [image[-1], *[filters] * (blocks - 1)]
    return max(
        math.prod(size) * max(kernel_size**2 * channel, filters) for size, channel in zip(sizes, channels, strict=False)
    )


def _halve(side: int) -> int:
    # A side of 1 stays, and of an odd side the last pixel is left out, as in Keras's pooling.
    return max(1, side // 2)
