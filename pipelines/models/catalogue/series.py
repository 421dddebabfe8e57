"""The `series` family."""

from __future__ import annotations

from pipelines.models.catalogue.encoders import DENSE_UNITS, EMBEDDING_DIM, SERIES_ENCODER
from pipelines.models.catalogue.family import Family
from pipelines.models.catalogue.shared import LAYERS, SHARED
from pipelines.models.hyperparameter import Hyperparameter

_SCALING = Hyperparameter(
    "scaling",
    "categorical",
    "none",
    "Scale on which the target's past is read and a forecast made: that of all training windows, or of each window, "
    "whose mean is subtracted and whose spread divides. `window` suits series that drift, and shops of several sizes.",
    choices=("none", "window"),
    forms=("past",),
)

SERIES = Family(
    name="series",
    parameters=(*SERIES_ENCODER, _SCALING, *LAYERS, DENSE_UNITS, EMBEDDING_DIM, *SHARED),
    prefers="series",
    takes=("series", "dense", "codes"),
    needs="series",
    default_space="series",
    doc="Windows of a series, read by dense layers, dilated convolutions, recurrent layers or attention.",
)
