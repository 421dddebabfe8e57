"""A fleet: seats for trials that train together, epoch by epoch, each at its own epoch.

A trial that ends gives its seat to the next one, so the program stays the same size and stays full. What a trial's
training comes to depends on the trial alone, never on who sits beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from pipelines.training.checkpoint import Checkpoint
from pipelines.training.epoch_monitor import EpochMonitor, FitResult
from pipelines.training.errors import TrialError
from pipelines.training.fleet.hyperparameter_arrays import Plan, compute_learning_rates, make_numbers, plan_epoch
from pipelines.training.fleet.member import Member
from pipelines.training.fleet.program import Program, State
from pipelines.training.schedule import Schedule

Key = TypeVar("Key")
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ended:
    """A trial's end: how its training went with the weights of its best epoch, or why it cannot be scored."""

    fitted: FitResult | None
    weights: list[FloatArray]
    failure: TrialError | None = None


@dataclass
class _Seat:
    """A seat that is taken; `epoch` counts the epochs that are done."""

    member: Member
    schedule: Schedule
    rates: npt.NDArray[np.float32]
    judge: EpochMonitor
    epoch: int = 0


class Fleet(Generic[Key]):
    """Trains trials together.

    Args:
        size: number of seats.
        metric, direction: the objective.
        per_layer: see `TrialJob`.
    """

    def __init__(
        self,
        program: Program,
        size: int,
        *,
        metric: str,
        direction: Literal["minimize", "maximize"],
        per_layer: frozenset[str] = frozenset(),
    ) -> None:
        self._program = program
        self._metric = metric
        self._direction = direction
        self._per_layer = per_layer
        self._keys: list[Key | None] = [None] * size
        self._seats: dict[Key, _Seat] = {}
        self._failed: dict[Key, TrialError] = {}
        self._numbers: Any = None
        self._random_keys = np.zeros((size, 2), np.uint32)
        self._state: State | None = None

    @property
    def free(self) -> int:
        """Number of free seats."""
        return self._keys.count(None)

    def admit(self, members: Mapping[Key, tuple[Member, Schedule]], kept: Mapping[Key, Checkpoint] | None = None) -> None:
        """Seat trials, at most as many as there are free seats.

        Each begins with its first epoch, or after the last one that was `kept` of it in a fleet of this program.
        """
        if not members:
            return
        free = [at for at, key in enumerate(self._keys) if key is None][: len(members)]
        begun = []
        for at, (key, (member, schedule)) in zip(free, members.items(), strict=True):
            rates = compute_learning_rates(member, self._per_layer, self._program.rows)
            judge = EpochMonitor(schedule, self._metric, self._direction, _Silent())
            state = self._begin(member, schedule.seed)
            if kept and key in kept:
                judge.go_on(kept[key].judge, kept[key].best)
                state = jax.tree.unflatten(jax.tree.structure(state), kept[key].state)
            self._keys[at], self._seats[key] = key, _Seat(member, schedule, rates, judge, judge.epochs)
            self._random_keys[at] = np.random.SeedSequence(schedule.seed).generate_state(2)
            begun.append((state, make_numbers(self._program, member)))
        self._write(free, begun)

    def train_epoch(self) -> dict[Key, tuple[int, Mapping[str, float]]]:
        """Train every seated trial for one epoch.

        Returns the epoch just done, counted from 0, and its finite metrics; trials that failed are left out.
        """
        self._train()
        metrics = self._score()
        scores = {}
        for at, key in self._taken():
            seat = self._seats[key]
            own = {name: float(values[at]) for name, values in metrics.items()}
            try:
                scores[key] = seat.epoch, seat.judge.score(seat.epoch, own, partial(self._weights_at, at))
            except TrialError as error:
                self._failed[key] = error
            seat.epoch += 1
        return scores

    def settle(self, pruned: Collection[Key]) -> dict[Key, Ended]:
        """Return the trials that end with the epoch just trained, those to prune among them; their seats are free."""
        ended = {}
        for _, key in list(self._taken()):
            if (end := self._end(key, pruned=key in pruned)) is not None:
                ended[key] = end
                self.leave(key)
        return ended

    def kept(self, key: Key) -> Checkpoint:
        """Return how far a seated trial has come, for `admit`."""
        plain, best = self._seats[key].judge.past()
        at = self._keys.index(key)
        return Checkpoint(plain, best, [np.array(np.asarray(leaf)[at]) for leaf in jax.tree.leaves(self._state)])

    def leave(self, key: Key) -> None:
        """Free a trial's seat, whatever it has come to."""
        self._keys[self._keys.index(key)] = None
        del self._seats[key]

    def _end(self, key: Key, *, pruned: bool) -> Ended | None:
        if key in self._failed:
            return Ended(None, [], self._failed.pop(key))
        seat = self._seats[key]
        if not (seat.judge.ends(pruned=pruned) or seat.epoch >= seat.schedule.epochs):
            return None
        fitted, (weights, moving) = seat.judge.verdict()
        return Ended(fitted, self._program.layout.cut(seat.member, weights, moving))

    def _taken(self) -> Iterator[tuple[int, Key]]:
        return ((at, key) for at, key in enumerate(self._keys) if key is not None)

    # State ----------------------------------------------------------------------------------------------------

    def _begin(self, member: Member, seed: int) -> State:
        """Return the state of a member before its first step, without the members' axis."""
        layout, envelope = self._program.layout, self._program.envelope
        weights = layout.initial(member, seed)
        fills, scalars = self._program.optimizers.initial(member)
        mean = np.zeros((max(1, envelope.depth), envelope.width), np.float32)
        return State(
            weights=weights,
            slots=tuple(np.full(layout.size, fill, np.float32) for fill in fills),
            scalars=np.asarray(scalars, np.float32),
            moving=np.stack([mean, mean + 1]),
            average=weights if envelope.averaged else np.zeros(1, np.float32),
            gradient=np.zeros(layout.size if self._program.adds_up else 1, np.float32),
            steps=np.int32(0),
        )

    def _write(self, seats: list[int], begun: list[tuple[State, dict[str, Any]]]) -> None:
        """Write the beginnings of members into their seats; the first ones fill the others' too."""
        fill = [begun[seats.index(at)] if at in seats else begun[0] for at in range(len(self._keys))]
        states = jax.tree.map(lambda *each: np.stack(each), *[state for state, _ in fill])
        numbers = jax.tree.map(lambda *each: np.stack(each), *[given for _, given in fill])
        if self._state is None:
            self._state = jax.tree.map(jnp.asarray, states)
            self._numbers = numbers
            return
        new = np.isin(np.arange(len(self._keys)), seats)
        self._state = _replaced(new, states, self._state)
        self._numbers = jax.tree.map(
            lambda theirs, ours: np.where(new.reshape(-1, *[1] * (ours.ndim - 1)), theirs, ours), numbers, self._numbers
        )

    def _weights_at(self, at: int) -> tuple[FloatArray, FloatArray]:
        assert self._state is not None
        return np.array(np.asarray(self._state.weights)[at]), np.array(np.asarray(self._state.moving)[at])

    # One epoch ------------------------------------------------------------------------------------------------

    def _train(self) -> None:
        assert self._state is not None
        program, size = self._program, len(self._keys)
        plans = {at: self._plan(self._seats[key]) for at, key in self._taken()}
        longest = max(len(plan["last"]) for plan in plans.values())
        self._seen = program.nothing_seen(size)
        for start in range(0, longest, program.steps_at_once):
            parts = {
                at: {name: values[start : start + program.steps_at_once] for name, values in plan.items()}
                for at, plan in plans.items()
            }
            self._state, self._seen = program.run(self._state, self._seen, self._numbers, self._joined(parts))

    def _plan(self, seat: _Seat) -> Plan:
        """Return the steps of a seat's epoch."""
        rows, batch_size = self._program.rows, seat.member.batch_size
        batches = -(-rows // batch_size)
        rates = seat.rates[seat.epoch * batches : (seat.epoch + 1) * batches]
        return plan_epoch(batch_size, self._program.step_rows, seat.schedule.seed, seat.epoch, rates, rows)

    def _joined(self, plans: Mapping[int, Plan]) -> Plan:
        """Return seats' steps as one call of the program takes them; the others do none."""
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
        self._state, metrics = self._program.score(self._state, self._seen, self._numbers)
        return {name: np.asarray(values) for name, values in metrics.items()}


class _Silent:
    """Stands where a judge's listener would: a fleet's epochs are told of all at once."""

    def batch(self) -> None:
        """A batch is done."""

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """An epoch is done."""
        return False


@jax.jit
def _replaced(new: Any, states: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(new.reshape(-1, *[1] * (b.ndim - 1)), a, b), states, old)
