"""One study in Optuna: its next trials, their results, and the trials that a crash interrupted.

A trial's number is its slot in the budget. The supervisor is the only writer, so a trial found RUNNING at the start
was interrupted by a crash or a pause. It runs again under the same number, with the same values. So no crash can lose
a trial or add one. A trial that is paused at a rung is RUNNING too, with an attribute that holds what it has reached.

Optuna works in memory, on a study that is filled from the database when it opens. The database is written in one
transaction when a trial starts and one when it ends. Rungs stay in memory while a trial runs: an interrupted trial
reaches them again. Values that a model's code requests are written at once.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import optuna
from optuna.distributions import check_distribution_compatibility
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection

from pipelines.search.curves import Curves
from pipelines.search.draws_around import draw_around
from pipelines.search.earlier_trials import EarlierTrials
from pipelines.search.gp.training_costs import TrainingCosts
from pipelines.search.improvement_estimates import ImprovementEstimates
from pipelines.search.kept_points import KeptPoints, make_text
from pipelines.search.pruners import PrunerName, compute_rungs, make_promotion_rule, make_pruning_rule
from pipelines.search.rung_scores import find_score_at
from pipelines.search.samplers import SamplerFactory
from pipelines.search.shared_structure import find_shared_structure
from pipelines.search.space_evolution import count_carried
from pipelines.search.starting_points import StartingPoints
from pipelines.search.stopping import ESTIMATES
from pipelines.search.trial_summaries import (
    FAILED_ATTEMPTS,
    PAUSED,
    REJECTED,
    RESULT,
    VALUES,
    Attempt,
    TrialSummary,
    find_best,
    find_best_paused,
    read_failed_attempts,
    summarize_trial,
    takes_up_budget,
)
from pipelines.search.tried_points import TriedPoints
from pipelines.search.untried_sampler import UntriedSampler
from pipelines.spec.schema import SearchSpec
from pipelines.study.objective import Objective
from pipelines.training.messages import RungDecision
from search_spaces.distribution_values import list_grid, list_values
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.request_draws import make_optuna_defaults, suggest_value
from search_spaces.space import Space
from search_spaces.suggest import (
    ConstraintViolation,
    generate_grid,
    make_distributions,
    make_optuna_point,
    suggest,
)
from search_spaces.values import Value
from tracking.store.optuna_tables import TrialRows
from tracking.testing.failpoints import hit


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a study's search.

    Attributes:
        epochs: the most that a trial can train.
        initial_space: the part of the space that a trial starts with; all of it where None.
        undeclared: hyperparameters that the model's code is known to request and the space does not declare; their
            defaults are tried first.
        draws_on_request: whether the model's code requests values while a trial runs.
        repeats: whether the only point of a study that searches nothing is tried again, with other seeds.
        starting_points: tried after the points of the space.
        earlier: trials of an earlier study, which inform the search.
        gp_trials: see `SamplerFactory`.
    """

    space: Space
    objective: Objective
    spec: SearchSpec
    epochs: int
    initial_space: Space | None = None
    undeclared: Sequence[HyperparameterRequest] = ()
    draws_on_request: bool = False
    repeats: bool = False
    starting_points: StartingPoints = field(default_factory=StartingPoints)
    earlier: EarlierTrials = field(default_factory=EarlierTrials)
    gp_trials: int = 0


class OptunaSearch:
    """One study in Optuna, resumed where it exists.

    Args:
        check: raises, within a transaction, if the study is no longer this process's.
    """

    def __init__(
        self,
        storage: optuna.storages.RDBStorage,
        name: str,
        settings: SearchSettings,
        *,
        check: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        self._space, self.objective, spec = settings.space, settings.objective, settings.spec
        directions = self.objective.directions
        stored = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
        known = stored.get_trials(deepcopy=False)
        self._rows = TrialRows(storage, stored._study_id, known, check)
        self._memory = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(storage=self._memory, study_name=name, directions=directions)
        self._study.add_trials(known)
        # In order of number: Optuna's ask returns the points that wait before it draws a new one.
        self._summaries = {trial.number: summarize_trial(trial) for trial in known if takes_up_budget(trial)}
        self._paused = {number for number, trial in self._summaries.items() if trial.state == "paused"}
        self._running: dict[int, optuna.Trial] = {}
        self._started: dict[int, Mapping[str, Value]] = {}
        self._goes_to_end: set[int] = set()
        self._initial_space = self._space if settings.initial_space is None else settings.initial_space
        self._undeclared = settings.undeclared
        self._distributions = {name: each for trial in known for name, each in trial.distributions.items()}
        self._samplers = SamplerFactory(spec, self._space, settings.epochs, settings.earlier, settings.gp_trials)
        # `choose_pruner` has replaced it for the study of a file.
        pruner: PrunerName = "none" if spec.pruner == "auto" else spec.pruner
        self.rungs = compute_rungs(pruner, settings.epochs)
        direction = self.objective.direction
        self._promotion = make_promotion_rule(pruner, settings.epochs, direction, self._samplers)
        self._pruning = make_pruning_rule(pruner, spec, settings.epochs, direction, self._study)
        self._curves = Curves(self._memory, self.objective.direction, frozenset(rung + 1 for rung in self.rungs))
        # Trials carried over from another space lack what the code requested, and stand in no order of draws.
        carried = count_carried(stored)
        self._estimates = ImprovementEstimates(self.objective, known[carried:])
        of_this_space = known[carried:] if settings.draws_on_request else known
        self._tried = TriedPoints.collect(of_this_space, list_grid if spec.sampler == "grid" else list_values)
        self._study.sampler = self._untried_sampler = UntriedSampler(self._samplers.make(len(known)), self._tried)
        self._draws_on_request, self._repeats = settings.draws_on_request, settings.repeats
        self._is_grid = spec.sampler == "grid"
        # A grid has its order already.
        self._share = 1 if self._is_grid else spec.share_structure
        self._kept = KeptPoints(self._initial_space, spec.seed, repeats=settings.draws_on_request)
        # Where code requests the values, the sampler walks the grid, because only trials show which points there are.
        self._grid = generate_grid(self._space) if self._is_grid and not settings.draws_on_request else None
        # `fixed_params` is where Optuna stores an enqueued point, without the values drawn in addition.
        self._enqueued = Counter(make_text(trial.system_attrs.get("fixed_params", trial.params)) for trial in known)
        # A point that left values open is on the grid by those that were drawn.
        self._off_grid = {*self._enqueued, *(make_text(trial.params) for trial in known)}
        self._enqueue_known_points(settings.starting_points, known)

    def weigh_costs(self, estimate: Callable[[Mapping[str, Value]], float]) -> None:
        """Let a Gaussian process propose what improves most for the estimated seconds of a training with its values."""
        self._samplers = replace(self._samplers, costs=TrainingCosts(self._space, estimate))

    @property
    def trials(self) -> tuple[TrialSummary, ...]:
        """Every trial but the rejected ones, in order of number; each takes up the budget."""
        return tuple(self._summaries.values())

    def resume_interrupted(self) -> Iterator[tuple[int, Mapping[str, Value]]]:
        """Resume the trials that were interrupted; yield number and values of each."""
        for frozen in self._study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,)):
            self._untried_sampler.sampler = self._samplers.make(frozen.number, len(frozen.params))
            trial = optuna.Trial(self._study, frozen._trial_id)
            try:
                started = self._start_trial(trial)
            except ConstraintViolation as violation:
                self._reject(trial, violation)
                self._write(trial)
                continue
            # A kill while a trial starts can leave it without some of its values; they are drawn now.
            if self._get_frozen(trial) != frozen:
                self._write(trial)
            yield started

    def ask(self) -> tuple[int, Mapping[str, Value]] | None:
        """Return number and values of the next trial; None where every point is taken, see `is_exhausted`.

        Points that break a constraint of the space are rejected before any training, and drawn again.

        Raises:
            ConstraintViolation: if no point that keeps the constraints was found.
            KerastudyError: if another process has written trials of the study.
        """
        drawn: list[optuna.Trial] = []
        while True:
            if not self._has_point():
                self._write(*drawn)
                return None
            self._set_sampler()
            drawn.append(self._study.ask())
            hit("trial-drawn")
            try:
                started = self._start_trial(drawn[-1])
            except ConstraintViolation as violation:
                self._reject(drawn[-1], violation)
                if self._is_grid or self._kept.enqueue(self._study, rejected=len(drawn)):  # a grid ends by itself
                    continue
                # The rejected trials are stored too, so that a resumed study does not draw them again.
                self._write(*drawn)
                if self._kept.is_exhausted:
                    return None
                raise
            else:
                self._estimates.add(drawn[-1], self._untried_sampler.sampler, self.trials)
                self._write(*drawn)
                hit("trial-rows-added")
                return started

    @property
    def improvements(self) -> Sequence[float]:
        """How much better the last proposals were expected to be than the best trial, the latest one last."""
        return self._estimates.list_last(ESTIMATES)

    @property
    def is_exhausted(self) -> bool:
        """Whether every point was tried or is being tried; if not, running trials may still draw the last ones."""
        return self._grid is not None or self._tried.is_exhausted or self._kept.is_exhausted

    def forget_points(self) -> None:
        """Count every point so far as not tried: code that requests more hyperparameters than before makes others."""
        self._tried.clear()

    def suggest_value(self, number: int, request: HyperparameterRequest) -> Value:
        """Return a trial's value of a hyperparameter that its model's code requests."""
        trial = self._running[number]
        drawn = len(self._get_frozen(trial).params)
        self._untried_sampler.sampler = self._samplers.make(number, drawn)
        declared = self._space.parameters.get(request.name)
        if declared is not None:
            # As the code gets it: else its run in MLflow had the value twice, as 8.0 and as 8, which MLflow refuses.
            value = request.convert(suggest(Space((declared,)), trial)[request.name])
        else:
            value = suggest_value(request, trial, self._distributions)
        self._store_values(trial, {request.name: value})
        self._tried.update(self._get_frozen(trial))
        if len(self._get_frozen(trial).params) > drawn:
            self._estimates.add(trial, self._untried_sampler.sampler, self.trials)
            self._write(trial)
        return value

    def report_epoch(self, number: int, epochs: int, value: float) -> None:
        """Report a running trial's score after so many epochs, for its curve."""
        self._curves.add(self._running[number], epochs, value)

    def decide_at_rung(self, number: int, epoch: int, best: float, *, can_pause: bool = True) -> RungDecision:
        """Return whether a trial goes on after a rung, by its best score so far.

        Args:
            number: the trial.
            epoch: the epoch just done, counted from 0.
            best: its best score so far.
            can_pause: whether it could go on later from a checkpoint; else the pruner ends it or does not.
        """
        trial = self._running[number]
        self._curves.set_point(trial, epoch + 1, best)
        if number in self._goes_to_end:
            return "go_on"
        if self._promotion is not None and can_pause:
            return "go_on" if self._promotion.goes_on(number, epoch + 1, self._list_trials()) else "pause"
        prunes = self._pruning.prunes(self._get_frozen(trial), epoch + 1, self._list_trials())
        return "prune" if prunes else "go_on"

    @property
    def pauses_trials(self) -> bool:
        """Whether trials pause at rungs, where they can."""
        return self._promotion is not None

    def pause(self, paused: TrialSummary) -> None:
        """Record that a trial is paused: it stays RUNNING in Optuna, with its curve."""
        trial = self._running[paused.number]
        self._curves.finish(trial)
        trial.set_user_attr(PAUSED, {**paused.to_result(), "paused_at": time.time()})
        self._write(trial)
        self._store_values(trial, {})

    def get_reached(self, number: int) -> TrialSummary | None:
        """Return what a running trial had reached when it was last paused; None for one that never was."""
        return self._summaries[number] if PAUSED in self._get_frozen(self._running[number]).user_attrs else None

    def get_paused(self, number: int) -> TrialSummary | None:
        """Return what a paused trial has reached; None for any other trial."""
        return self._summaries[number] if self._summaries[number].state == "paused" else None

    def resume_paused(self, number: int, *, to_end: bool = False) -> tuple[int, Mapping[str, Value]]:
        """Record that a paused trial goes on; return its number and the values that it started with.

        Args:
            number: the trial.
            to_end: whether it pauses at no further rung.
        """
        if to_end:
            self._goes_to_end.add(number)
        trial = self._running[number]
        trial.set_user_attr(PAUSED, {**self._get_frozen(trial).user_attrs[PAUSED], "state": "running", "reason": ""})
        self._write(trial)
        self._store_values(trial, {})
        return number, self._started[number]

    def choose_paused(self, *, is_last: bool = False) -> int | None:
        """Return the paused trial that goes on next; None where none does, or a new one is to start.

        Args:
            is_last: whether no new trial can start, so that paused trials go on until the best ones are complete.
        """
        paused = self._count_paused_epochs()
        if self._promotion is None or not paused:
            # Paused by another pruner: with this one they would not have been.
            return min(paused, default=None)
        choose = self._promotion.choose_last if is_last else self._promotion.choose
        return choose(paused, self._list_trials())

    def choose_leader(self) -> int | None:
        """Return the best paused trial if it is better than every complete one; None where it is not.

        Only a complete trial can win, so without this one's end a worse one would. With several objectives it goes on
        only if no trial is complete: what it reaches in the others is not known before its end.
        """
        paused = find_best_paused(self.trials, self.objective)
        # One that the space could no longer have drawn cannot win.
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.fits]
        if paused is None or not complete:
            return None if paused is None else paused.number
        best = find_best(complete, self.objective)
        if self.objective.goals or best is None or best.value is None or paused.value is None:
            return None
        return paused.number if self.objective.is_better(paused.value, best.value) else None

    def find_contender(self, best: TrialSummary | None) -> TrialSummary | None:
        """Return the best of the paused trials that are ahead of the best complete one, as it was at their epochs."""
        known = self._study.get_trials(deepcopy=False)
        curve = None if best is None else known[best.number]

        def is_ahead(number: int, epochs: int) -> bool:
            value, other = self._summaries[number].value, None if curve is None else find_score_at(curve, epochs)
            return value is not None and (other is None or self.objective.is_better(value, other))

        paused = self._count_paused_epochs()
        ahead = [self._summaries[number] for number, epochs in paused.items() if is_ahead(number, epochs)]
        return find_best_paused(ahead, self.objective)

    def find_hopeless(self, most: int) -> list[int]:
        """Return the paused trials that can never go on, in a study of at most so many trials."""
        paused = self._count_paused_epochs()
        return self._promotion.find_hopeless(paused, self._list_trials(), most) if self._promotion and paused else []

    def _count_paused_epochs(self) -> dict[int, int]:
        """Return by number the epochs that each paused trial has trained of its first training."""
        return {
            number: max(self._get_frozen(self._running[number]).intermediate_values, default=0)
            for number in sorted(self._paused)
        }

    def _list_trials(self) -> list[FrozenTrial]:
        return [trial for trial in self._study.get_trials(deepcopy=False) if takes_up_budget(trial)]

    def list_failed_attempts(self, number: int) -> tuple[Attempt, ...]:
        """Return the attempts at a trial that failed so far."""
        return read_failed_attempts(self._get_frozen(self._running[number]).user_attrs)

    def record_failed_attempt(self, number: int, attempt: Attempt) -> None:
        """Record that an attempt at a trial failed; the trial itself continues."""
        trial = self._running[number]
        attempts = (*self.list_failed_attempts(number), attempt)
        trial.set_user_attr(FAILED_ATTEMPTS, [asdict(each) for each in attempts])
        self._write(trial)
        self._store_values(trial, {})

    def tell(self, ended: TrialSummary) -> None:
        """Record how a trial ended."""
        trial = self._running.pop(ended.number)
        self._started.pop(ended.number, None)
        self._curves.finish(trial)
        # The result is set before the state: a finished trial then always has one.
        trial.set_user_attr(RESULT, ended.to_result())
        if ended.state == "complete":
            for name, excess in self.objective.compute_excesses(ended.values).items():
                trial.set_constraint(name, excess)
            self._study.tell(trial, list(ended.values))
        else:
            self._study.tell(trial, state=OptunaState.PRUNED if ended.state == "pruned" else OptunaState.FAIL)
        self._write(trial)
        self._tried.end(self._get_frozen(trial))
        self._summarize(trial)

    def _start_trial(self, trial: optuna.Trial) -> tuple[int, Mapping[str, Value]]:
        values = suggest(self._initial_space, trial)
        (self._tried.update if self._draws_on_request else self._tried.close)(self._get_frozen(trial))
        self._off_grid.add(make_text(trial.params))
        self._running[trial.number], self._started[trial.number] = trial, values
        self._store_values(trial, values)
        return trial.number, values

    def _store_values(self, trial: optuna.Trial, values: Mapping[str, Value]) -> None:
        """Store values with a trial under the space's names, for readers of the running trial.

        Optuna's names differ from the space's: an indexed parameter has `#idx` behind its name there.
        """
        before = self._get_frozen(trial).user_attrs.get(VALUES, {})
        after = {**before, **values}
        if after != before:
            trial.set_user_attr(VALUES, after)
        self._summarize(trial)

    def _summarize(self, trial: optuna.Trial) -> None:
        summary = self._summaries[trial.number] = summarize_trial(self._get_frozen(trial))
        (self._paused.add if summary.state == "paused" else self._paused.discard)(trial.number)

    def _reject(self, trial: optuna.Trial, violation: ConstraintViolation) -> None:
        trial.set_user_attr(REJECTED, str(violation))
        self._study.tell(trial, state=OptunaState.FAIL)
        self._tried.close(self._get_frozen(trial))
        self._summaries.pop(trial.number, None)

    def _write(self, *trials: optuna.Trial) -> None:
        """Write trials from memory to the database, in one transaction."""
        frozen = [self._get_frozen(trial) for trial in trials]
        # TrialRows writes rows directly, without this check of Optuna's storage.
        for trial in frozen:
            for name, drawn_from in trial.distributions.items():
                check_distribution_compatibility(self._distributions.setdefault(name, drawn_from), drawn_from)
        self._rows.write(frozen)

    def _get_frozen(self, trial: optuna.Trial) -> FrozenTrial:
        return self._memory.get_trial(trial._trial_id)

    def _set_sampler(self) -> None:
        """Set the sampler of the next trial, with the structure of its row's first one where trials share it."""
        trials = self._study.get_trials(deepcopy=False)
        # Optuna's memory knows where those that wait begin; to look for them takes longer with each trial.
        waiting = self._study.get_trials(deepcopy=False, states=(OptunaState.WAITING,))
        number = waiting[0].number if waiting else len(trials)
        sampler = self._samplers.make(number)
        if structure := find_shared_structure(trials, self._share):
            with warnings.catch_warnings():  # Optuna calls this sampler experimental
                warnings.simplefilter("ignore", ExperimentalWarning)
                sampler = optuna.samplers.PartialFixedSampler(structure, sampler)
        self._untried_sampler.sampler = sampler

    def _enqueue_known_points(self, starting: StartingPoints, known: Sequence[FrozenTrial]) -> None:
        """Enqueue the initial values that were not tried yet; what the file lists twice as `search.repeat` allows."""
        # Defaults have no place in the order of a grid; what the file lists comes before it.
        listed = self._space.list_start_points() if self._is_grid else self._space.list_points()
        points = [make_optuna_point(self._space, point) for point in listed]
        if not self._is_grid and (defaults := make_optuna_defaults(self._undeclared, self._distributions)):
            points = [{**defaults, **(points[0] if points else {})}, *points[1:]]
        points = [self._kept.complete(point, place) for place, point in enumerate(points)]
        tried = [*points, *(trial.params for trial in known)]
        points += [point for point in self._list_starting_points(starting, points) if point not in tried]
        if self._samplers.spec.repeat == "never":
            is_partial = [not self._kept.is_complete(point) for point in points]
            points = [point for place, point in enumerate(points) if is_partial[place] or point not in points[:place]]
        for point in points:
            text = make_text(point)
            self._off_grid.add(text)
            if self._enqueued[text]:
                self._enqueued[text] -= 1
            else:
                self._study.enqueue_trial(point)

    def _list_starting_points(
        self, starting: StartingPoints, points: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        found = [make_optuna_point(self._space, point) for point in starting.portfolio]
        found = [self._kept.complete(point, len(points) + place) for place, point in enumerate(found)]
        if starting.draws and points:
            distributions = {**self._distributions, **make_distributions(self._space)}
            many = starting.draws * (20 if self._space.constraints else 1)
            drawn = draw_around(points[0], distributions, many, self._samplers.spec.seed)
            found += [point for point in drawn if self._kept.keeps(point)][: starting.draws]
        return [point for place, point in enumerate(found) if point not in found[:place]]

    def _has_point(self) -> bool:
        """Return whether there is a point for a further trial; of a grid, enqueue the next one."""
        if self._repeats or self._study.get_trials(deepcopy=False, states=(OptunaState.WAITING,)):
            return True
        if self._grid is None:
            return self._tried.has_room
        for point in self._grid:
            next_point = make_optuna_point(self._space, point)
            if make_text(next_point) not in self._off_grid:
                self._study.enqueue_trial(next_point)
                return True
        return False
