"""Hypermodels of the shipped families, by name."""

from __future__ import annotations

import keras_tuner

from pipelines.models.catalogue import find_family
from pipelines.models.cnn import Cnn
from pipelines.models.context import ModelContext
from pipelines.models.mlp import Mlp

_FAMILIES = {"mlp": Mlp, "cnn": Cnn}


def build_hypermodel(name: str, context: ModelContext) -> keras_tuner.HyperModel:
    """Return the shipped family called `name` for a study's data.

    Raises:
        InputError: if there is no such family.
    """
    # By the catalogue first: its error lists the families and the nearest name.
    return _FAMILIES[find_family(name).name](context)
