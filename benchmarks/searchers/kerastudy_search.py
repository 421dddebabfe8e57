"""kerastudy's search: the class that a study's supervisor drives, on an SQLite database."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from simulation import Searcher, Stretch
from surrogate import EPOCHS, SPACE

from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.sampler_choice import GP_TRIALS
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import SearchSpec
from pipelines.study.objective import Objective
from search_spaces.parse import parse_space_dict
from tracking.store.database import Store

_ACCURACY = Objective("val_accuracy", "maximize")
_names = itertools.count()


class KerastudySearcher(Searcher):
    """A study's search.

    Args:
        start_from: configurations to try first.
        folder: of the database.
    """

    def __init__(
        self, sampler: str, pruner: str, seed: int, folder: Path, start_from: Sequence[Mapping[str, float]] = ()
    ) -> None:
        self.shift = 0  # no rung of its pruners is epoch 1
        points = {"start_from": [dict(point) for point in start_from]} if start_from else {}
        is_in_turn = sampler == "gp-then-tpe"
        spec = SearchSpec(sampler="tpe" if is_in_turn else sampler, pruner=pruner, seed=seed)
        space = parse_space_dict({**SPACE, **points})
        settings = SearchSettings(space, _ACCURACY, spec, EPOCHS, gp_trials=GP_TRIALS if is_in_turn else 0)
        self._search = OptunaSearch(_open_storage(folder), f"study-{next(_names)}", settings)
        self._trained: dict[object, int] = {}
        self._rungs = sorted(rung + 1 for rung in self._search.rungs if rung + 1 < EPOCHS)

    def weigh_costs(self, estimate: Callable[[Mapping[str, float]], float]) -> None:
        """Let the Gaussian process weigh improvement by the seconds of a training."""
        self._search.weigh_costs(estimate)

    def start(self) -> Stretch | None:
        """Return a paused trial that goes on, or else a new one, up to its next rung."""
        if (paused := self._search.choose_paused()) is not None:
            number, values = self._search.resume_paused(paused)
            trained = self._trained[number]
            return Stretch(number, values, trained, self._find_rung(trained))
        asked = self._search.ask()
        return None if asked is None else Stretch(*asked, 0, self._find_rung(0))

    def observe(self, work: Stretch, epochs: int, score: float) -> None:
        """Report an epoch, as a study's supervisor does while the trial trains."""
        self._search.report_epoch(work.trial, epochs, score)

    def proceed(self, done: Stretch, scores: Sequence[float]) -> Stretch | None:
        """Record the end of a stretch; the search decides at a rung."""
        number, best = done.trial, max(scores)
        self._trained[number] = done.last
        summary = TrialSummary(number, "complete", best, done.point, best_epoch=list(scores).index(best) + 1)
        if done.last == EPOCHS:
            self._search.tell(summary)
            return None
        decision = self._search.decide_at_rung(number, done.last - 1, best)
        if decision == "go_on":
            return Stretch(number, done.point, done.last, self._find_rung(done.last))
        if decision == "pause":
            self._search.pause(replace(summary, state="paused"))
        else:
            self._search.tell(replace(summary, state="pruned"))
        return None

    def _find_rung(self, trained: int) -> int:
        return next((rung for rung in self._rungs if rung > trained), EPOCHS)


@cache
def _open_storage(folder: Path) -> object:
    return Store.open(folder).open_optuna_storage()
