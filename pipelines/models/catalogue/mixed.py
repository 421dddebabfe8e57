"""The `mixed` family."""

from __future__ import annotations

from pipelines.models.catalogue.cnn import IMAGE_ENCODER
from pipelines.models.catalogue.encoders import (
    COLUMN_ENCODER,
    EMBEDDING_DIM,
    SERIES_ENCODER,
    TEXT_ENCODER,
    prefix_parameters,
)
from pipelines.models.catalogue.family import Family
from pipelines.models.catalogue.shared import LAYERS, SHARED
from pipelines.models.hyperparameter import Hyperparameter

_HEAD: tuple[Hyperparameter, ...] = (
    Hyperparameter("depth", "int", 1, "Dense layers behind the joined encoders.", low=0, high=3, least=0, most=100),
    Hyperparameter(
        "units",
        "int",
        64,
        "Width of those dense layers.",
        low=16,
        high=256,
        log=True,
        per_layer=True,
        least=1,
        most=1_000_000,
    ),
)

MIXED = Family(
    name="mixed",
    parameters=(
        *_HEAD,
        *LAYERS,
        EMBEDDING_DIM,
        *prefix_parameters(
            "columns_",
            COLUMN_ENCODER,
            ("dense", "codes"),
            architecture="mlp",
            number_embedding="none",
            depth=1,
            units=64,
        ),
        *prefix_parameters("text_", TEXT_ENCODER, ("text",)),
        *prefix_parameters("series_", SERIES_ENCODER, ("series",)),
        *prefix_parameters("image_", IMAGE_ENCODER, ("image",)),
        *SHARED,
    ),
    prefers="mixed",
    takes=("dense", "codes", "text", "series", "image"),
    default_space="mixed",
    doc="An encoder for each kind of column (numbers and categories, text, series, images), joined by dense layers.",
)
