"""Ray Tune's schedulers and BOHB, called as its controller calls them, without its processes.

ASHA is Ray's: it stops trials at rungs and never goes on with a stopped one, its suggestions are random.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, HyperBandForBOHB, TrialScheduler
from ray.tune.search.bohb import TuneBOHB
from simulation import Searcher, Stretch
from surrogate import EPOCHS, SPACE

_METRIC = {"metric": "val_accuracy", "mode": "max"}
_RUNGS = (1, 4, 16)  # by ASHA's own defaults: a grace of 1, a reduction by 4


class RayAshaSearcher(Searcher):
    """Ray Tune's ASHA on random suggestions."""

    def __init__(self, seed: int) -> None:
        logging.getLogger("ray").setLevel(logging.ERROR)
        # Its first rung is epoch 1, which the surrogate spends on the untrained network.
        self.shift = 1
        self._epochs = EPOCHS - self.shift
        np.random.seed(seed)  # the scheduler draws from NumPy's global state
        self._random = np.random.default_rng(seed)
        self._scheduler = ASHAScheduler(time_attr="training_iteration", max_t=self._epochs, **_METRIC)

    def start(self) -> Stretch:
        """Return a random configuration up to its first rung."""
        trial = Trial("simulated", stub=True)
        self._scheduler.on_trial_add(None, trial)
        return Stretch(trial, draw_point(self._random), 0, _RUNGS[0])

    def proceed(self, done: Stretch, scores: Sequence[float]) -> Stretch | None:
        """Report the score at a rung, or the trial's result."""
        result = {"training_iteration": done.last, "val_accuracy": max(scores)}
        if done.last == self._epochs:
            self._scheduler.on_trial_complete(None, done.trial, result)
            return None
        if self._scheduler.on_trial_result(None, done.trial, result) == TrialScheduler.STOP:
            return None
        following = next((rung for rung in _RUNGS if rung > done.last), self._epochs)
        return Stretch(done.trial, done.point, done.last, following)


def draw_point(random: np.random.Generator) -> dict[str, float]:
    """Return a random configuration."""
    point: dict[str, float] = {}
    for name, declared in SPACE.items():
        low, high, at = declared["low"], declared["high"], random.random()
        if declared["type"] == "int" and not declared.get("log"):
            point[name] = int(low + np.floor(at * (high - low + 1)))
            continue
        value = low * (high / low) ** at if declared.get("log") else low + (high - low) * at
        point[name] = round(value) if declared["type"] == "int" else value
    return point


class RayBohbSearcher(Searcher):
    """Ray Tune's BOHB: Hyperband whose suggestions are HpBandSter's, trials paused and unpaused by its scheduler."""

    def __init__(self, seed: int) -> None:
        logging.getLogger("ray").setLevel(logging.ERROR)
        logging.getLogger("hpbandster").setLevel(logging.ERROR)
        self.shift = 1
        self._epochs = EPOCHS - self.shift
        np.random.seed(seed)  # HpBandSter draws from NumPy's global state
        self._searcher = TuneBOHB(_make_space(), seed=seed, **_METRIC)
        self._scheduler = HyperBandForBOHB(time_attr="training_iteration", max_t=self._epochs, **_METRIC)
        self._controller = _Controller(self._searcher)
        self._points: dict[str, dict[str, float]] = {}
        self._trained: dict[str, int] = {}

    def start(self) -> Stretch:
        """Return an epoch of the trial that the scheduler chooses: a new one, or a paused one."""
        if not any(trial.status == Trial.PENDING for trial in self._controller.trials):
            self._add_trial()
        trial = self._scheduler.choose_trial_to_run(self._controller)
        trial.set_status(Trial.RUNNING)
        return self._make_stretch(trial)

    def proceed(self, done: Stretch, scores: Sequence[float]) -> Stretch | None:
        """Report an epoch; the scheduler continues, pauses or stops the trial."""
        trial, self._trained[done.trial] = done.token, done.last
        result = {"training_iteration": done.last, "val_accuracy": max(scores)}
        decision = self._scheduler.on_trial_result(self._controller, trial, result)
        self._searcher.on_trial_result(trial.trial_id, result)
        if decision == TrialScheduler.CONTINUE and done.last < self._epochs:
            return self._make_stretch(trial)
        if decision == TrialScheduler.PAUSE:
            trial.set_status(Trial.PAUSED)
        else:
            self._controller.stop_trial(trial)
        return None

    def _add_trial(self) -> None:
        trial = Trial("simulated", stub=True)
        found = self._searcher.suggest(trial.trial_id)
        self._points[trial.trial_id] = {name: found[name] for name in SPACE}
        self._controller.trials.append(trial)
        self._scheduler.on_trial_add(self._controller, trial)

    def _make_stretch(self, trial: Trial) -> Stretch:
        trained = self._trained.get(trial.trial_id, 0)
        return Stretch(trial.trial_id, self._points[trial.trial_id], trained, trained + 1, trial)


class _Controller:
    """The part of Ray's controller that its scheduler calls."""

    def __init__(self, searcher: TuneBOHB) -> None:
        self.trials: list[Trial] = []
        self.search_alg = SimpleNamespace(searcher=searcher)

    def get_trials(self) -> list[Trial]:
        """Return every trial."""
        return self.trials

    def stop_trial(self, trial: Trial) -> None:
        """End a trial."""
        trial.set_status(Trial.TERMINATED)
        self.search_alg.searcher.on_trial_complete(trial.trial_id)


def _make_space() -> dict[str, object]:
    space: dict[str, object] = {}
    for name, declared in SPACE.items():
        low, high, is_log = declared["low"], declared["high"], declared.get("log")
        if declared["type"] == "int":
            space[name] = tune.lograndint(low, high + 1) if is_log else tune.randint(low, high + 1)
        else:
            space[name] = tune.loguniform(low, high) if is_log else tune.uniform(low, high)
    return space
