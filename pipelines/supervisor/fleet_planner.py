"""Plan of a study's fleets: the trials that train together, and those that wait for a slot or a worker.

The space is sampled once. From the sample follow the programs that trials share, the number of slots, and whether
fleets are faster at all.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import optuna

from pipelines.data.prepared import DataSummary
from pipelines.study.study import Study
from pipelines.supervisor.fleet_eligibility import estimate_sizes, find_ineligible_data, find_ineligible_reason
from pipelines.training.fleet.envelope import Envelope, divide_by_kind, find_envelope, is_alike, merge_envelopes
from pipelines.training.fleet.grouping import (
    Sizes,
    count_fleets_at_once,
    count_trials_within,
    count_units,
    count_weights,
    estimate_alone_s,
    estimate_fleet_s,
    estimate_one_alone_s,
    estimate_one_s,
    plan_programs,
)
from pipelines.training.fleet.member import ELEMENTWISE_OPTIMIZERS, Member, build_member
from search_spaces.space import Space
from search_spaces.suggest import ConstraintViolation, find_largest, find_smallest, suggest
from search_spaces.values import Value

# Chosen: enough to meet each choice of an ordinary space.
_SAMPLES = 128
_IN_FLIGHT = 3
_RANDOM_SLOTS = 16
_GPU_SLOTS = 256  # chosen: a GPU trains all members of a step at once
# Chosen, because what a slot needs is only estimated.
_SHARE_OF_MEMORY = 0.5
# Chosen: a pruner leaves out as much as three quarters of the epochs.
_PRUNED = 4

Trial = tuple[int, Mapping[str, Value]]


@dataclass
class _Group:
    """The trials that share a program."""

    envelope: Envelope
    slots: int
    waiting: deque[Trial] = field(default_factory=deque)


class FleetPlanner:
    """The fleets of one study.

    Args:
        trials: how many are still to be trained.
        time_s: seconds in which they have to be; None where there is no such limit.
        workers: how many fleets can be under way at once.
        memory_bytes: what one worker may hold.
        gpu_bytes: what it may hold on its GPU, where fleets then come first; None on the CPU.
        learns: whether the study's sampler learns from trials that have ended.

    Attributes:
        ineligible_reason: why no trial of the study trains in a fleet; empty where they do.
        ends_by_time: whether the time is expected to end the search, and not the number of trials.
    """

    def __init__(
        self,
        study: Study,
        summary: DataSummary,
        *,
        trials: int,
        workers: int,
        memory_bytes: int,
        learns: bool = True,
        gpu_bytes: int | None = None,
        time_s: float | None = None,
    ) -> None:
        self._study = study
        self._groups: list[_Group] = []
        self._singles: deque[tuple[Trial, str]] = deque()
        self._failures: dict[int, int] = {}
        self._parallel = 0
        self._is_auto = study.spec.resources.fleet == "auto"
        self.ends_by_time = False
        self.ineligible_reason = find_ineligible_reason(study) or find_ineligible_data(study, summary)
        if self.ineligible_reason:
            return
        self._sizes = sizes = estimate_sizes(summary, trials)
        members = _sample_members(study)
        if not members:
            self.ineligible_reason = "no optimizer of the space updates each weight by itself"
            return
        programs, in_time = plan_programs(members, sizes), math.inf
        # The estimates are those of a core.
        is_estimated = self._is_auto and gpu_bytes is None
        if is_estimated and (alone := estimate_alone_s(members, sizes)) <= estimate_fleet_s(programs, members, sizes):
            self.ineligible_reason = (
                f"the trials are expected to take no more than {alone:.0f} s of one core one by one"
            )
            return
        if time_s is not None and gpu_bytes is None:
            programs = plan_programs(members, sizes, time_s)
            in_time = workers * count_trials_within(programs, members, sizes, time_s)
        if is_estimated and in_time < 1:
            self.ineligible_reason = "budget.time is expected to end before a fleet is compiled and has trained a trial"
            return
        self.ends_by_time = _PRUNED * in_time < trials
        # Where the time ends the search, each worker adds what it trains.
        is_shared = is_estimated and in_time >= trials
        self._parallel = count_fleets_at_once(programs, members, sizes, workers) if is_shared else workers
        random_slots = _RANDOM_SLOTS if gpu_bytes is None else max(1, min(_GPU_SLOTS, math.ceil(trials / workers)))
        slots = _choose_slots(study, self._parallel, random_slots, learns=learns)
        for envelope in programs:
            room = _compute_room(envelope, sizes, summary, memory_bytes if gpu_bytes is None else gpu_bytes)
            self._groups.append(_Group(envelope, max(1, min(slots, room))))

    def describe(self) -> str:
        """Return in a line how the study's trials train."""
        if self.ineligible_reason:
            return f"each trial by itself: {self.ineligible_reason}"
        programs = ", ".join(
            f"up to {group.envelope.depth} x {group.envelope.width} {_name_units(group.envelope)}, "
            f"{group.slots} {'trial' if group.slots == 1 else 'trials'} at a time"
            for group in self._groups
        )
        return f"in {'1 fleet' if self._parallel == 1 else f'{self._parallel} fleets at once'}: {programs}"

    def has_enough(self, running: int) -> bool:
        """Return whether so many running fleets are enough, so that no further one starts."""
        return not self.ineligible_reason and running >= self._parallel

    def add(self, number: int, values: Mapping[str, Value]) -> None:
        """Add a trial that waits for a slot, or for a worker of its own."""
        reason = self.ineligible_reason
        if not reason:
            member = build_member(values, self._study.per_layer, self._study.spec.model)
            reason = _check_member(member)
            if not reason:
                self._find_or_add_group(member).waiting.append((number, values))
                return
        self._singles.append(((number, values), reason))

    def add_again(self, number: int, values: Mapping[str, Value], reason: str) -> None:
        """Add a trial that lost its own worker and waits for another."""
        self._singles.append(((number, values), reason))

    def pop_single(self) -> tuple[Trial, str] | None:
        """Remove and return a trial that waits for a worker of its own, and the reason; None where none waits."""
        return self._singles.popleft() if self._singles else None

    def choose_fleet(self) -> tuple[Envelope, int] | None:
        """Return the program that most trials wait for and its slots; None where none waits."""
        group = max(self._groups, key=lambda group: len(group.waiting), default=None)
        return (group.envelope, group.slots) if group is not None and group.waiting else None

    def find_program(self, values: Mapping[str, Value]) -> tuple[Envelope, int] | None:
        """Return the program that a trial with these values trains in, and its slots; None where it trains alone."""
        if self.ineligible_reason:
            return None
        member = build_member(values, self._study.per_layer, self._study.spec.model)
        if _check_member(member):
            return None
        group = self._find_or_add_group(member)
        return group.envelope, group.slots

    def estimate_training_s(self, values: Mapping[str, Value]) -> float:
        """Return the seconds of one core that a trial with these values is expected to train to its end.

        By arithmetic alone, so that the same values have the same seconds in each run.
        """
        member = build_member(values, self._study.per_layer, self._study.spec.model)
        if _check_member(member):
            return estimate_one_alone_s(member, self._sizes)
        held = (group.envelope for group in self._groups if group.envelope.holds(member))
        return estimate_one_s(next(held, find_envelope([member])), member, self._sizes)

    def take(self, envelope: Envelope, most: int) -> list[Trial]:
        """Remove and return trials that wait for a program, at most so many."""
        waiting = self._find_group(envelope).waiting
        return [waiting.popleft() for _ in range(min(most, len(waiting)))]

    def should_end(self, envelope: Envelope) -> bool:
        """Return whether a fleet takes no further trials, because enough trials wait for something else."""
        others = sum(len(group.waiting) for group in self._groups if group.envelope != envelope)
        return others + len(self._singles) >= self._find_group(envelope).slots

    def divide(self, envelope: Envelope, trials: Sequence[Trial], reason: str) -> int:
        """Add the trials of a failed fleet again; return how many of them train alone from now on.

        Several train in fleets of half the size. One by itself goes on in another fleet, whose program is compiled; it
        trains alone where that one fails too.
        """
        group = self._find_group(envelope)
        if len(trials) > 1:
            group.slots = math.ceil(min(group.slots, len(trials)) / 2)
        alone = 0
        for number, values in trials:
            self._failures[number] = self._failures.get(number, 0) + 1
            # After three halvings the trial itself may be the cause.
            if self._failures[number] > (1 if len(trials) == 1 else 3):
                self._singles.append(((number, values), f"its fleet failed: {reason}"))
                alone += 1
            else:
                group.waiting.append((number, values))
        return alone

    def _find_or_add_group(self, member: Member) -> _Group:
        for group in self._groups:
            if group.envelope.holds(member):
                return group
        # The sample missed such a trial, or the space has changed: add a program for it and trials like it.
        last, own = self._groups[-1], find_envelope([member])
        # Images of two kinds share no program.
        merged = merge_envelopes(last.envelope, own) if is_alike(last.envelope, own) else own
        group = _Group(merged, last.slots)
        self._groups.append(group)
        return group

    def _find_group(self, envelope: Envelope) -> _Group:
        return next(group for group in self._groups if group.envelope == envelope)


def _name_units(envelope: Envelope) -> str:
    return "filters" if envelope.has_blocks else "units"


def _check_member(member: Member) -> str:
    if member.optimizer.name not in ELEMENTWISE_OPTIMIZERS:
        return f"{member.optimizer.name} does not update each weight by itself"
    return ""


def _choose_slots(study: Study, fleets: int, random_slots: int, *, learns: bool) -> int:
    """Return the slots of one of so many fleets.

    A sampler that learns from trials that have ended has few at once; `benchmarks/ask_in_flight.py` measures how few.
    A random search loses nothing.
    """
    fleet = study.spec.resources.fleet
    if isinstance(fleet, int):
        return fleet
    return max(2, _IN_FLIGHT // fleets) if learns else random_slots


def _compute_room(envelope: Envelope, sizes: Sizes, summary: DataSummary, memory_bytes: int) -> int:
    """Return the number of trials of a program that fit into a worker: weights, slots, and the arrays of a step."""
    layers = count_units(envelope, sizes) + sizes.inputs
    if envelope.has_blocks:
        layers += envelope.count_patch_numbers(sizes.image)
    numbers = 10 * count_weights(envelope, sizes) + 6 * envelope.batch * layers
    numbers += summary.rows["train"] * sizes.outputs + min(4096, summary.rows["validation"]) * 2 * layers
    return int(_SHARE_OF_MEMORY * memory_bytes / (4 * numbers))


def _sample_space(study: Study) -> list[Member]:
    """Return a sample of the space's trials, its two ends first."""
    # A fixed seed, so that a study that continues has the same programs.
    drawer = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points: list[Mapping[str, Value]] = [find_smallest(study.space), find_largest(study.space)]
    for _ in range(_SAMPLES):
        drawn = _draw_point(study.space, drawer.ask())
        points += [drawn] if drawn is not None else []
    return [build_member(point, study.per_layer, study.spec.model) for point in points]


def _sample_members(study: Study) -> list[Member]:
    """Return a sample of the trials that can train in fleets; it has the space's ends of each kind of programs.

    A sample has few trials of some kinds, and one of a size that it missed would need a program more.
    """
    sample = _sample_space(study)
    members = [member for member in sample if not _check_member(member)]
    for some, *_ in divide_by_kind(members):
        members += [
            replace(
                end,
                pooling=some.pooling,
                convolutions=some.strided or end.convolutions,
                optimizer=some.optimizer,
                arguments=some.arguments,
            )
            for end in sample[:2]
        ]
    return members


def _draw_point(space: Space, trial: optuna.Trial) -> Mapping[str, Value] | None:
    try:
        return suggest(space, trial)
    except ConstraintViolation:
        return None
