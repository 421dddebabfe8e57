"""Fleet of trials: slots of one program that train together, epoch by epoch, each trial at its own epoch.

The next trial takes the slot of one that ends, so the program stays the same size and stays full. The result of a
trial depends on the trial alone, never on the trials in the other slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from pipelines.data.array_types import FloatArray
from pipelines.training.checkpoint import Checkpoint
from pipelines.training.epoch_monitor import EpochMonitor, FitResult
from pipelines.training.errors import TrialError
from pipelines.training.fleet.hyperparameter_arrays import Plan, compute_learning_rates, make_numbers, plan_epoch
from pipelines.training.fleet.member import Member
from pipelines.training.fleet.program import Program, State
from pipelines.training.messages import RungDecision
from pipelines.training.schedule import Schedule
from search_spaces.values import Direction

Key = TypeVar("Key")


@dataclass(frozen=True)
class EndedMember:
    """End of a trial in a fleet: its result and the weights of its best epoch, or the reason why it has no score.

    Attributes:
        checkpoint: its state, where it is paused.
    """

    fitted: FitResult | None
    weights: list[FloatArray]
    failure: TrialError | None = None
    checkpoint: Checkpoint | None = None


@dataclass
class _Slot:
    """A taken slot; `epoch` counts the finished epochs."""

    member: Member
    schedule: Schedule
    rates: npt.NDArray[np.float32]
    monitor: EpochMonitor
    epoch: int = 0


class Fleet(Generic[Key]):
    """Trains trials together.

    Args:
        size: number of slots.
        metric, direction: the objective.
        per_layer: see `TrialJob`.
    """

    def __init__(
        self,
        program: Program,
        size: int,
        *,
        metric: str,
        direction: Direction,
        per_layer: frozenset[str] = frozenset(),
    ) -> None:
        self._program = program
        self._metric = metric
        self._direction = direction
        self._per_layer = per_layer
        self._keys: list[Key | None] = [None] * size
        self._slots: dict[Key, _Slot] = {}
        self._failed: dict[Key, TrialError] = {}
        self._numbers: Any = None
        self._random_keys = np.zeros((size, 2), np.uint32)
        self._state: State | None = None

    @property
    def free(self) -> int:
        """Number of free slots."""
        return self._keys.count(None)

    def admit(
        self, members: Mapping[Key, tuple[Member, Schedule]], checkpoints: Mapping[Key, Checkpoint] | None = None
    ) -> None:
        """Put trials into free slots; there must be enough of them.

        Each starts with its first epoch, or after the last one of its checkpoint from a fleet of this program.
        """
        if not members:
            return
        free = [at for at, key in enumerate(self._keys) if key is None][: len(members)]
        begun = []
        for at, (key, (member, schedule)) in zip(free, members.items(), strict=True):
            rates = compute_learning_rates(member, self._per_layer, self._program.rows)
            monitor = EpochMonitor(schedule, self._metric, self._direction)
            state = self._initialize(member, schedule.seed)
            if checkpoints and key in checkpoints:
                checkpoint = checkpoints[key]
                monitor.restore(checkpoint.monitor, checkpoint.best_weights)
                state = jax.tree.unflatten(jax.tree.structure(state), checkpoint.state)
            self._keys[at], self._slots[key] = key, _Slot(member, schedule, rates, monitor, monitor.epochs)
            # A SeedSequence mixes the bits: neighbouring seeds give unrelated keys.
            self._random_keys[at] = np.random.SeedSequence(schedule.seed).generate_state(2)
            begun.append((state, make_numbers(self._program, member)))
        self._write(free, begun)

    def train_epoch(self) -> dict[Key, tuple[int, Mapping[str, float]]]:
        """Train the trial of every slot for one epoch.

        Returns the epoch just done, counted from 0, and its finite metrics; trials that failed are left out.
        """
        self._train()
        metrics = self._score()
        scores = {}
        for at, key in self._iterate_taken():
            slot = self._slots[key]
            of_trial = {name: float(values[at]) for name, values in metrics.items()}
            try:
                scores[key] = slot.epoch, slot.monitor.update(slot.epoch, of_trial, partial(self._weights_at, at))
            except TrialError as error:
                self._failed[key] = error
            slot.epoch += 1
        return scores

    def take_ended(self, decisions: Mapping[Key, RungDecision]) -> dict[Key, EndedMember]:
        """Return the trials that end or pause with the epoch just trained, and free their slots.

        Args:
            decisions: at the rungs that were reached; all others go on.
        """
        ended = {}
        for _, key in list(self._iterate_taken()):
            if (end := self._end(key, decisions.get(key, "go_on"))) is not None:
                ended[key] = end
                self.release(key)
        return ended

    def end_restored(self, decisions: Mapping[Key, RungDecision]) -> dict[Key, EndedMember]:
        """Return those of the trials just admitted that end or pause at the rung that their checkpoints stand at."""
        found = {key: self._end(key, decision) for key, decision in decisions.items() if decision != "go_on"}
        ended = {key: end for key, end in found.items() if end is not None}
        for key in ended:
            self.release(key)
        return ended

    def capture(self, key: Key) -> Checkpoint:
        """Return the state of a trial in a slot, for `admit`."""
        plain, best = self._slots[key].monitor.capture()
        at = self._keys.index(key)
        # Copies: `np.asarray` may be a view of a buffer that the next step overwrites.
        return Checkpoint(plain, best, [np.array(np.asarray(leaf)[at]) for leaf in jax.tree.leaves(self._state)])

    def release(self, key: Key) -> None:
        """Free a trial's slot, whatever its state."""
        self._keys[self._keys.index(key)] = None
        del self._slots[key]

    def _end(self, key: Key, decision: RungDecision) -> EndedMember | None:
        if key in self._failed:
            return EndedMember(None, [], self._failed.pop(key))
        slot = self._slots[key]
        if not (slot.monitor.should_stop(decision) or slot.epoch >= slot.schedule.epochs):
            return None
        fitted, (weights, moving) = slot.monitor.result()
        extracted = self._program.layout.extract(slot.member, weights, moving)
        return EndedMember(fitted, extracted, checkpoint=self.capture(key) if fitted.paused else None)

    def _iterate_taken(self) -> Iterator[tuple[int, Key]]:
        return ((at, key) for at, key in enumerate(self._keys) if key is not None)

    def _initialize(self, member: Member, seed: int) -> State:
        """Return the state of a member before its first step, without the members' axis."""
        layout, envelope = self._program.layout, self._program.envelope
        weights = layout.initialize(member, seed)
        fills, scalars = self._program.optimizers.initialize(member)
        mean = np.zeros((max(1, len(envelope.layers)), max(envelope.width, envelope.dense)), np.float32)
        return State(
            weights=weights,
            slots=tuple(np.full(layout.size, fill, np.float32) for fill in fills),
            scalars=np.asarray(scalars, np.float32),
            moving=np.stack([mean, mean + 1]),
            average=weights if envelope.averaged else np.zeros(1, np.float32),
            gradient=np.zeros(layout.size if self._program.adds_up else 1, np.float32),
            steps=np.int32(0),
        )

    def _write(self, slots: list[int], begun: list[tuple[State, dict[str, Any]]]) -> None:
        """Write the initial states of members into their slots; the first one fills the others too."""
        # Any valid state will do for the others: free slots do no steps, and taken ones are left out below.
        fill = [begun[slots.index(at)] if at in slots else begun[0] for at in range(len(self._keys))]
        states = jax.tree.map(lambda *each: np.stack(each), *[state for state, _ in fill])
        numbers = jax.tree.map(lambda *each: np.stack(each), *[given for _, given in fill])
        if self._state is None:
            self._state = jax.device_put(states)
            self._numbers = numbers
            return
        # A choice over all slots, since writing to some would compile a program for each number of them.
        new = np.isin(np.arange(len(self._keys)), slots)
        if self._program.trains_at_once:
            self._state = _replace_on_device(new, states, self._state)
        else:
            # NumPy reads a CPU's arrays where they are, and compiles nothing: a tenth of a second of a first trial.
            self._state = jax.device_put(_replace(new, states, self._state))
        self._numbers = _replace(new, numbers, self._numbers)

    def _weights_at(self, at: int) -> tuple[FloatArray, FloatArray]:
        assert self._state is not None
        # Copies, as in `capture`.
        return np.array(np.asarray(self._state.weights)[at]), np.array(np.asarray(self._state.moving)[at])

    def _train(self) -> None:
        assert self._state is not None
        program, size = self._program, len(self._keys)
        plans = {at: self._plan(self._slots[key]) for at, key in self._iterate_taken()}
        longest = max(len(plan["last"]) for plan in plans.values())
        # All slots run as many calls as the longest epoch needs; the others have no steps in the last ones.
        self._sums = program.start_epoch(size)
        for start in range(0, longest, program.steps_at_once):
            parts = {
                at: {name: values[start : start + program.steps_at_once] for name, values in plan.items()}
                for at, plan in plans.items()
            }
            self._state, self._sums = program.run(self._state, self._sums, self._numbers, self._join(parts))

    def _plan(self, slot: _Slot) -> Plan:
        """Return the steps of a slot's epoch."""
        rows, batch_size = self._program.rows, slot.member.batch_size
        batches = -(-rows // batch_size)
        # The schedule counts optimizer steps, so each epoch continues where the one before it ended.
        rates = slot.rates[slot.epoch * batches : (slot.epoch + 1) * batches]
        return plan_epoch(batch_size, self._program.step_rows, slot.schedule.seed, slot.epoch, rates, rows)

    def _join(self, plans: Mapping[int, Plan]) -> Plan:
        """Join the steps of slots into the arrays of one call of the program; the other slots get none."""
        size, at_once = len(self._keys), self._program.steps_at_once
        joined: Plan = {"steps": np.zeros(size, np.int32), "key": self._random_keys}
        for name, values in next(iter(plans.values())).items():
            fill = self._program.rows if name == "rows" else 0
            joined[name] = np.full((size, at_once, *values.shape[1:]), fill, values.dtype)
        for at, plan in plans.items():
            joined["steps"][at] = len(plan["last"])
            for name, values in plan.items():
                joined[name][at, : len(values)] = values
        return joined

    def _score(self) -> dict[str, Any]:
        assert self._state is not None
        self._state, metrics = self._program.score(self._state, self._sums, self._numbers)
        return {name: np.asarray(values) for name, values in metrics.items()}


@jax.jit
def _replace_on_device(new: Any, theirs: Any, ours: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(new.reshape(-1, *[1] * (b.ndim - 1)), a, b), theirs, ours)


def _replace(new: npt.NDArray[np.bool_], theirs: Any, ours: Any) -> Any:
    """Return arrays [slot, ...] with those of the new slots from `theirs` and the others from `ours`."""
    return jax.tree.map(lambda a, b: np.where(new.reshape(-1, *[1] * (a.ndim - 1)), a, b), theirs, ours)
