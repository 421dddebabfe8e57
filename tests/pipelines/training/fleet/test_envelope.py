"""Envelopes: the trials that a program can train."""

from __future__ import annotations

from pipelines.training.fleet.envelope import find_envelope, merge_envelopes
from pipelines.training.fleet.member import build_member
from search_spaces.values import Value


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
    """Images that a stride halves have other sizes than pooled ones; a dense network is another kind."""
    kinds: tuple[dict[str, Value], ...] = (
        {"pooling": "max"},
        {"pooling": "stride"},
        {"pooling": "stride", "convolutions_per_block": 2},
    )
    members = [build_member({"blocks": 2, **values}, frozenset(), "cnn") for values in kinds]
    members.append(build_member({"depth": 2, "units": 32}, frozenset()))
    for program in members:
        assert [find_envelope([program]).holds(member) for member in members] == [each is program for each in members]


def test_a_program_holds_no_branch_that_none_of_its_trials_has():
    """Sizes of kernels, ways of pooling, convolutions of a block and widths of a dense layer are compiled."""
    values: dict[str, Value] = {"blocks": 2, "dense_units": 8, "convolutions_per_block": 2}
    program = find_envelope([build_member(values, frozenset(), "cnn")])
    for other in (
        {"kernel_size": 5},
        {"pooling": "average"},
        {"global_pooling": "max"},
        {"convolutions_per_block": 1},
        {"dense_units": 0},
        {"dense_units": 9},
    ):
        assert not program.holds(build_member({**values, **other}, frozenset(), "cnn"))
    assert program.holds(build_member({**values, "filters": 4, "dropout": 0.0}, frozenset(), "cnn"))


def test_layers_are_in_the_order_of_the_stock_model():
    """A trial has those of its blocks and convolutions, and the dense layer behind them with the last one's values."""
    large, small = (
        build_member({"blocks": n, "convolutions_per_block": n, "dense_units": d, "filters": 3}, frozenset(), "cnn")
        for n, d in ((2, 7), (1, 0))
    )
    layers = find_envelope([large, small]).layers
    assert [layer.name for layer in layers] == ["1_1", "1_2", "2_1", "2_2", "dense"]
    assert [layer.count_units(large) for layer in layers] == [3, 3, 3, 3, 7]
    assert [layer.count_units(small) for layer in layers] == [3, 0, 0, 0, 0]
    assert [layer.find_values_at(large) for layer in layers] == [0, 0, 1, 1, 1]
