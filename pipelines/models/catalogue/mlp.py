"""The `mlp` family."""

from __future__ import annotations

from pipelines.models.catalogue.encoders import EMBEDDING_DIM
from pipelines.models.catalogue.family import Family
from pipelines.models.catalogue.shared import LAYERS, SHARED
from pipelines.models.hyperparameter import Hyperparameter

_PARAMETERS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "depth",
        "int",
        2,
        "Hidden layers; 0 is a linear or logistic regression.",
        low=0,
        high=4,
        least=0,
        most=100,
    ),
    Hyperparameter(
        "units",
        "int",
        64,
        "Width of the hidden layers.",
        low=16,
        high=256,
        log=True,
        per_layer=True,
        least=1,
        most=1_000_000,
    ),
    *LAYERS,
    EMBEDDING_DIM,
)

MLP = Family(
    name="mlp",
    parameters=(*_PARAMETERS, *SHARED),
    prefers="dense",
    takes=("dense", "codes", "text", "image", "series"),
    default_space="mlp",
    doc="Dense layers on a table's columns, averages of words, or a flattened image or series; linear at depth 0.",
)
