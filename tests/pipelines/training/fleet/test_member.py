"""Members: a trial's values as a fleet reads them."""

from __future__ import annotations

from pipelines.training.fleet.member import build_member, list_number_arguments


def test_a_value_that_the_trial_lacks_is_the_default():
    """Of the family, or of the chosen optimizer; an inactive value counts as missing."""
    member = build_member({"optimizer": "sgd", "momentum": None, "units": 8}, frozenset())
    assert (member.depth, member.units, member.batch_size) == (2, (8, 8), 32)
    assert member.arguments == {"momentum": 0.0, "weight_decay": 0.0}


def test_values_per_layer_belong_to_their_layer():
    """A layer without one has the default; a narrower layer does not change the width."""
    values = {"depth": 3, "units_1": 4, "units_3": 16}
    assert build_member(values, frozenset({"units"})).units == (4, 64, 16)
    assert build_member({"depth": 0}, frozenset()).width == 1


def test_what_is_off_does_not_count():
    """Neither the threshold of a clip nor the momentum of an average is there without them."""
    member = build_member({"clip_threshold": 9.0, "ema_momentum": 0.5}, frozenset())
    assert (member.clip, member.clip_threshold, member.ema) == ("none", 1.0, None)
    on = build_member({"clip": "norm", "clip_threshold": 9.0, "use_ema": True, "ema_momentum": 0.5}, frozenset())
    assert (on.clip, on.clip_threshold, on.ema) == ("norm", 9.0, 0.5)


def test_booleans_of_an_optimizer_are_compiled():
    """They are part of its kind, and not among the numbers that differ between trials."""
    assert build_member({"optimizer": "sgd", "nesterov": True}, frozenset()).optimizer.flags == (("nesterov", True),)
    assert list_number_arguments("sgd") == ("momentum", "weight_decay")
