"""The trial's Keras optimizer: class, arguments, learning-rate schedule and gradient clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.optimizer_catalogue import CLIPS, OPTIMIZERS
from pipelines.models.schedules import build_schedule

OptimizerClass = type[keras.optimizers.Optimizer]

OPTIMIZER_CLASSES: Mapping[str, OptimizerClass] = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
    "lamb": keras.optimizers.Lamb,
    "lion": keras.optimizers.Lion,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "adafactor": keras.optimizers.Adafactor,
    "ftrl": keras.optimizers.Ftrl,
    "muon": keras.optimizers.Muon,
}


def build_optimizer(
    requests: HyperparameterRequests,
    steps_per_epoch: int,
    epochs: int,
    adapt: Callable[[OptimizerClass], OptimizerClass] | None = None,
) -> keras.optimizers.Optimizer:
    """Return the optimizer with every argument that the trial sets, and Keras's defaults for the rest.

    Args:
        requests: the trial's values.
        steps_per_epoch: steps of the optimizer, for schedules.
        epochs: the trial's epochs.
        adapt: makes another class of the optimizer's class.
    """
    name = requests.get_value("optimizer")
    default_rate = OPTIMIZERS[name]["learning_rate"][1]
    arguments = {
        **_read_optimizer_arguments(requests, name),
        **_read_clip_arguments(requests),
        **_read_average_arguments(requests, steps_per_epoch),
    }
    rate = build_schedule(requests, requests.get_value("learning_rate", default_rate), steps_per_epoch, epochs)
    found = OPTIMIZER_CLASSES[name]
    return (adapt(found) if adapt else found)(learning_rate=rate, **arguments)


def _read_optimizer_arguments(requests: HyperparameterRequests, optimizer: str) -> dict[str, Any]:
    with requests.condition_on("optimizer", optimizer):
        arguments = {
            argument: requests.get_value(parameter, default)
            for parameter, (argument, default) in OPTIMIZERS[optimizer].items()
            if parameter != "learning_rate"
        }
    if arguments["weight_decay"] == OPTIMIZERS[optimizer]["weight_decay"][1] == 0:
        arguments["weight_decay"] = None  # saves a pass over the weights; adamw refuses None
    if optimizer == "muon":  # the part of the weights that Muon leaves to its inner AdamW
        arguments["adam_weight_decay"] = arguments["weight_decay"]
    return arguments


def _read_clip_arguments(requests: HyperparameterRequests) -> dict[str, Any]:
    clip = requests.get_value("clip")
    if clip == "none":
        return {}
    with requests.condition_on("clip", clip):
        return {CLIPS[clip]: requests.get_value("clip_threshold")}


def _read_average_arguments(requests: HyperparameterRequests, steps_per_epoch: int) -> dict[str, Any]:
    if not requests.get_value("use_ema"):
        return {}
    with requests.condition_on("use_ema", True):
        momentum = requests.get_value("ema_momentum")
    # By default Keras sets the averaged weights only after the last epoch; each epoch's score needs them.
    return {"use_ema": True, "ema_momentum": momentum, "ema_overwrite_frequency": steps_per_epoch}
