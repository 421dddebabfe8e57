"""Catalogue of the learning-rate schedules: the hyperparameters of each, with ranges and defaults.

A hyperparameter is requested only where the chosen schedule uses it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.models.hyperparameter import Hyperparameter

SCHEDULES: Mapping[str, tuple[str, ...]] = {
    "constant": (),
    "exponential": ("decay_rate", "decay_epochs"),
    "inverse_time": ("decay_rate", "decay_epochs"),
    "piecewise": ("decay_rate", "decay_epochs"),
    "cosine": ("alpha", "decay_epochs"),
    "cosine_restarts": ("alpha", "decay_epochs", "t_mul", "m_mul"),
    "polynomial": ("alpha", "decay_epochs", "power"),
}
"""Per schedule its hyperparameters; all schedules have `warmup_epochs` in addition."""

_TINY = 1e-30  # in place of 0, since `least` is inclusive

SCHEDULE_PARAMETERS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "schedule",
        "categorical",
        "constant",
        "Course of the learning rate over the training.",
        choices=tuple(SCHEDULES),
    ),
    Hyperparameter(
        "warmup_epochs",
        "int",
        0,
        "Epochs over which the learning rate first rises linearly from 0; the schedule begins after them.",
        low=0,
        high=10,
        least=0,
    ),
    Hyperparameter(
        "decay_rate",
        "float",
        0.1,
        "Factor on the learning rate per decay_epochs (exponential, piecewise); its divisor's growth "
        "(inverse_time: rate / (1 + decay_rate x epochs / decay_epochs)).",
        low=0.01,
        high=1.0,
        log=True,
        least=_TINY,
    ),
    Hyperparameter(
        "decay_epochs",
        "int",
        0,
        "Epochs of one decay. 0 = all epochs after the warm-up; a third of them for piecewise and for the "
        "first period of cosine_restarts.",
        low=0,
        high=100,
        least=0,
    ),
    Hyperparameter(
        "alpha",
        "float",
        0.0,
        "Last learning rate as a share of the first (cosine, cosine_restarts, polynomial).",
        low=0.0,
        high=0.2,
        least=0.0,
        most=1.0,
    ),
    Hyperparameter("power", "float", 1.0, "Exponent of the polynomial; 1 is linear.", low=0.5, high=3.0, least=_TINY),
    Hyperparameter(
        "t_mul",
        "float",
        2.0,
        "Growth of the period from one restart to the next (cosine_restarts).",
        low=1.0,
        high=3.0,
        least=1.0,
    ),
    Hyperparameter(
        "m_mul",
        "float",
        1.0,
        "Factor on the learning rate from one restart to the next (cosine_restarts).",
        low=0.5,
        high=1.0,
        least=_TINY,
    ),
)
