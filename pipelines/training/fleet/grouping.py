"""Division of a study's trials into programs: a few large ones waste arithmetic, many small ones cost compiling.

Any program that holds a trial can train it, at the cost of the program: a network of 16 units in a program of 256
costs as much as 256 units. Each program costs seconds to compile, once. So the space's trials are divided, by width, by
depth, by batch size or by the way to a vector, as long as a division saves more than a program costs, and as more
trials train by it within the time that there is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipelines.training.fleet.envelope import Envelope, divide_by_kind, find_envelope
from pipelines.training.fleet.member import Member
from pipelines.training.fleet.steps import count_step_rows, count_steps

START_S = 3.0
COMPILE_S = 4.0
"""Seconds of a fleet's worker to start and to compile a program; measured in `benchmarks/README.md`."""

_CONVOLUTION_S = 0.9
"""Further seconds of compiling for each convolution of each size of kernels; measured in `docs/fleets.md`."""

ALONE_S = 1.0
"""Seconds of the graph trainer to build and trace one trial's graph."""

# Rough costs on one core, good enough to compare divisions: seconds of a step in a fleet and of one in the graph
# trainer; of a unit and row, and of a weight and step.
_STEP_S, _ALONE_STEP_S = 12e-6, 350e-6
_UNIT_S, _WEIGHT_S, _FLOPS_PER_S = 4e-9, 2.5e-9, 6.6e10
_MOST_PROGRAMS = 4  # a worker holds as many; see `job`


@dataclass(frozen=True)
class Sizes:
    """Sizes that a study's trials have in common.

    Attributes:
        rows: training rows; inputs: columns of the first layer; outputs: of the prediction.
        trials: number of trials to train.
        image: height, width and channels of a row where there are any.
    """

    rows: int
    inputs: int
    outputs: int
    trials: int
    image: tuple[int, ...] = ()


def plan_programs(members: Sequence[Member], sizes: Sizes, time_s: float = math.inf) -> tuple[Envelope, ...]:
    """Return the programs for trials like these, cheapest first; each trial goes to the first that holds it.

    Args:
        members: trials like those to come.
        sizes: what they have in common.
        time_s: seconds that a worker has for them, compiling included.
    """
    plans = [_order_programs(members, parts, sizes) for parts in _divide_further(members, sizes)]
    # Of equally many trials, the last: it has saved the most.
    return max(reversed(plans), key=lambda plan: min(sizes.trials, count_trials_within(plan, members, sizes, time_s)))


def count_trials_within(programs: Sequence[Envelope], members: Sequence[Member], sizes: Sizes, time_s: float) -> float:
    """Return how many trials a worker trains in a time; below zero where its programs are not even compiled."""
    trial_s = _estimate_training_s(programs, members, sizes) / sizes.trials
    return (time_s - START_S - sum(map(_estimate_compile_s, programs))) / trial_s


def _divide_further(members: Sequence[Member], sizes: Sizes) -> Iterator[list[tuple[Member, ...]]]:
    """Yield divisions of the trials, each with one part more than the one before, as long as the last one saves."""
    parts = divide_by_kind(members)
    yield [*parts]
    while len(parts) < _MOST_PROGRAMS:
        best = min(
            (
                (saved, at, pair)
                for at, part in enumerate(parts)
                for saved, pair in _list_divisions(part, members, sizes)
            ),
            key=lambda found: found[0],
            default=None,
        )
        if best is None or best[0] >= 0.0:
            break
        _, at, pair = best
        parts[at : at + 1] = pair
        yield [*parts]


def _order_programs(
    members: Sequence[Member], parts: Sequence[tuple[Member, ...]], sizes: Sizes
) -> tuple[Envelope, ...]:
    found = [_find_part_envelope(members, part) for part in parts]
    return tuple(sorted(found, key=lambda envelope: estimate_epoch_s(envelope, envelope, envelope.batch, sizes)))


def estimate_fleet_s(programs: Sequence[Envelope], members: Sequence[Member], sizes: Sizes) -> float:
    """Return the seconds of one core that a study's trials would take in fleets of these programs."""
    return START_S + sum(map(_estimate_compile_s, programs)) + _estimate_training_s(programs, members, sizes)


def count_fleets_at_once(programs: Sequence[Envelope], members: Sequence[Member], sizes: Sizes, workers: int) -> int:
    """Return the number of fleets that pay: each compiles for itself, and must train at least as long."""
    start_s = START_S + sum(map(_estimate_compile_s, programs)) / len(programs)
    return max(1, min(workers, int(_estimate_training_s(programs, members, sizes) / start_s)))


def estimate_alone_s(members: Sequence[Member], sizes: Sizes) -> float:
    """Return the seconds of one core that a study's trials would take one by one in the graph trainer."""
    return sizes.trials * sum(estimate_one_alone_s(member, sizes) for member in members) / len(members)


def estimate_one_alone_s(member: Member, sizes: Sizes) -> float:
    """Return the seconds of one core that a trial takes in the graph trainer."""
    return ALONE_S + member.epochs * _estimate_alone_epoch_s(member, sizes)


def _estimate_compile_s(envelope: Envelope) -> float:
    """Return the seconds to compile a program."""
    return COMPILE_S + _CONVOLUTION_S * len(envelope.kernel_sizes) * envelope.depth * envelope.convolutions


def _estimate_training_s(envelopes: Sequence[Envelope], members: Sequence[Member], sizes: Sizes) -> float:
    share = sizes.trials / len(members)
    trained = 0.0
    for member in members:
        envelope = next(each for each in envelopes if each.holds(member))
        trained += share * estimate_one_s(envelope, member, sizes)
    return trained


def estimate_one_s(envelope: Envelope, member: Member, sizes: Sizes) -> float:
    """Return the seconds of one core that a trial trains in a program, compiling left out."""
    return member.epochs * estimate_epoch_s(envelope, envelope.narrow(member), member.batch_size, sizes)


def estimate_epoch_s(envelope: Envelope, own: Envelope, batch_size: int, sizes: Sizes) -> float:
    """Return the seconds of one core of an epoch of a trial in a program.

    Its cost is `own`, its own layers at the program's width, and the optimizer's step over all the program's weights.
    """
    rows = count_step_rows(envelope)
    step_s = _STEP_S + count_weights(envelope, sizes) * _WEIGHT_S + _estimate_products_s(own, rows, sizes)
    return count_steps(batch_size, sizes.rows, rows) * step_s


def _estimate_alone_epoch_s(member: Member, sizes: Sizes) -> float:
    own = find_envelope([member])
    step_s = _ALONE_STEP_S + count_weights(own, sizes) * _WEIGHT_S + _estimate_products_s(own, member.batch_size, sizes)
    return math.ceil(sizes.rows / member.batch_size) * step_s


def _estimate_products_s(envelope: Envelope, rows: int, sizes: Sizes) -> float:
    """Return the seconds of one core of a step's units, and of its products of rows and weights."""
    units, products = count_units(envelope, sizes), count_weights(envelope, sizes)
    if envelope.has_blocks:
        # A convolution's kernel meets each of its pixels.
        pixels = _list_pixels(envelope, sizes)
        products += sum(
            (many - 1) * kernel for many, kernel in zip(pixels, _list_kernels(envelope, sizes), strict=True)
        )
    # 6: a multiplication and an addition in each of three products, for the output and for the gradients of weights and
    # rows.
    return rows * (units * _UNIT_S + 6 * products / _FLOPS_PER_S)


def count_units(envelope: Envelope, sizes: Sizes) -> int:
    """Return the numbers that the hidden layers of a trial in a program put out for a row."""
    if not envelope.has_blocks:
        return envelope.depth * envelope.width
    return envelope.width * sum(_list_pixels(envelope, sizes)) + envelope.dense


def count_weights(envelope: Envelope, sizes: Sizes) -> int:
    """Return the approximate number of weights of a trial in a program."""
    if envelope.has_blocks:
        vector = envelope.count_vector(sizes.image)
        direct = 0 if envelope.least_dense else vector * sizes.outputs
        return sum(_list_kernels(envelope, sizes)) + direct + envelope.dense * (vector + sizes.outputs)
    hidden = (sizes.inputs + max(0, envelope.depth - 1) * envelope.width) * envelope.width if envelope.depth else 0
    return hidden + (envelope.width if envelope.depth else sizes.inputs) * sizes.outputs


def _list_kernels(envelope: Envelope, sizes: Sizes) -> list[int]:
    """Return the weights of each convolution's kernel."""
    channels = [sizes.image[-1], *[envelope.width] * (envelope.depth * envelope.convolutions - 1)]
    return [max(envelope.kernel_sizes) ** 2 * channel * envelope.width for channel in channels]


def _list_pixels(envelope: Envelope, sizes: Sizes) -> list[int]:
    """Return the pixels of each convolution's output."""
    pixels = [math.prod(size) for size in envelope.list_image_sizes(sizes.image)]
    strided = range(1, envelope.convolutions + 1)
    return [pixels[block + (envelope.strided == position)] for block in range(envelope.depth) for position in strided]


def _list_divisions(
    part: tuple[Member, ...], members: Sequence[Member], sizes: Sizes
) -> list[tuple[float, tuple[tuple[Member, ...], tuple[Member, ...]]]]:
    """Return each way to divide a part in two, with its additional cost; negative where it saves."""
    share = sizes.trials / len(members)

    def cost(some: Sequence[Member]) -> float:
        envelope = _find_part_envelope(members, some)
        epochs = Counter[tuple[Envelope, int]]()
        for member in some:
            # All members of one depth and batch size cost the same.
            epochs[envelope.narrow(member), member.batch_size] += member.epochs
        return _estimate_compile_s(envelope) + share * sum(
            count * estimate_epoch_s(envelope, *kind, sizes) for kind, count in epochs.items()
        )

    found = []
    ways: tuple[Callable[[Member], int], ...] = (
        lambda m: m.width,
        lambda m: m.depth,
        lambda m: m.batch_size,
        lambda m: 1 + (m.global_pooling == "flatten"),
    )
    for size in ways:
        # The largest limit would leave nothing for the second part.
        for limit in sorted({_round_up(size(member)) for member in part})[:-1]:
            small = tuple(member for member in part if size(member) <= limit)
            large = tuple(member for member in part if size(member) > limit)
            if small and large:
                found.append((cost(small) + cost(large) - cost(part), (small, large)))
    return found


def _find_part_envelope(members: Sequence[Member], part: Sequence[Member]) -> Envelope:
    """Return the envelope with the sizes of a part, and with every other choice of the members of its kind."""
    # Every other choice: the members are a sample, and later trials of these sizes have other choices.
    own = find_envelope(part)
    whole = find_envelope(next(kind for kind in divide_by_kind(members) if part[0] in kind))
    flattens = "flatten" in own.global_poolings
    return replace(
        whole,
        depth=own.depth,
        least_depth=own.least_depth,
        width=min(whole.width, _round_up(own.width)),
        batch=own.batch,
        least_batch=own.least_batch,
        global_poolings=tuple(name for name in whole.global_poolings if flattens or name != "flatten"),
    )


def _round_up(size: int) -> int:
    """Return the next power of two, so that several studies share programs."""
    return 1 << max(0, size - 1).bit_length()
