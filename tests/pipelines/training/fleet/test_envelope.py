"""Envelopes: the trials that a program can train."""

from __future__ import annotations

from pipelines.training.fleet.envelope import find_envelope, merge_envelopes
from pipelines.training.fleet.member import build_member


def test_joined_envelopes_hold_what_either_holds():
    """A program made larger still trains what it trained before."""
    one, other = (
        build_member({"units": u, "activation": a, "depth": d}, frozenset())
        for u, a, d in ((16, "relu", 3), (128, "tanh", 0))
    )
    both = merge_envelopes(find_envelope([one]), find_envelope([other]))
    assert both.holds(one)
    assert both.holds(other)
    assert both == find_envelope([one, other])


def test_a_program_holds_convolutions_of_its_own_kind_alone():
    """Sizes of kernels and the way to a vector are compiled; a dense network is another kind."""
    kinds = [("cnn", 3, "flatten"), ("cnn", 5, "flatten"), ("cnn", 3, "max")]
    members = [
        build_member({"blocks": 2, "kernel_size": size, "global_pooling": pooling}, frozenset(), family)
        for family, size, pooling in kinds
    ]
    members.append(build_member({"depth": 2, "units": 32}, frozenset()))
    for program in members:
        assert [find_envelope([program]).holds(member) for member in members] == [each is program for each in members]
