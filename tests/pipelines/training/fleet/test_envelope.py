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
