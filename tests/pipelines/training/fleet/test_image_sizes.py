"""Sizes of images behind blocks of convolutions."""

from __future__ import annotations

from pipelines.training.fleet.envelope import find_envelope
from pipelines.training.fleet.image_sizes import count_vector, list_image_sizes
from pipelines.training.fleet.member import build_member


def test_each_block_halves_an_image():
    """Of an odd side the last pixel is left out, and a side of 1 stays."""
    assert list_image_sizes((9, 2, 3), 4) == [(9, 2), (4, 1), (2, 1), (1, 1), (1, 1)]


def test_a_stride_keeps_the_last_pixel_of_an_odd_side():
    """So its images may be larger than those of pooling."""
    assert list_image_sizes((9, 2, 3), 4, strided=True) == [(9, 2), (5, 1), (3, 1), (2, 1), (1, 1)]


def test_a_vector_has_all_pixels_or_one_number_of_each_filter():
    """Flattening keeps the last block's image; other reductions leave as many numbers as filters."""
    assert count_vector((8, 8, 1), 2, 5, "flatten") == 20
    assert count_vector((8, 8, 1), 2, 5, "average") == 5


def test_the_largest_patches_may_be_those_of_a_later_block():
    """The first block of grey images has one channel, the second as many as filters."""
    for blocks, expected in ((2, 16 * 9 * 16), (1, 64 * 16)):
        member = build_member({"blocks": blocks, "filters": 16, "kernel_size": 3}, frozenset(), "cnn")
        assert find_envelope([member]).count_patch_numbers((8, 8, 1)) == expected
