"""The `tabular` family."""

from __future__ import annotations

from pipelines.models.catalogue.encoders import COLUMN_ENCODER, EMBEDDING_DIM
from pipelines.models.catalogue.family import Family
from pipelines.models.catalogue.shared import LAYERS, SHARED

TABULAR = Family(
    name="tabular",
    parameters=(*COLUMN_ENCODER, *LAYERS, EMBEDDING_DIM, *SHARED),
    prefers="dense",
    takes=("dense", "codes", "text"),
    default_space="tabular",
    doc="A table's columns with embedded numbers, in a residual network, dense layers, or attention over the columns.",
)
