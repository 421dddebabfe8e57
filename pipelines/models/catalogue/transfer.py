"""The `transfer` family."""

from __future__ import annotations

from dataclasses import replace

from pipelines.models.catalogue.encoders import DENSE_UNITS
from pipelines.models.catalogue.family import Family
from pipelines.models.catalogue.shared import AUGMENTATION, LAYERS, SHARED
from pipelines.models.hyperparameter import Hyperparameter

BACKBONES = ("mobilenet_v2", "mobilenet_v3_small", "efficientnet_v2_b0", "resnet50", "densenet121", "convnext_tiny")
"""Models of `keras.applications`, the smaller ones first."""

_PARAMETERS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "backbone",
        "categorical",
        "mobilenet_v2",
        "Model of `keras.applications` without its top; `training.weights` has its weights.",
        choices=BACKBONES,
    ),
    Hyperparameter(
        "input_size",
        "int",
        0,
        "Pixels of the shorter side that the backbone gets; 0 = the image's own, at least 32.",
        low=0,
        high=224,
        least=0,
        most=4_096,
    ),
    Hyperparameter(
        "frozen_epochs",
        "int",
        5,
        "Epochs in which the backbone keeps its weights, while the layers behind it learn.",
        low=0,
        high=10,
        least=0,
    ),
    Hyperparameter(
        "fine_tune_factor",
        "float",
        0.1,
        "Learning rate of the backbone after these epochs, as a share of the learning rate.",
        low=0.001,
        high=1.0,
        log=True,
        least=0.0,
        most=1.0,
    ),
    Hyperparameter(
        "unfreeze_share",
        "float",
        1.0,
        "Share of the backbone's layers, counted from its end, that learn after these epochs; 0 = none.",
        low=0.0,
        high=1.0,
        least=0.0,
        most=1.0,
    ),
    Hyperparameter(
        "global_pooling",
        "categorical",
        "average",
        "Reduction of the backbone's image to a vector.",
        choices=("average", "max"),
    ),
)

TRANSFER = Family(
    name="transfer",
    parameters=(*_PARAMETERS, *AUGMENTATION, replace(DENSE_UNITS, default=0), *LAYERS, *SHARED),
    prefers="pixels",
    takes=("image",),
    needs="image",
    default_space="transfer",
    doc="A network of keras.applications on images, with weights from a file: frozen at first, then tuned.",
)
