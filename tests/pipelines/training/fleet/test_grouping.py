"""Division of a study's trials into programs, and whether fleets pay."""

from __future__ import annotations

import math

from pipelines.training.fleet.envelope import find_envelope
from pipelines.training.fleet.grouping import (
    Sizes,
    count_fleets_at_once,
    count_trials_within,
    count_weights,
    estimate_alone_s,
    estimate_epoch_s,
    estimate_fleet_s,
    plan_programs,
)
from pipelines.training.fleet.member import build_member


def members(**choices):
    widths, batches = choices.get("units", [16]), choices.get("batch_size", [32])
    return [
        build_member({"units": width, "batch_size": batch, "depth": 2, "epochs": 50}, frozenset())
        for width in widths
        for batch in batches
    ]


def test_every_trial_has_a_program_that_holds_it():
    """Whatever the division, no trial of the space is without a program."""
    some = members(units=[8, 16, 60, 130, 512], batch_size=[16, 64, 256])
    programs = plan_programs(some, Sizes(rows=20_000, inputs=30, outputs=2, trials=500))
    assert 1 < len(programs) <= 4
    assert all(any(program.holds(member) for program in programs) for member in some)


def test_a_wide_convolution_costs_as_much_as_its_pixels():
    """Twice the sides are about four times the arithmetic, and weights of kernels stay as many."""
    wide = build_member({"blocks": 2, "filters": 64, "kernel_size": 3, "global_pooling": "max"}, frozenset(), "cnn")
    small, large = (Sizes(rows=640, inputs=side**2, outputs=2, trials=9, image=(side, side, 1)) for side in (16, 32))
    program = find_envelope([wide])
    assert count_weights(program, small) == count_weights(program, large)
    seconds = [estimate_epoch_s(program, program, 64, sizes) for sizes in (small, large)]
    assert 3.5 < seconds[1] / seconds[0] < 4.5


def test_a_program_without_flat_images_may_pay():
    """One flat image makes the weights behind the blocks many times as many, for each trial of its program."""
    shared = {"blocks": 1, "filters": 32, "kernel_size": 3, "dense_units": 128, "epochs": 30}
    some = [build_member({**shared, "global_pooling": pooling}, frozenset(), "cnn") for pooling in ("max", "flatten")]
    programs = plan_programs(some, Sizes(rows=4000, inputs=32**2, outputs=2, trials=500, image=(32, 32, 1)))
    assert [each.global_poolings for each in programs] == [("max",), ("flatten", "max")]


def test_a_program_more_has_to_pay():
    """A short study shares one program; a long one over wide networks gets several."""
    some = members(units=[16, 256])
    short, long = (Sizes(rows=200, inputs=30, outputs=1, trials=trials) for trials in (4, 2000))
    assert len(plan_programs(some, short)) == 1
    assert len(plan_programs(some, long)) > 1


def test_a_short_time_gets_few_programs():
    """Nothing that is compiled when the time is over has paid; with time enough the division is the usual one."""
    some, sizes = members(units=[16, 64, 256]), Sizes(rows=2000, inputs=30, outputs=1, trials=1000)
    plans = [plan_programs(some, sizes, time_s) for time_s in (1.0, 10.0, 60.0, 1e6, math.inf)]
    counts = [len(plan) for plan in plans]
    assert counts == sorted(counts)
    assert counts[:2] == [1, 1]
    assert plans[3] == plans[4]
    assert counts[4] > 1
    trained = [count_trials_within(plan, some, sizes, 60.0) for plan in plans]
    assert trained[2] == max(trained)


def test_fleets_pay_for_many_small_trials_and_not_for_one():
    """What decides is the time of one core, compiling included."""
    some = members()
    many, one = (Sizes(rows=400, inputs=30, outputs=1, trials=trials) for trials in (64, 1))
    assert estimate_fleet_s(plan_programs(some, many), some, many) < estimate_alone_s(some, many)
    assert estimate_fleet_s(plan_programs(some, one), some, one) > estimate_alone_s(some, one)


def test_a_second_fleet_has_to_train_for_as_long_as_it_takes_to_compile():
    """A short study stays with one fleet, however many workers there are; a long one uses them all."""
    some = members()
    short, long = (Sizes(rows=400, inputs=30, outputs=1, trials=trials) for trials in (8, 5000))
    assert [count_fleets_at_once(plan_programs(some, sizes), some, sizes, 4) for sizes in (short, long)] == [1, 4]
