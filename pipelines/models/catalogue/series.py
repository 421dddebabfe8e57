"""The `series` family."""

from __future__ import annotations

from pipelines.models.catalogue.encoders import DENSE_UNITS, EMBEDDING_DIM, SERIES_ENCODER
from pipelines.models.catalogue.family import Family
from pipelines.models.catalogue.shared import LAYERS, SHARED

SERIES = Family(
    name="series",
    parameters=(*SERIES_ENCODER, *LAYERS, DENSE_UNITS, EMBEDDING_DIM, *SHARED),
    prefers="series",
    takes=("series", "dense", "codes"),
    needs="series",
    default_space="series",
    doc="Windows of a series, read by dense layers, dilated convolutions, recurrent layers or attention.",
)
