"""Choice of a study's sampler: the one of its file, or the one that suits the study where the file leaves it open."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.spec.schema import SamplerName, StudySpec
from pipelines.study.context import StudyContext
from search_spaces.parameters import Categorical, Fixed

# Chosen: beyond, a Gaussian process sees only a part of the trials, and its distances mean little.
_MOST_TRIALS, _MOST_PARAMETERS = 500, 50
_NAMED = 5  # a line has room for so many
GP_TRIALS = 200
"""Trials that a Gaussian process proposes before TPE; chosen: up to there an ask takes a tenth of a second at most."""


@dataclass(frozen=True)
class SamplerChoice:
    """A study's sampler.

    Attributes:
        name: as in `search.sampler`, never `auto`.
        reason: why it was chosen; empty where the study file names it.
        gp_trials: so many first trials are proposed by a Gaussian process.
        at_random: hyperparameters that it draws at random.
    """

    name: SamplerName
    reason: str = ""
    gp_trials: int = 0
    at_random: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Return its name, and that of the sampler before it."""
        return f"gp, and {self.name} after {self.gp_trials} trials" if self.gp_trials else self.name

    @property
    def has_gp(self) -> bool:
        """Whether a Gaussian process of ours proposes trials."""
        return self.name == "gp" or self.gp_trials > 0

    @property
    def learns(self) -> bool:
        """Whether it learns from trials that have ended."""
        return self.name not in ("random", "qmc", "grid")

    def describe(self) -> str:
        """Return the choice in a line, with the key that changes it."""
        if self.reason:
            return f"{self.label}; search.sampler is auto, and {self.reason}"
        if not self.at_random:
            return self.name
        first = ", ".join(self.at_random[:_NAMED])
        more = f" and {len(self.at_random) - _NAMED} more" if len(self.at_random) > _NAMED else ""
        what = "ranges" if self.name == "cma-es" else "what"
        rest = f"{what} that every trial has; search.sampler: gp learns from all"
        return f"{self.name}; drawn at random: {first}{more}, since it takes only {rest}"


def choose_sampler(context: StudyContext) -> SamplerChoice:
    """Return the sampler of a study: the one of its file, or for `auto` the one that suits it."""
    spec, combinations = context.spec, context.combinations
    if spec.search.sampler != "auto":
        return SamplerChoice(spec.search.sampler, at_random=_list_at_random(context))
    trials = spec.budget.trials
    searched = {each.name for each in context.study.space.declared if not isinstance(each, Fixed)}
    parameters = len(searched | {request.name for request in context.undeclared})
    if not combinations.searches:
        return SamplerChoice("random", "nothing is searched")
    if spec.budget.improvement is not None:
        return SamplerChoice("gp", "it alone estimates budget.improvement")
    if combinations.is_exact and combinations.count is not None and combinations.count <= trials:
        return SamplerChoice("random", f"all {combinations.count} combinations are tried, in any order")
    if 2 * (at_once := _count_at_once(spec)) > trials > 2:
        return SamplerChoice("qmc", f"{at_once} of {trials} trials run at once, and learn nothing from each other")
    goals = f"{len(spec.objectives)} objectives" if spec.objectives else "one objective"
    size = f"{goals}, {parameters} hyperparameter{'s' if parameters > 1 else ''}, {trials} trials"
    if spec.objectives and len(spec.objectives) > 1 and trials > 2 * _MOST_TRIALS:
        return SamplerChoice("nsga2", f"{size}, and a population of points pays with so many trials")
    if parameters > _MOST_PARAMETERS:
        return SamplerChoice("tpe", f"{size}; a Gaussian process is vague with more than {_MOST_PARAMETERS}")
    if trials > _MOST_TRIALS:
        # A budget of time ends many studies long before, and their first trials count most.
        reason = f"{size}; a Gaussian process learns most from few trials, and is slow with more than {_MOST_TRIALS}"
        return SamplerChoice("tpe", reason, GP_TRIALS)
    return SamplerChoice("gp", f"{size}; a Gaussian process learns most from few trials")


def _list_at_random(context: StudyContext) -> tuple[str, ...]:
    """Return what a sampler of Optuna's leaves to chance: choices, and what a condition leaves out."""
    sampler = context.spec.search.sampler
    if sampler not in ("cma-es", "gp-optuna"):
        return ()
    declared = [
        each.name
        for each in context.study.space.declared
        if not isinstance(each, Fixed) and (each.when or (sampler == "cma-es" and isinstance(each, Categorical)))
    ]
    requested = [each.name for each in context.undeclared if sampler == "cma-es" and each.kind in ("choice", "boolean")]
    return (*declared, *requested)


def _count_at_once(spec: StudySpec) -> int:
    """Return how many trials run at once as far as the file states it."""
    fleet = spec.resources.fleet
    return (spec.resources.workers or 1) * (fleet if isinstance(fleet, int) else 1)
