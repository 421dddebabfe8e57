"""From a family's name to its hypermodel."""

import keras_tuner
import pytest

from pipelines.models.build import build_hypermodel
from pipelines.models.catalogue import FAMILIES
from search_spaces.errors import InputError


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_the_catalogue_is_a_hypermodel(name, context):
    """Each name gives a KerasTuner hypermodel of that name."""
    found = build_hypermodel(name, context())
    assert isinstance(found, keras_tuner.HyperModel)
    assert found.name == name


def test_an_unknown_name_is_refused(context):
    """A family that is not shipped is an input error."""
    with pytest.raises(InputError, match='did you mean "cnn"'):
        build_hypermodel("cnnn", context())
