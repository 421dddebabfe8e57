"""Points that a study tries after its own: of an earlier study, of a portfolio, or drawn around the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.search.earlier_trials import find_earlier_trials
from pipelines.search.sampler_choice import choose_sampler
from pipelines.study.context import StudyContext
from search_spaces.portfolios import list_portfolio
from search_spaces.values import Value

# Measured (docs/choosing-a-search.md): five points win the most early; a small budget needs its trials for the search.
_MOST, _SHARE = 5, 5


@dataclass(frozen=True)
class StartingPoints:
    """Starting points beside those of the study's own space.

    Attributes:
        portfolio: points of the space that were learned before, the best first.
        draws: number of draws around the study's first point.
        study: the earlier study that the points are of; empty where they are of the family's portfolio.
        unfit: an earlier study that was to be tried first, and has no point that fits.
    """

    portfolio: tuple[Mapping[str, Value], ...] = ()
    draws: int = 0
    study: str = ""
    unfit: str = ""

    def describe(self) -> str:
        """Return them in a line, with the key that changes their number; empty where there are none."""
        return "; ".join(filter(None, (self._describe_unfit(), self._describe_points())))

    def _describe_unfit(self) -> str:
        if not self.unfit:
            return ""
        return f"search.start_from: no complete trial of study {self.unfit} has half of a point of this space"

    def _describe_points(self) -> str:
        if not (count := len(self.portfolio) or self.draws):
            return ""
        learned = f"of study {self.study}" if self.study else "learned on other data sets"
        origin = learned if self.portfolio else "drawn around the defaults"
        points = f"1 starting point {origin} is" if count == 1 else f"{count} starting points {origin} are"
        turns_off = f"search.starting_points: 0 turns {'it' if count == 1 else 'them'} off"
        return f"{points} tried after the defaults; {turns_off}"


def choose_starting_points(context: StudyContext) -> StartingPoints:
    """Return the starting points of a study: of the earlier one that it names, of its family's portfolio, or draws.

    Without an earlier study there are none for a sampler that does not learn: its points are meant to be random, or all
    points in order.
    """
    spec, space = context.spec, context.study.space
    count, earlier = spec.search.starting_points, find_earlier_trials(context)
    if count is None:
        # One at least of a study that the file names.
        count = max(min(_MOST, context.most_trials // _SHARE), bool(earlier.study))
    if not count:
        return StartingPoints()
    if points := earlier.list_points(space, context.objective.direction, count):
        return StartingPoints(points, study=earlier.study)
    if not choose_sampler(context).learns:
        return StartingPoints(unfit=earlier.study)
    if not context.study.has_user_model and (portfolio := list_portfolio(spec.model, space)):
        return StartingPoints(portfolio[:count], unfit=earlier.study)
    has_defaults = bool(space.make_defaults()) or bool(context.undeclared)
    return StartingPoints(draws=count if has_defaults else 0, unfit=earlier.study)
