"""Catalogue of the optimizers and gradient clips: the hyperparameters of each, with ranges and defaults.

A hyperparameter is requested only if the chosen optimizer or clip uses it. If the space does not declare it, Keras's
default for that optimizer holds (SGD's momentum is 0, Muon's 0.95). Two kinds are left out: the wrappers, and
`ScheduleFreeAdamW`, whose averaged weights Keras 3.15 never uses in evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.models.hyperparameter import Hyperparameter
from search_spaces.values import Value

# Per optimizer: our hyperparameter -> (argument of the Keras class, Keras's default for it).
_ADAM = {"beta_1": ("beta_1", 0.9), "beta_2": ("beta_2", 0.999), "epsilon": ("epsilon", 1e-7)}
_DECAY = {"weight_decay": ("weight_decay", 0.0)}
_RATE = {"learning_rate": ("learning_rate", 0.001)}

OPTIMIZERS: Mapping[str, Mapping[str, tuple[str, Value]]] = {
    "sgd": {
        "learning_rate": ("learning_rate", 0.01),
        "momentum": ("momentum", 0.0),
        "nesterov": ("nesterov", False),
        **_DECAY,
    },
    "adam": {**_RATE, **_ADAM, "amsgrad": ("amsgrad", False), **_DECAY},
    "adamw": {**_RATE, **_ADAM, "amsgrad": ("amsgrad", False), "weight_decay": ("weight_decay", 0.004)},
    "adamax": {**_RATE, **_ADAM, **_DECAY},
    "nadam": {**_RATE, **_ADAM, **_DECAY},
    "lamb": {**_RATE, **_ADAM, **_DECAY},
    "lion": {**_RATE, "beta_1": ("beta_1", 0.9), "beta_2": ("beta_2", 0.99), **_DECAY},
    "rmsprop": {
        **_RATE,
        "rho": ("rho", 0.9),
        "momentum": ("momentum", 0.0),
        "centered": ("centered", False),
        "epsilon": ("epsilon", 1e-7),
        **_DECAY,
    },
    "adagrad": {
        **_RATE,
        "initial_accumulator_value": ("initial_accumulator_value", 0.1),
        "epsilon": ("epsilon", 1e-7),
        **_DECAY,
    },
    "adadelta": {**_RATE, "rho": ("rho", 0.95), "epsilon": ("epsilon", 1e-7), **_DECAY},
    "adafactor": {
        **_RATE,
        "beta_2_decay": ("beta_2_decay", -0.8),
        "epsilon_1": ("epsilon_1", 1e-30),
        "epsilon_2": ("epsilon_2", 0.001),
        "adafactor_clip": ("clip_threshold", 1.0),
        "relative_step": ("relative_step", True),
        **_DECAY,
    },
    "ftrl": {
        **_RATE,
        "initial_accumulator_value": ("initial_accumulator_value", 0.1),
        "learning_rate_power": ("learning_rate_power", -0.5),
        "ftrl_l1": ("l1_regularization_strength", 0.0),
        "ftrl_l2": ("l2_regularization_strength", 0.0),
        "ftrl_l2_shrinkage": ("l2_shrinkage_regularization_strength", 0.0),
        "ftrl_beta": ("beta", 0.0),
        **_DECAY,
    },
    # `beta_1` and `beta_2` are those of its inner AdamW, for the weights that Muon leaves to it.
    "muon": {
        **_RATE,
        "momentum": ("momentum", 0.95),
        "nesterov": ("nesterov", True),
        "beta_1": ("adam_beta_1", 0.9),
        "beta_2": ("adam_beta_2", 0.999),
        "epsilon": ("epsilon", 1e-7),
        "newton_schulz_steps": ("ns_steps", 5),
        "weight_decay": ("weight_decay", 0.004),
    },
}

CLIPS: Mapping[str, str] = {"norm": "clipnorm", "value": "clipvalue", "global_norm": "global_clipnorm"}
"""Per clip the argument of Keras's optimizers that gets `clip_threshold`; the choice `none` has no argument."""

_TINY = 1e-30  # in place of 0, since `least` is inclusive

OPTIMIZER_PARAMETERS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "optimizer", "categorical", "adam", "Keras optimizer by its class's name.", choices=tuple(OPTIMIZERS)
    ),
    Hyperparameter(
        "learning_rate",
        "float",
        0.001,
        "Step size; where a schedule or a warm-up is on, its highest value. Keras's default is 0.01 for sgd.",
        low=1e-4,
        high=1e-1,
        log=True,
        least=_TINY,
    ),
    Hyperparameter(
        "momentum",
        "float",
        0.0,
        "Share of the previous step that is kept (sgd, rmsprop; muon, where 0.95 is the default).",
        low=0.0,
        high=0.99,
        least=0.0,
        most=1.0,
    ),
    Hyperparameter(
        "nesterov",
        "categorical",
        False,
        "Nesterov's momentum: look ahead by one step (sgd; muon, where true is the default).",
        choices=(True, False),
    ),
    Hyperparameter(
        "weight_decay",
        "float",
        0.0,
        "Decoupled weight decay, 0 = off; 0.004 is the default of adamw and muon. Not the same as `l2`.",
        low=0.0,
        high=0.1,
        least=0.0,
    ),
    Hyperparameter(
        "beta_1",
        "float",
        0.9,
        "Decay of the first moment (adam, adamw, adamax, nadam, lamb, lion; muon for its Adam part).",
        low=0.8,
        high=0.99,
        least=0.0,
        most=0.999999,
    ),
    Hyperparameter(
        "beta_2",
        "float",
        0.999,
        "Decay of the second moment (as beta_1; 0.99 is lion's default).",
        low=0.9,
        high=0.9999,
        least=0.0,
        most=0.999999,
    ),
    Hyperparameter(
        "epsilon",
        "float",
        1e-7,
        "Added to a divisor for stability (adam, adamw, adamax, nadam, lamb, rmsprop, adagrad, adadelta, muon).",
        low=1e-8,
        high=1e-3,
        log=True,
        least=_TINY,
    ),
    Hyperparameter(
        "rho",
        "float",
        0.9,
        "Decay of the squared gradients' mean (rmsprop; adadelta, where 0.95 is the default).",
        low=0.8,
        high=0.99,
        least=0.0,
        most=0.999999,
    ),
    Hyperparameter("amsgrad", "categorical", False, "The AMSGrad variant (adam, adamw).", choices=(True, False)),
    Hyperparameter(
        "centered",
        "categorical",
        False,
        "Divide by the gradients' variance instead of their mean square (rmsprop).",
        choices=(True, False),
    ),
    Hyperparameter(
        "initial_accumulator_value",
        "float",
        0.1,
        "Start of the squared gradients' sum (adagrad, ftrl).",
        low=1e-3,
        high=1.0,
        log=True,
        least=0.0,
    ),
    Hyperparameter(
        "beta_2_decay",
        "float",
        -0.8,
        "Exponent of the second moment's decay (adafactor).",
        low=-1.0,
        high=-0.5,
        most=0.0,
    ),
    Hyperparameter(
        "epsilon_1",
        "float",
        1e-30,
        "Added to the squared gradients (adafactor).",
        low=1e-30,
        high=1e-8,
        log=True,
        least=_TINY,
    ),
    Hyperparameter(
        "epsilon_2",
        "float",
        0.001,
        "Smallest scale of a parameter that steps are relative to (adafactor).",
        low=1e-5,
        high=1e-2,
        log=True,
        least=_TINY,
    ),
    Hyperparameter(
        "adafactor_clip",
        "float",
        1.0,
        "Adafactor's clipping of its update, by root mean square (Keras: clip_threshold).",
        low=0.1,
        high=10.0,
        log=True,
        least=_TINY,
    ),
    Hyperparameter(
        "relative_step",
        "categorical",
        True,
        "Let the step size fall with the square root of the steps (adafactor).",
        choices=(True, False),
    ),
    Hyperparameter(
        "learning_rate_power",
        "float",
        -0.5,
        "Exponent of the step size's fall; 0 keeps it (ftrl).",
        low=-1.0,
        high=0.0,
        most=0.0,
    ),
    Hyperparameter("ftrl_l1", "float", 0.0, "L1 strength of FTRL.", low=0.0, high=0.01, least=0.0),
    Hyperparameter("ftrl_l2", "float", 0.0, "L2 strength of FTRL.", low=0.0, high=0.01, least=0.0),
    Hyperparameter(
        "ftrl_l2_shrinkage",
        "float",
        0.0,
        "FTRL's L2 strength on the gradient, not on the stored sum.",
        low=0.0,
        high=0.01,
        least=0.0,
    ),
    Hyperparameter("ftrl_beta", "float", 0.0, "FTRL's beta.", low=0.0, high=1.0, least=0.0),
    Hyperparameter(
        "newton_schulz_steps",
        "int",
        5,
        "Iterations that make the update orthogonal (muon).",
        low=1,
        high=10,
        least=1,
        most=100,
    ),
    Hyperparameter(
        "use_ema",
        "categorical",
        False,
        "Replace the weights by their moving average at the end of each epoch.",
        choices=(True, False),
    ),
    Hyperparameter(
        "ema_momentum",
        "float",
        0.99,
        "Share of the moving average that a step keeps (use_ema).",
        low=0.9,
        high=0.999,
        least=0.0,
        most=1.0,
    ),
    Hyperparameter(
        "clip",
        "categorical",
        "none",
        "Gradient clipping: by each tensor's norm, by value, or by the norm over all tensors.",
        choices=("none", *CLIPS),
    ),
    Hyperparameter(
        "clip_threshold",
        "float",
        1.0,
        "Threshold of the gradient clipping.",
        low=0.01,
        high=10.0,
        log=True,
        least=_TINY,
    ),
)
