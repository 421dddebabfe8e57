"""Optuna by ask and tell, on its storage in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import optuna
from simulation import Searcher, Stretch
from surrogate import EPOCHS, SPACE


class OptunaSearcher(Searcher):
    """An Optuna study."""

    def __init__(self, sampler: str, pruner: str, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        # Their first rung is epoch 1, which the surrogate spends on the untrained network.
        self.shift = int(pruner in ("hyperband", "successive-halving"))
        self._epochs = EPOCHS - self.shift
        self._study = optuna.create_study(
            direction="maximize", sampler=_make_sampler(sampler, seed), pruner=_make_pruner(pruner, self._epochs)
        )
        self._rungs = _list_rungs(pruner, self._epochs)

    def start(self) -> Stretch:
        """Return the next trial up to its first rung."""
        trial = self._study.ask()
        return Stretch(trial, {name: _suggest(trial, name) for name in SPACE}, 0, self._find_rung(0))

    def proceed(self, done: Stretch, scores: Sequence[float]) -> Stretch | None:
        """Report the score at a rung, or the trial's result."""
        trial = done.trial
        if done.last == self._epochs:
            self._study.tell(trial, max(scores))
            return None
        trial.report(max(scores), done.last)
        if trial.should_prune():
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return None
        return Stretch(trial, done.point, done.last, self._find_rung(done.last))

    def _find_rung(self, trained: int) -> int:
        return next((rung for rung in self._rungs if rung > trained), self._epochs)


def _make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    samplers = optuna.samplers
    makers = {
        "random": samplers.RandomSampler,
        "tpe": samplers.TPESampler,
        "gp": samplers.GPSampler,
        "cma-es": samplers.CmaEsSampler,
        "qmc": samplers.QMCSampler,
    }
    return makers[name](seed=seed)


def _make_pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    pruners = optuna.pruners
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=epochs // 5)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
    if name == "successive-halving":
        return pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    return pruners.NopPruner()


def _list_rungs(pruner: str, epochs: int) -> list[int]:
    if pruner == "none":
        return []
    if pruner == "median":
        return list(range(6, epochs, 6))
    return [rung for rung in (1, 3, 9, 27) if rung < epochs]


def _suggest(trial: optuna.Trial, name: str) -> float:
    declared = SPACE[name]
    suggest = trial.suggest_int if declared["type"] == "int" else trial.suggest_float
    return suggest(name, declared["low"], declared["high"], log=declared.get("log", False))
