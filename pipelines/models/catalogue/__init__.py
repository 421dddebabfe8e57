"""Catalogue of the model families shipped with kerastudy, with all hyperparameters of each.

Three parts of the code read it: the calls on `keras_tuner.HyperParameters`, the check that a space declares only
hyperparameters that the model requests, and the reference pages. It imports no Keras, so the supervisor can read it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.models.catalogue.cnn import CNN
from pipelines.models.catalogue.family import Family
from pipelines.models.catalogue.mixed import MIXED
from pipelines.models.catalogue.mlp import MLP
from pipelines.models.catalogue.series import SERIES
from pipelines.models.catalogue.shared import ACTIVATIONS, KERNEL_INITIALIZERS
from pipelines.models.catalogue.tabular import TABULAR
from pipelines.models.catalogue.text import TEXT
from pipelines.models.catalogue.transfer import TRANSFER
from search_spaces.errors import InputError, Problem, suggest_choice

__all__ = ["ACTIVATIONS", "FAMILIES", "KERNEL_INITIALIZERS", "Family", "find_family"]

FAMILIES: Mapping[str, Family] = {family.name: family for family in (MLP, TABULAR, TEXT, SERIES, CNN, TRANSFER, MIXED)}


def find_family(name: str) -> Family:
    """Return the shipped family called `name`.

    Raises:
        InputError: if there is none.
    """
    if name not in FAMILIES:
        hint = suggest_choice(name, FAMILIES)
        raise InputError(Problem(f'no model family is called "{name}"; {hint}, or "file.py:function"', "model"))
    return FAMILIES[name]
