"""Number of combinations in a study's space, and the cuts of its grid, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from pipelines.study.model_hyperparameters import find_undeclared
from pipelines.study.study import Study
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.parameters import Categorical, Fixed
from search_spaces.request_draws import list_request_values
from search_spaces.suggest import MOST_COUNTED, count_points, generate_grid, list_grid_values
from search_spaces.values import Value


@dataclass(frozen=True)
class Combinations:
    """Combinations of hyperparameters that a study can try.

    Attributes:
        count: their number; None where it is too large to be counted, as with real numbers.
        is_exact: False where code decides which hyperparameters a trial has.
        searches: whether any hyperparameter is searched.
        cuts: a line for each range of which a grid tries only some values.
        extra: trials of points that the file lists again, or that are on no grid.
        repeats: whether the only combination of a study that searches nothing is trained again, with other seeds.
    """

    count: int | None
    is_exact: bool
    searches: bool
    cuts: tuple[str, ...] = ()
    extra: int = 0
    repeats: bool = False

    def limit_trials(self, trials: int) -> int:
        """Return how many of so many trials there can be: fewer where the combinations are known to be fewer."""
        return min(trials, self.count + self.extra) if self.is_exact and self.count and not self.repeats else trials

    def describe(self, study: Study) -> tuple[str, ...]:
        """Return in lines how many there are and what follows for the trials; no line where nothing follows."""
        trials, is_grid = study.spec.budget.trials, study.spec.search.sampler == "grid"
        if self.repeats:
            return (f"nothing is searched: {trials} trials differ by their seeds alone",) if trials > 1 else ()
        if self.count is None:
            return self.cuts
        if self.count == 0 and self.is_exact:
            return ("no combination of the space keeps its constraints",)
        number = f"{self.count:,} combination{'s' if self.count > 1 else ''}"
        # Conditions in code show only in trials: there may be fewer, and more where the check missed a branch.
        number = number if self.is_exact else f"about {number}, by what the check saw"
        end = ": the search ends when each was tried" if self.count < trials else ""
        if is_grid and self.count > trials:
            end = f": the first {trials} are tried (budget.trials)"
        return (f"the {'grid' if is_grid else 'space'} has {number}{end}", *self.cuts)


def count_combinations(study: Study, requests: Sequence[HyperparameterRequest]) -> Combinations:
    """Return the combinations of a study's space and of what its user model's code requests besides.

    Args:
        study: the study.
        requests: hyperparameters that the code requested when it was checked; none for a shipped family.
    """
    is_grid = study.spec.search.sampler == "grid"
    undeclared = find_undeclared(requests, study.space.parameters) if study.searches_undeclared else ()
    declared = count_points(study.space, grid=is_grid)
    sizes: dict[str, int | None] = {}
    for request in undeclared:  # one name may have several ranges, each under a condition of the code
        values, before = list_request_values(request, grid=is_grid), sizes.get(request.name, 0)
        sizes[request.name] = None if values is None or before is None else before + len(values)
    known = [size for size in (declared, *sizes.values()) if size is not None]
    count = prod(known) if len(known) == len(sizes) + 1 else None
    searches = bool(undeclared) or not all(isinstance(each, Fixed) for each in study.space.declared)
    return Combinations(
        count if count is not None and count <= MOST_COUNTED else None,
        is_exact=not study.has_user_model,
        searches=searches,
        cuts=tuple(_list_cuts(study, undeclared)) if is_grid else (),
        extra=0 if declared is None else _count_extra(study, is_grid=is_grid),
        repeats=not searches and study.spec.search.repeat == "auto",
    )


def _count_extra(study: Study, *, is_grid: bool) -> int:
    """Return the number of points of the file that are no combination of their own."""
    space = study.space
    points = space.list_start_points() if is_grid else space.list_points()
    if not points:
        return 0
    unlike = {frozenset(point.items()) for point in points}
    if is_grid:
        # What a point leaves open is drawn from the grid.
        grid = [frozenset(point.items()) for point in generate_grid(space)]
        unlike = {point for point in unlike if any(point <= each for each in grid)}
    off_grid = len({frozenset(point.items()) for point in points} - unlike)
    return len(points) - len(unlike) if study.spec.search.repeat == "auto" else off_grid


def _list_cuts(study: Study, undeclared: Sequence[HyperparameterRequest]) -> Iterator[str]:
    for parameter in study.space.declared:
        values = list_grid_values(parameter)
        if not isinstance(parameter, (Categorical, Fixed)) and parameter.count != len(values):
            yield _format_cut(parameter.name, values)
    for request in undeclared:
        tried, every = list_request_values(request, grid=True), list_request_values(request)
        if tried is not None and (every is None or len(every) > len(tried)):
            yield _format_cut(request.name, tried)


def _format_cut(name: str, values: Sequence[Value]) -> str:
    listed = ", ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)
    return f"the grid cuts {name} into {listed}; give it a step or a list for other values"
