"""Importance of hyperparameters with intervals: PED-ANOVA over the trials, and over samples of them.

Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces",
2023, as Optuna implements it.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from search_spaces.values import Direction
from tracking.reports.content import ReportParameter, ReportTrial
from tracking.reports.figures.scale import is_number

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

# Chosen: with fewer trials each further one changes the shares.
FEWEST: Final = 8
MOST: Final = 1000
"""Trials that importances are computed from: the best and the latest would mislead, so it is a random sample."""
_SAMPLES: Final = 20
_MANY: Final = 200
_LOG_RATIO: Final = 100
_TAIL: Final = 0.05


@dataclass(frozen=True)
class Importance:
    """Importance of a parameter: its share, and the range of that share over samples of the trials (90 %)."""

    name: str
    share: float
    low: float
    high: float


def compute_importances(
    trials: Sequence[ReportTrial], parameters: Sequence[ReportParameter], direction: Direction
) -> dict[str, float]:
    """Return the importance of each parameter, largest first; empty where it is unknown."""
    usable = _select(trials)
    distributions = _list_distributions(usable, parameters)
    return _evaluate(_freeze(usable, distributions), direction) if distributions else {}


def estimate_importances(
    trials: Sequence[ReportTrial], parameters: Sequence[ReportParameter], direction: Direction
) -> list[Importance]:
    """Return the importance of each parameter with its interval, largest first; empty where it is unknown."""
    usable = _select(trials)
    distributions = _list_distributions(usable, parameters)
    if not distributions:
        return []
    frozen = _freeze(usable, distributions)
    shares = _evaluate(frozen, direction)
    chance = random.Random(0)
    # Of many trials a sample varies little, and takes a tenth of a second.
    count = _SAMPLES if len(frozen) <= _MANY else _SAMPLES // 2
    sampled = [_evaluate(chance.choices(frozen, k=len(frozen)), direction) for _ in range(count)]
    found = []
    for name, share in shares.items():
        values = sorted(each.get(name, 0.0) for each in sampled)
        cut = round(_TAIL * len(values))
        found.append(Importance(name, share, min(values[cut], share), max(values[-1 - cut], share)))
    return found


def _select(trials: Sequence[ReportTrial]) -> list[ReportTrial]:
    usable = [trial for trial in trials if trial.is_complete]
    if len(usable) < FEWEST or len({trial.score for trial in usable}) < 2:
        return []
    return random.Random(0).sample(usable, MOST) if len(usable) > MOST else usable


def _list_distributions(
    trials: Sequence[ReportTrial], parameters: Sequence[ReportParameter]
) -> dict[str, BaseDistribution]:
    """Return a distribution over the values that were tried, for each parameter with more than one."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    declared = {parameter.name: parameter for parameter in parameters}
    found: dict[str, BaseDistribution] = {}
    for name in dict.fromkeys(name for trial in trials for name in trial.params):
        values = [trial.params[name] for trial in trials if name in trial.params]
        # As text, because true equals 1.
        if len({str(value) for value in values}) < 2:
            continue
        if all(is_number(value) for value in values):
            numbers = [float(value) for value in values]  # type: ignore[arg-type]
            low, high = min(numbers), max(numbers)
            known = declared.get(name)
            is_log = known.is_log if known else low > 0 and high / low >= _LOG_RATIO
            found[name] = FloatDistribution(low, high, log=is_log and low > 0)
        else:
            found[name] = CategoricalDistribution(list(dict.fromkeys(map(str, values))))
    return found


def _freeze(
    trials: Sequence[ReportTrial], distributions: Mapping[str, BaseDistribution]
) -> list[optuna.trial.FrozenTrial]:
    import optuna

    frozen = []
    for trial in trials:
        present = {name: each for name, each in distributions.items() if name in trial.params}
        # A category is its text: Optuna takes true and 1 for one choice.
        params = {
            name: str(trial.params[name]) if hasattr(each, "choices") else trial.params[name]
            for name, each in present.items()
        }
        frozen.append(optuna.trial.create_trial(params=params, distributions=present, value=trial.score))
    return frozen


def _evaluate(frozen: Sequence[optuna.trial.FrozenTrial], direction: Direction) -> dict[str, float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = optuna.importance.get_param_importances(_make_study(frozen, direction))
        except (ValueError, RuntimeError):
            # Too few trials share a parameter; the report then shows no importances.
            return {}
    return {name: float(weight) for name, weight in found.items() if math.isfinite(weight)}


def _make_study(frozen: Sequence[optuna.trial.FrozenTrial], direction: Direction) -> optuna.Study:
    """Return a study with these trials, some of which may be the same: a storage would copy each of them deeply."""
    import optuna

    trials = [
        optuna.trial.FrozenTrial(
            number, trial.state, trial.value, None, None, trial.params, trial.distributions, {}, {}, {}, number
        )
        for number, trial in enumerate(frozen)
    ]

    class Trials(optuna.Study):
        def get_trials(self, deepcopy: bool = True, states: object = None) -> list[optuna.trial.FrozenTrial]:
            return trials

    storage = optuna.storages.InMemoryStorage()
    return Trials(optuna.create_study(direction=direction, storage=storage).study_name, storage)
