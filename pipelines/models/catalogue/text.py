"""The `text` family."""

from __future__ import annotations

from pipelines.models.catalogue.encoders import DENSE_UNITS, EMBEDDING_DIM, TEXT_ENCODER
from pipelines.models.catalogue.family import Family
from pipelines.models.catalogue.shared import LAYERS, SHARED

TEXT = Family(
    name="text",
    parameters=(*TEXT_ENCODER, *LAYERS, DENSE_UNITS, EMBEDDING_DIM, *SHARED),
    prefers="dense",
    takes=("text", "dense", "codes"),
    needs="text",
    default_space="text",
    doc="Columns of text, read as bags of words, by convolutions, recurrent layers or attention.",
)
