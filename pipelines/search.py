"""The Optuna side of a study: asking for trials, telling their results, and taking up what a crash left.

A trial's number is its slot in the budget. The supervisor is the only writer, so a trial found RUNNING at the start
is one that a crash or a pause cut off: it is run again under its own number, with the values it was asked with. So
no crash can lose a trial or add one.

Optuna's storage sees a trial's values, a few rungs and its result; each write costs about 20 ms on SQLite.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from pipelines.study_file import Objective
from pipelines.study_spec import SearchSpec
from search_spaces.question import Question, answer, defaults_for_optuna
from search_spaces.space import Space
from search_spaces.suggest import ConstraintViolated, grid, point_for_optuna, suggest
from tracking.records import TrialState, Value

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

RESULT = "kerastudy:result"
REJECTED = "kerastudy:rejected"
_REDRAWS = 200
_RUNGS_PER_TRIAL = 10
_REDUCTION = 3


@dataclass(frozen=True)
class Scored:
    """A trial as `show`, `trials` and the reports list it.

    Attributes:
        params: active hyperparameters, fixed ones included.
        best_epoch: counted from 1.
        reason: why it was pruned or failed.
        metrics: every metric at the best epoch.
        parameters: trainable weights of the model.
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


class Search:
    """One study in Optuna, resumed where it exists.

    Args:
        epochs: the most that a trial can train.
        up_front: the part of the space that a trial is started with; all of it where None.
        undeclared: what the model's own code is known to ask for besides the space; its defaults are tried first.
    """

    def __init__(
        self,
        storage: optuna.storages.BaseStorage,
        name: str,
        space: Space,
        objective: Objective,
        spec: SearchSpec,
        *,
        epochs: int,
        up_front: Space | None = None,
        undeclared: Sequence[Question] = (),
    ) -> None:
        self._space = space
        self.objective = objective
        self._study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=objective.direction,
            load_if_exists=True,
            pruner=_pruner(spec, epochs),
        )
        known = self._study.get_trials(deepcopy=False)
        self._study.sampler = _sampler(spec, len(known))
        self._asked: dict[int, optuna.Trial] = {}
        self._up_front = space if up_front is None else up_front
        self._undeclared = undeclared
        self._distributions = {name: each for trial in known for name, each in trial.distributions.items()}
        self.rungs = rungs(spec.pruner, epochs)
        self._grid = grid(space) if spec.sampler == "grid" else None
        self._of_grid = {_text_of(trial.system_attrs.get("fixed_params")) for trial in known}
        if self._grid is None:
            self._enqueue_known_points()

    @property
    def begun(self) -> int:
        """Number of trials that take up the budget: all that were asked, but those a constraint rejected."""
        trials = self._study.get_trials(deepcopy=False)
        return sum(_takes_up_budget(trial) for trial in trials)

    def interrupted(self) -> Iterator[tuple[int, Mapping[str, Value]]]:
        """Yield number and values of each trial that was cut off; each is under way again."""
        for frozen in self._study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,)):
            trial = optuna.Trial(self._study, frozen._trial_id)
            try:
                yield self._begun(trial)
            except ConstraintViolated as violation:
                self._reject(trial, violation)

    def ask(self) -> tuple[int, Mapping[str, Value]] | None:
        """Return number and values of the next trial; None where a grid is done.

        Points that break a constraint of the space are rejected before any training, and drawn again.

        Raises:
            ConstraintViolated: if no point that keeps the constraints was found.
        """
        if self._grid is not None and not self._enqueue_next_of_grid(self._grid):
            return None
        for draw in range(1, _REDRAWS + 1):
            trial = self._study.ask()
            try:
                return self._begun(trial)
            except ConstraintViolated as violation:
                self._reject(trial, violation)
                if draw == _REDRAWS:
                    raise
        raise AssertionError("unreachable")

    def answer(self, number: int, question: Question) -> Value:
        """Return a trial's value of a hyperparameter that its model's own code asks for."""
        declared = self._space.parameters.get(question.name)
        if declared is not None:
            return suggest(Space((declared,)), self._asked[number])[question.name]
        return answer(question, self._asked[number], self._distributions)

    def should_prune(self, number: int, epoch: int, best: float) -> bool:
        """Report a trial's best score so far at a rung; say whether the pruner would end it."""
        trial = self._asked[number]
        known = self._study.get_trials(deepcopy=False)[number].intermediate_values
        if epoch + 1 not in known:  # else an attempt that was cut off reported it
            trial.report(best, epoch + 1)
        return trial.should_prune()

    def tell(self, ended: Scored) -> None:
        """Record how a trial ended."""
        trial = self._asked.pop(ended.number)
        trial.set_user_attr(RESULT, {name: value for name, value in asdict(ended).items() if name != "number"})
        if ended.state == "complete":
            self._study.tell(trial, ended.value, skip_if_finished=True)
        else:
            state = OptunaState.PRUNED if ended.state == "pruned" else OptunaState.FAIL
            self._study.tell(trial, state=state, skip_if_finished=True)

    def trials(self) -> tuple[Scored, ...]:
        """Return every trial but the rejected ones, in order."""
        return scored_trials(self._study)

    def _begun(self, trial: optuna.Trial) -> tuple[int, Mapping[str, Value]]:
        values = suggest(self._up_front, trial)
        self._asked[trial.number] = trial
        return trial.number, values

    def _reject(self, trial: optuna.Trial, violation: ConstraintViolated) -> None:
        trial.set_user_attr(REJECTED, str(violation))
        self._study.tell(trial, state=OptunaState.FAIL)

    def _enqueue_known_points(self) -> None:
        """Enqueue what to try first; a resumed study has most of it already, and a crash may have cut this off."""
        points = [point_for_optuna(self._space, point) for point in self._space.points()]
        if defaults := defaults_for_optuna(self._undeclared, self._distributions):
            points = [{**defaults, **(points[0] if points else {})}, *points[1:]]
        for point in points:
            self._study.enqueue_trial(point, skip_if_exists=True)

    def _enqueue_next_of_grid(self, points: Iterator[Mapping[str, Value]]) -> bool:
        """Say whether a point of the grid waits to be asked for, having enqueued the next one if none did."""
        if self._study.get_trials(deepcopy=False, states=(OptunaState.WAITING,)):
            return True
        for point in points:
            given = point_for_optuna(self._space, point)
            if _text_of(given) not in self._of_grid:
                self._study.enqueue_trial(given)
                return True
        return False


def scored_trials(study: optuna.Study) -> tuple[Scored, ...]:
    """Return every trial of an Optuna study of ours, in order, without those that a constraint rejected."""
    return tuple(_scored(trial) for trial in study.get_trials(deepcopy=False) if _takes_up_budget(trial))


def best_of(trials: Sequence[Scored], objective: Objective) -> Scored | None:
    """Return the complete trial of today's space with the best score, the earlier one of equals; None without any."""
    best: Scored | None = None
    for trial in trials:
        if trial.state != "complete" or trial.value is None or not trial.fits:
            continue
        if best is None or best.value is None or objective.is_better(trial.value, best.value):
            best = trial
    return best


def count_by_state(trials: Sequence[Scored]) -> dict[str, int]:
    """Return how many trials are in each state that occurs."""
    return dict(sorted(Counter(trial.state for trial in trials).items()))


def rungs(pruner: str, epochs: int) -> frozenset[int]:
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


def _takes_up_budget(trial: FrozenTrial) -> bool:
    return trial.state != OptunaState.WAITING and REJECTED not in trial.user_attrs


def _text_of(point: object) -> str:
    return json.dumps(point, sort_keys=True)


def _scored(trial: FrozenTrial) -> Scored:
    result = trial.user_attrs.get(RESULT)
    if result is not None and trial.state.is_finished():
        return Scored(number=trial.number, **result)
    return Scored(trial.number, "running", None, trial.params)


def _sampler(spec: SearchSpec, known: int) -> BaseSampler:
    """Return the sampler, its seed moved on by the known trials: a resumed study must not draw the same again."""
    seed = (spec.seed * 1_000_003 + known) % 2**32
    if spec.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=spec.startup_trials)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(spec: SearchSpec, epochs: int) -> BasePruner:
    if spec.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(epochs, 2), reduction_factor=_REDUCTION)
    if spec.pruner == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=max(1, spec.startup_trials // 2), n_warmup_steps=epochs // 5
        )
    return optuna.pruners.NopPruner()
