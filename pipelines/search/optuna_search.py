"""The Optuna side of a study: asking for trials, telling their results, and taking up what a crash left.

A trial's number is its slot in the budget. The supervisor is the only writer, so a trial found RUNNING at the start
is one that a crash or a pause cut off: it is run again under its own number, with the values it was asked with. So
no crash can lose a trial or add one.

Optuna itself works in memory, on a study that is filled from the database when it opens. The database is written to in
one transaction when a trial is asked for and one when it ends: its rungs are in memory while it runs, since a trial
that is cut off reaches them again. What its model's own code asks for is written at once.
"""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import optuna
from optuna.distributions import FloatDistribution, check_distribution_compatibility
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection

from pipelines.spec.schema import SearchSpec
from pipelines.study.objective import Objective
from search_spaces.hypermodel_request import HyperparameterRequest, make_optuna_defaults, suggest_value
from search_spaces.space import Space
from search_spaces.suggest import ConstraintViolation, generate_grid, make_optuna_point, suggest
from search_spaces.values import Value
from tracking.outbox.records import TrialState
from tracking.store.optuna_tables import TrialRows
from tracking.testing.failpoints import hit

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

VALUES = "kerastudy:values"
RESULT = "kerastudy:result"
FAILED_ATTEMPTS = "kerastudy:failed_attempts"
REJECTED = "kerastudy:rejected"
_REDRAWS = 200
_RUNGS_PER_TRIAL = 10
_REDUCTION = 3


@dataclass(frozen=True)
class Attempt:
    """A try at a trial that ended with its worker, after so many seconds."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class TrialSummary:
    """A trial as `show`, `trials` and the reports list it.

    Attributes:
        params: active hyperparameters, fixed ones included.
        best_epoch: counted from 1.
        reason: why it was pruned, failed or cancelled.
        failed_attempts: tries that cost it a worker each; after them it went on from its last checkpoint.
        metrics: every metric at the best epoch.
        parameters: trainable weights of the model.
        trainer: see `TrialResult`.
        goals: of several objectives those after the first, whose value is `value`.
        fits: False for a trial that the space could no longer have drawn since it was changed.
    """

    number: int
    state: TrialState | Literal["running"]
    value: float | None
    params: Mapping[str, Value]
    best_epoch: int | None = None
    seconds: float | None = None
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: int | None = None
    fits: bool = True
    trainer: str = ""
    goals: tuple[float, ...] = ()
    failed_attempts: tuple[Attempt, ...] = ()

    @property
    def values(self) -> tuple[float, ...]:
        """Return the value of each objective; empty where the trial has none."""
        return () if self.value is None else (self.value, *self.goals)


class OptunaSearch:
    """One study in Optuna, resumed where it exists.

    Args:
        epochs: the most that a trial can train.
        check: raises, within a transaction, if the study is no longer this process's.
        up_front: the part of the space that a trial is started with; all of it where None.
        undeclared: what the model's own code is known to ask for besides the space; its defaults are tried first.
    """

    def __init__(
        self,
        storage: optuna.storages.RDBStorage,
        name: str,
        space: Space,
        objective: Objective,
        spec: SearchSpec,
        *,
        epochs: int,
        check: Callable[[Connection], None] = lambda connection: None,
        initial_space: Space | None = None,
        undeclared: Sequence[HyperparameterRequest] = (),
    ) -> None:
        self._space = space
        self.objective = objective
        stored = optuna.create_study(
            storage=storage, study_name=name, directions=objective.directions, load_if_exists=True
        )
        known = stored.get_trials(deepcopy=False)
        self._rows = TrialRows(storage, stored._study_id, known, check)
        self._memory = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._memory,
            study_name=name,
            directions=objective.directions,
            sampler=make_sampler(spec, len(known)),
            pruner=make_pruner(spec, epochs),
        )
        self._study.add_trials(known)
        # In order of number: points that wait are asked for before any new one is drawn.
        self._summaries = {trial.number: summarize_trial(trial) for trial in known if takes_up_budget(trial)}
        self._running: dict[int, optuna.Trial] = {}
        self._initial_space = space if initial_space is None else initial_space
        self._undeclared = undeclared
        self._distributions = {name: each for trial in known for name, each in trial.distributions.items()}
        # Optuna's pruners compare one score.
        self.rungs = frozenset() if objective.goals else compute_rungs(spec.pruner, epochs)
        self._sampler = self._study.sampler
        self._share = 1 if spec.sampler == "grid" else spec.share_structure
        self._grid = generate_grid(space) if spec.sampler == "grid" else None
        self._given = Counter(_make_text(trial.system_attrs.get("fixed_params", trial.params)) for trial in known)
        if self._grid is None:
            self._enqueue_known_points()

    @property
    def trials(self) -> tuple[TrialSummary, ...]:
        """Every trial but the rejected ones, in order of number; each takes up the budget."""
        return tuple(self._summaries.values())

    def resume_interrupted(self) -> Iterator[tuple[int, Mapping[str, Value]]]:
        """Yield number and values of each trial that was cut off; each is under way again."""
        for frozen in self._study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,)):
            trial = optuna.Trial(self._study, frozen._trial_id)
            try:
                asked = self._start_trial(trial)
            except ConstraintViolation as violation:
                self._reject(trial, violation)
                self._write(trial)
                continue
            if self._get_frozen(trial) != frozen:
                self._write(trial)
            yield asked

    def ask(self) -> tuple[int, Mapping[str, Value]] | None:
        """Return number and values of the next trial; None where a grid is done.

        Points that break a constraint of the space are rejected before any training, and drawn again.

        Raises:
            ConstraintViolation: if no point that keeps the constraints was found.
            KerastudyError: if another process has written trials of the study.
        """
        if self._grid is not None and not self._enqueue_next_of_grid(self._grid):
            return None
        drawn: list[optuna.Trial] = []
        while True:
            self._share_structure()
            drawn.append(self._study.ask())
            hit("trial-drawn")
            try:
                asked = self._start_trial(drawn[-1])
            except ConstraintViolation as violation:
                self._reject(drawn[-1], violation)
                if len(drawn) == _REDRAWS:
                    self._write(*drawn)
                    raise
            else:
                self._write(*drawn)
                hit("trial-rows-added")
                return asked

    def suggest_value(self, number: int, request: HyperparameterRequest) -> Value:
        """Return a trial's value of a hyperparameter that its model's own code asks for."""
        trial = self._running[number]
        drawn = len(self._get_frozen(trial).params)
        declared = self._space.parameters.get(request.name)
        if declared is not None:
            value = suggest(Space((declared,)), trial)[request.name]
        else:
            value = suggest_value(request, trial, self._distributions)
        self._note_values(trial, {request.name: value})
        if len(self._get_frozen(trial).params) > drawn:
            self._write(trial)
        return value

    def should_prune(self, number: int, epoch: int, best: float) -> bool:
        """Report a trial's best score so far at a rung; say whether the pruner would end it."""
        trial = self._running[number]
        if epoch + 1 not in self._get_frozen(trial).intermediate_values:  # else an attempt that was cut off reported it
            trial.report(best, epoch + 1)
        return trial.should_prune()

    def list_failed_attempts(self, number: int) -> tuple[Attempt, ...]:
        """Return the tries at a trial that failed so far."""
        return _read_failed_attempts(self._get_frozen(self._running[number]).user_attrs)

    def record_failed_attempt(self, number: int, attempt: Attempt) -> None:
        """Record that a try at a trial failed; the trial itself goes on."""
        trial = self._running[number]
        attempts = (*self.list_failed_attempts(number), attempt)
        trial.set_user_attr(FAILED_ATTEMPTS, [asdict(each) for each in attempts])
        self._write(trial)
        self._note_values(trial, {})

    def tell(self, ended: TrialSummary) -> None:
        """Record how a trial ended."""
        trial = self._running.pop(ended.number)
        kept_elsewhere = ("number", "failed_attempts")
        told = {key: value for key, value in asdict(ended).items() if key not in kept_elsewhere}
        trial.set_user_attr(RESULT, {**told, "goals": list(ended.goals)})
        if ended.state == "complete":
            for name, excess in self.objective.compute_excesses(ended.values).items():
                trial.set_constraint(name, excess)
            self._study.tell(trial, list(ended.values))
        else:
            self._study.tell(trial, state=OptunaState.PRUNED if ended.state == "pruned" else OptunaState.FAIL)
        self._write(trial)
        self._summaries[ended.number] = summarize_trial(self._get_frozen(trial))

    def _start_trial(self, trial: optuna.Trial) -> tuple[int, Mapping[str, Value]]:
        values = suggest(self._initial_space, trial)
        self._running[trial.number] = trial
        self._note_values(trial, values)
        return trial.number, values

    def _note_values(self, trial: optuna.Trial, values: Mapping[str, Value]) -> None:
        """Keep values with a trial under our names, for who looks at it while it runs; Optuna's names are not ours."""
        known = self._get_frozen(trial).user_attrs.get(VALUES, {})
        asked = {**known, **values}
        if asked != known:
            trial.set_user_attr(VALUES, asked)
        self._summaries[trial.number] = summarize_trial(self._get_frozen(trial))

    def _reject(self, trial: optuna.Trial, violation: ConstraintViolation) -> None:
        trial.set_user_attr(REJECTED, str(violation))
        self._study.tell(trial, state=OptunaState.FAIL)
        self._summaries.pop(trial.number, None)

    def _write(self, *trials: optuna.Trial) -> None:
        """Bring trials to the database as they are in memory, in one transaction."""
        written = [self._get_frozen(trial) for trial in trials]
        for trial in written:
            for name, drawn_from in trial.distributions.items():
                check_distribution_compatibility(self._distributions.setdefault(name, drawn_from), drawn_from)
        self._rows.write(written)

    def _get_frozen(self, trial: optuna.Trial) -> FrozenTrial:
        return self._memory.get_trial(trial._trial_id)

    def _share_structure(self) -> None:
        """Let the next trial have the structure of the first one of its row, where trials are to share it."""
        if self._share == 1:
            return
        trials = self._study.get_trials(deepcopy=False)
        row = [trial for trial in trials[len(trials) // self._share * self._share :] if takes_up_budget(trial)]
        leader = row[0] if row else None
        structure = {
            name: value
            for name, value in (leader.params if leader else {}).items()
            if leader and not isinstance(leader.distributions[name], FloatDistribution)
        }
        with warnings.catch_warnings():  # Optuna calls this sampler experimental
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study.sampler = (
                optuna.samplers.PartialFixedSampler(structure, self._sampler) if structure else self._sampler
            )

    def _enqueue_known_points(self) -> None:
        """Enqueue what to try first and was not asked for yet; a point that is given twice is tried twice."""
        points = [make_optuna_point(self._space, point) for point in self._space.list_points()]
        if defaults := make_optuna_defaults(self._undeclared, self._distributions):
            points = [{**defaults, **(points[0] if points else {})}, *points[1:]]
        for point in points:
            text = _make_text(point)
            if self._given[text]:
                self._given[text] -= 1
            else:
                self._study.enqueue_trial(point)

    def _enqueue_next_of_grid(self, points: Iterator[Mapping[str, Value]]) -> bool:
        """Say whether a point of the grid waits to be asked for, having enqueued the next one if none did."""
        if self._study.get_trials(deepcopy=False, states=(OptunaState.WAITING,)):
            return True
        for point in points:
            given = make_optuna_point(self._space, point)
            if not self._given[_make_text(given)]:
                self._study.enqueue_trial(given)
                return True
        return False


def summarize_trials(study: optuna.Study) -> tuple[TrialSummary, ...]:
    """Return every trial of an Optuna study of ours, in order, without those that a constraint rejected."""
    return tuple(summarize_trial(trial) for trial in study.get_trials(deepcopy=False) if takes_up_budget(trial))


def find_best(trials: Iterable[TrialSummary], objective: Objective) -> TrialSummary | None:
    """Return the first of `best_first`; None where no trial could win."""
    return next(iter(rank_trials(trials, objective)), None)


def rank_trials(trials: Iterable[TrialSummary], objective: Objective) -> list[TrialSummary]:
    """Return the complete trials of today's space by their scores, the earlier one of equals first.

    Of several objectives the first decides, then the next; a trial that breaks the bounds of any is left out.
    """
    could_win = [
        trial
        for trial in trials
        if trial.state == "complete" and trial.value is not None and trial.fits and objective.keeps_bounds(trial.values)
    ]
    return sorted(could_win, key=lambda trial: (objective.rank(trial.values), trial.number))


def find_pareto_front(trials: Iterable[TrialSummary], objective: Objective) -> list[TrialSummary]:
    """Return of the trials that could win those that no other one equals or betters in every objective, best first.

    Of trials that are equal in all of them the earliest one. With one objective it is the best trial alone.
    """
    found: list[TrialSummary] = []
    for trial in rank_trials(trials, objective):  # a trial can only be worse than one that comes before it
        rank = objective.rank(trial.values)
        if not any(all(a <= b for a, b in zip(objective.rank(each.values), rank, strict=True)) for each in found):
            found.append(trial)
    return found


def select_kept(trials: Iterable[TrialSummary], objective: Objective, most: int) -> list[TrialSummary]:
    """Return the trials that keep their models: the best so many, and of several objectives the whole front."""
    trials = list(trials)
    best = rank_trials(trials, objective)[:most]
    numbers = {trial.number for trial in best}
    also = find_pareto_front(trials, objective) if objective.goals else []
    return [*best, *(trial for trial in also if trial.number not in numbers)]


def count_by_state(trials: Sequence[TrialSummary]) -> dict[str, int]:
    """Return how many trials are in each state that occurs."""
    return dict(sorted(Counter(trial.state for trial in trials).items()))


def compute_rungs(pruner: str, epochs: int) -> frozenset[int]:
    """Return the epochs, counted from 0, after which a trial is compared with the others.

    Hyperband compares after 1, 3, 9, ... epochs; the median pruner after each tenth of the epochs.
    """
    if pruner == "none":
        return frozenset()
    if pruner == "hyperband":
        powers = itertools.takewhile(lambda rung: rung <= epochs, (_REDUCTION**power for power in itertools.count()))
        return frozenset(rung - 1 for rung in powers)
    every = max(1, math.ceil(epochs / _RUNGS_PER_TRIAL))
    return frozenset(range(every - 1, epochs, every))


def takes_up_budget(trial: FrozenTrial) -> bool:
    return trial.state != OptunaState.WAITING and REJECTED not in trial.user_attrs


def _make_text(point: object) -> str:
    return json.dumps(point, sort_keys=True)


def summarize_trial(trial: FrozenTrial) -> TrialSummary:
    attrs = trial.user_attrs
    attempts = _read_failed_attempts(attrs)
    if RESULT in attrs and trial.state.is_finished():
        told = {**attrs[RESULT], "goals": tuple(attrs[RESULT].get("goals", ()))}
        return TrialSummary(trial.number, **told, failed_attempts=attempts)
    reason = f"tried again after: {attempts[-1].reason}" if attempts else ""
    return TrialSummary(
        trial.number, "running", None, attrs.get(VALUES, trial.params), reason=reason, failed_attempts=attempts
    )


def _read_failed_attempts(attrs: Mapping[str, Any]) -> tuple[Attempt, ...]:
    return tuple(Attempt(**each) for each in attrs.get(FAILED_ATTEMPTS, ()))


def make_sampler(spec: SearchSpec, known: int) -> BaseSampler:
    """Return the sampler, its seed moved on by the known trials: a resumed study must not draw the same again."""
    seed = (spec.seed * 1_000_003 + known) % 2**32
    if spec.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=spec.startup_trials)
    return optuna.samplers.RandomSampler(seed=seed)


def make_pruner(spec: SearchSpec, epochs: int) -> BasePruner:
    if spec.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(epochs, 2), reduction_factor=_REDUCTION)
    if spec.pruner == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=max(1, spec.startup_trials // 2), n_warmup_steps=epochs // 5
        )
    return optuna.pruners.NopPruner()
