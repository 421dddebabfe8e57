"""Pruners: the choice of one, the rungs at which it compares trials, and the rules that end trials there.

A rule that pauses trials is in `promotion`. It falls back to the median where a trial cannot be paused.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipelines.search.gp.freeze_thaw import FreezeThawRule
from pipelines.search.promotion import AshaRule, PromotionRule
from pipelines.search.rung_scores import find_score_at
from pipelines.search.samplers import SamplerFactory
from pipelines.spec.schema import SearchSpec
from pipelines.study.context import StudyContext
from search_spaces.values import Direction

PrunerName = Literal["none", "median", "hyperband", "asha", "freeze-thaw", "patience"]

# Chosen: each rung costs a worker a request.
_RUNGS_PER_TRIAL = 10
# Hyperband's and ASHA's eta; Optuna's default too.
_REDUCTION = 3
# A rung after one epoch of sixty judges noise.
_LEAST_EPOCHS = 3
_LEAST_SHARE = 20
_ASHA_EPOCHS = 9
_STARTUP = 10
_ASHA_TRIALS = 9


@dataclass(frozen=True)
class PrunerChoice:
    """Pruner of a study, and in words what it does and why it was chosen."""

    name: PrunerName
    reason: str


def choose_pruner(context: StudyContext) -> PrunerChoice:
    """Return the pruner of a study: the one of its file, or for `auto` the one that suits it."""
    name, epochs = context.spec.search.pruner, context.most_epochs
    if name != "auto":
        return PrunerChoice(name, _describe(name, epochs))
    found, why = _choose_automatically(context)
    return PrunerChoice(found, f"{_describe(found, epochs)}; search.pruner is auto, and {why}")


def _choose_automatically(context: StudyContext) -> tuple[PrunerName, str]:
    epochs, trials = context.most_epochs, context.most_trials
    if not context.combinations.searches:
        return "none", "the study searches nothing"
    if context.objective.goals:
        return "none", "a trial that is worse in the first of several objectives may be the best in another"
    if trials < _ASHA_TRIALS:
        return "none", f"{trials} trials are fewer than {_ASHA_TRIALS}"
    if epochs <= _LEAST_EPOCHS:
        return "none", f"no trial is compared with others before its {_LEAST_EPOCHS}rd epoch"
    if epochs < _ASHA_EPOCHS:
        return "median", f"{epochs} epochs are fewer than {_ASHA_EPOCHS}"
    return "asha", f"there are {trials} trials of up to {epochs} epochs"


def _describe(name: PrunerName, epochs: int) -> str:
    rungs = sorted(rung + 1 for rung in compute_rungs(name, epochs) if rung + 1 < epochs)
    if not rungs:
        return f"{name}: every trial trains to its end"
    after = ", ".join(map(str, rungs[:4])) + (", ..." if len(rungs) > 4 else "")
    what = {
        "asha": "trials pause, and the best third goes on,",
        "freeze-thaw": "trials pause, and those that promise more than a new one go on,",
        "median": "trials worse than the median end",
        "patience": "trials worse than the median end, if they did not improve since the rung before,",
        "hyperband": "all but the best third of a bracket end",
    }[name]
    return f"{name}: {what} after {after} of {epochs} epochs"


def compute_rungs(pruner: str, epochs: int) -> frozenset[int]:
    """Return the epochs, counted from 0, after which a trial is compared with the others.

    None comes before the third epoch or a twentieth of the epochs, T. ASHA compares after T/9 and T/3 epochs;
    Hyperband after its first rung, three times, nine times, ... as many; the other pruners after each tenth.
    """
    least = compute_first_rung(epochs)
    if pruner == "none":
        return frozenset()
    if pruner in ("asha", "freeze-thaw"):
        rungs = {max(least, round(epochs / _REDUCTION**power)) for power in (1, 2)}
        return frozenset(rung - 1 for rung in rungs if rung < epochs)
    if pruner == "hyperband":
        powers = (least * _REDUCTION**power for power in itertools.count())
        return frozenset(rung - 1 for rung in itertools.takewhile(lambda rung: rung <= epochs, powers))
    every = max(1, math.ceil(epochs / _RUNGS_PER_TRIAL))
    return frozenset(rung for rung in range(every - 1, epochs, every) if rung + 1 >= least)


def compute_first_rung(epochs: int) -> int:
    """Return the least number of epochs before a trial is compared with others."""
    return max(_LEAST_EPOCHS, math.ceil(epochs / _LEAST_SHARE))


class PruningRule(Protocol):
    """Decides at a rung which trials end."""

    def prunes(self, trial: FrozenTrial, epochs: int, trials: Sequence[FrozenTrial]) -> bool:
        """Return whether a trial ends after so many epochs; `trials` are all of its study."""


class NoRule:
    """Rule that ends no trial."""

    def prunes(self, trial: FrozenTrial, epochs: int, trials: Sequence[FrozenTrial]) -> bool:
        """Return False."""
        return False


class MedianRule:
    """Rule that ends a trial whose best score is worse than the median of the complete trials at that rung.

    Args:
        direction: which way the score is better.
        startup_trials: complete trials before the rule begins.
        warmup_epochs: rungs until then end no trial, since curves still cross.
        needs_standstill: whether a trial ends only if it has not improved since its rung before.
        rungs: numbers of epochs at which trials are compared.
    """

    def __init__(
        self,
        direction: Direction,
        *,
        startup_trials: int,
        warmup_epochs: int,
        needs_standstill: bool = False,
        rungs: Sequence[int] = (),
    ) -> None:
        self._sign = 1.0 if direction == "minimize" else -1.0
        self._startup_trials = startup_trials
        self._warmup_epochs = warmup_epochs
        self._needs_standstill = needs_standstill
        self._rungs = sorted(rungs)

    def prunes(self, trial: FrozenTrial, epochs: int, trials: Sequence[FrozenTrial]) -> bool:
        """Return whether a trial is worse than the median."""
        complete = [each for each in trials if each.state == TrialState.COMPLETE]
        if epochs < self._warmup_epochs or len(complete) < self._startup_trials:
            return False
        scores = [score for each in complete if (score := find_score_at(each, epochs)) is not None]
        own = find_score_at(trial, epochs)
        if own is None or not scores or self._sign * own <= self._sign * median(scores):
            return False
        return not self._needs_standstill or self._stands_still(trial, epochs, own)

    def _stands_still(self, trial: FrozenTrial, epochs: int, score: float) -> bool:
        before = [rung for rung in self._rungs if rung < epochs]
        return bool(before) and find_score_at(trial, before[-1]) == score


class HyperbandRule:
    """Rule of Optuna's Hyperband, which compares one score.

    Args:
        study: the study in Optuna.
        epochs: most epochs of a trial.
    """

    def __init__(self, study: optuna.Study, epochs: int) -> None:
        self._study = study
        self._pruner = optuna.pruners.HyperbandPruner(
            min_resource=compute_first_rung(epochs),
            max_resource=max(epochs, compute_first_rung(epochs) + 1),
            reduction_factor=_REDUCTION,
        )

    def prunes(self, trial: FrozenTrial, epochs: int, trials: Sequence[FrozenTrial]) -> bool:
        """Return whether a trial is not among the best third of its bracket."""
        return self._pruner.prune(self._study, trial)


def make_promotion_rule(
    pruner: PrunerName, epochs: int, direction: Direction, samplers: SamplerFactory
) -> PromotionRule | None:
    """Return the rule by which trials pause; None for a pruner that ends them."""
    rungs = [rung + 1 for rung in compute_rungs(pruner, epochs)]
    if pruner == "asha" and rungs:
        return AshaRule(rungs, _REDUCTION, direction)
    if pruner == "freeze-thaw" and rungs:
        return FreezeThawRule(samplers.make_gp_settings(), direction)
    return None


def make_pruning_rule(
    pruner: PrunerName, spec: SearchSpec, epochs: int, direction: Direction, study: optuna.Study
) -> PruningRule:
    """Return the rule that ends trials; for a pruner that pauses them, the rule for those that cannot be paused."""
    if pruner == "none":
        return NoRule()
    if pruner == "hyperband":
        return HyperbandRule(study, epochs)
    return MedianRule(
        direction,
        startup_trials=max(1, (_STARTUP if spec.startup_trials is None else spec.startup_trials) // 2),
        # Chosen: no comparison in the first fifth of the epochs; ASHA starts at its first rung.
        warmup_epochs=0 if pruner in ("asha", "freeze-thaw") else epochs // 5,
        needs_standstill=pruner == "patience",
        rungs=[rung + 1 for rung in compute_rungs(pruner, epochs)],
    )
