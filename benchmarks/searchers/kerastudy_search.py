"""kerastudy's search: the classes that a study's supervisor drives, on an SQLite database."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from simulation import Stretch
from surrogate import EPOCHS, SPACE

from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import SearchSpec
from pipelines.study.objective import Objective
from search_spaces.parse import parse_space_dict
from tracking.store.database import Store

_ACCURACY = Objective("val_accuracy", "maximize")
_names = itertools.count()


class KerastudySearcher:
    """A study's search.

    Args:
        start_from: configurations to try first.
        folder: of the database.
    """

    def __init__(
        self, sampler: str, pruner: str, seed: int, folder: Path, start_from: Sequence[Mapping[str, float]] = ()
    ) -> None:
        # Hyperband's first rung is epoch 1, which the surrogate spends on the untrained network.
        self.shift = int(pruner == "hyperband")
        self._epochs = EPOCHS - self.shift
        space = parse_space_dict(
            {**SPACE, "start_from": [dict(point) for point in start_from]} if start_from else SPACE
        )
        spec = SearchSpec(sampler=sampler, pruner=pruner, seed=seed)
        settings = SearchSettings(space, _ACCURACY, spec, self._epochs)
        self._search = OptunaSearch(_open_storage(folder), f"study-{next(_names)}", settings)
        self._rungs = sorted(rung + 1 for rung in self._search.rungs if rung + 1 < self._epochs)

    def start(self) -> Stretch | None:
        """Return the next trial up to its first rung."""
        asked = self._search.ask()
        if asked is None:
            return None
        number, values = asked
        return Stretch(number, values, 0, self._find_rung(0))

    def proceed(self, done: Stretch, scores: Sequence[float]) -> Stretch | None:
        """Report the score at a rung, or the trial's result."""
        best = max(scores)
        if done.last == self._epochs:
            self._tell(done, "complete", best, scores)
            return None
        if self._search.should_prune(done.trial, done.last - 1, best):
            self._tell(done, "pruned", best, scores)
            return None
        return Stretch(done.trial, done.point, done.last, self._find_rung(done.last))

    def _find_rung(self, trained: int) -> int:
        return next((rung for rung in self._rungs if rung > trained), self._epochs)

    def _tell(self, done: Stretch, state: str, best: float, scores: Sequence[float]) -> None:
        epoch = list(scores).index(best) + 1
        self._search.tell(TrialSummary(done.trial, state, best, done.point, best_epoch=epoch))


@cache
def _open_storage(folder: Path) -> object:
    return Store.open(folder).open_optuna_storage()
