"""Cost of suggesting a trial in a conditional space of 20 parameters, and of passing it to a KerasTuner hypermodel.

Three ways to get the same values, alternated in one run, with Optuna's random sampler in memory: a hand-written Optuna
objective; our space (`suggest`); our space and then the requests of a hypermodel answered from it (the bridge).

    python benchmarks/ask_cost.py [--trials N] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_tuner
import optuna

from search_spaces.hyperparameters import TrialHyperParameters
from search_spaces.parse import parse_space_dict
from search_spaces.suggest import suggest

OPTIMIZERS = ("sgd", "adam", "rmsprop")
OWN = {"sgd": ("momentum", 0.0, 0.99), "adam": ("beta_1", 0.8, 0.99), "rmsprop": ("rho", 0.8, 0.99)}
LAYERS = 5
SPACE = parse_space_dict(
    {
        "depth": {"type": "int", "low": 1, "high": LAYERS},
        "units": {"type": "int", "low": 16, "high": 256, "log": True, "repeat": "depth"},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5, "repeat": "depth"},
        "activation": ["relu", "tanh", "silu"],
        "batch_size": [32, 64, 128],
        "l2": {"type": "float", "low": 1e-8, "high": 1e-2, "log": True},
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "optimizer": list(OPTIMIZERS),
        **{
            name: {"type": "float", "low": low, "high": high, "when": {"optimizer": optimizer}}
            for optimizer, (name, low, high) in OWN.items()
        },
        "epochs": 20,
    }
)


def by_hand(trial: optuna.Trial) -> None:
    """Ask Optuna as its documentation shows."""
    for layer in range(1, trial.suggest_int("depth", 1, LAYERS) + 1):
        trial.suggest_int(f"units_{layer}", 16, 256, log=True)
        trial.suggest_float(f"dropout_{layer}", 0.0, 0.5)
    trial.suggest_categorical("activation", ["relu", "tanh", "silu"])
    trial.suggest_categorical("batch_size", [32, 64, 128])
    trial.suggest_float("l2", 1e-8, 1e-2, log=True)
    trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    trial.suggest_float(*OWN[trial.suggest_categorical("optimizer", OPTIMIZERS)])


def ours(trial: optuna.Trial) -> None:
    """Ask through a space."""
    suggest(SPACE, trial)


def bridged(trial: optuna.Trial) -> None:
    """Ask through a space, and let a hypermodel ask for every value."""
    hypermodel(TrialHyperParameters(suggest(SPACE, trial)))


def hypermodel(hp: keras_tuner.HyperParameters) -> None:
    """Ask as a KerasTuner hypermodel does; builds nothing."""
    for layer in range(1, hp.Int("depth", 1, LAYERS) + 1):
        hp.Int(f"units_{layer}", 16, 256, sampling="log")
        hp.Float(f"dropout_{layer}", 0.0, 0.5)
    hp.Choice("activation", ["relu", "tanh", "silu"])
    hp.Choice("batch_size", [32, 64, 128])
    hp.Float("l2", 1e-8, 1e-2, sampling="log")
    hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    chosen = hp.Choice("optimizer", list(OPTIMIZERS))
    name, low, high = OWN[chosen]
    hp.Float(name, low, high)


def main() -> None:
    """Alternate the three and print each one's cost a trial, and its ratio to the hand-written one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ways = {"Optuna by hand": by_hand, "kerastudy space": ours, "space and bridge": bridged}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            costs[name].append(_ms_a_trial(way, options.trials))
    print(f"{len(SPACE.parameters)} parameters, {options.trials} trials, {options.rounds} alternated rounds")
    for name, each in costs.items():
        ratios = [ours_ms / by_hand_ms for ours_ms, by_hand_ms in zip(each, costs["Optuna by hand"], strict=True)]
        print(
            f"{name:<18}{statistics.median(each):6.2f} ms a trial ({min(each):.2f} to {max(each):.2f}), "
            f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def _ms_a_trial(way: Callable[[optuna.Trial], None], trials: int) -> float:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    started = time.perf_counter()
    for number in range(trials):
        trial = study.ask()
        way(trial)
        study.tell(trial, float(number))
    return (time.perf_counter() - started) / trials * 1000


if __name__ == "__main__":
    main()
