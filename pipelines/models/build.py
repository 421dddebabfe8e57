"""Hypermodels of the shipped families, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras_tuner

from pipelines.models.catalogue import find_family
from pipelines.models.cnn import Cnn
from pipelines.models.context import ModelContext
from pipelines.models.family_model import FamilyModel
from pipelines.models.mixed import Mixed
from pipelines.models.mlp import Mlp
from pipelines.models.series import Series
from pipelines.models.tabular import Tabular
from pipelines.models.text import Text
from pipelines.models.transfer import Transfer

_FAMILIES: Mapping[str, Callable[[ModelContext], FamilyModel]] = {
    "mlp": Mlp,
    "cnn": Cnn,
    "mixed": Mixed,
    "series": Series,
    "tabular": Tabular,
    "text": Text,
    "transfer": Transfer,
}


def build_hypermodel(name: str, context: ModelContext) -> keras_tuner.HyperModel:
    """Return the shipped family called `name` for a study's data.

    Raises:
        InputError: if there is no such family.
    """
    # By the catalogue first: its error lists the families and the nearest name.
    return _FAMILIES[find_family(name).name](context)
