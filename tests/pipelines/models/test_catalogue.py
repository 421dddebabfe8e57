"""The catalogue: families, their parameters, and that it costs no Keras import."""

import subprocess
import sys

import pytest

from pipelines.models.catalogue import ACTIVATIONS, FAMILIES, KERNEL_INITIALIZERS, find_family
from search_spaces.errors import InputError

EVERY_PARAMETER = [
    pytest.param(parameter, id=f"{name}-{parameter.name}")
    for name, found in FAMILIES.items()
    for parameter in found.parameters
]


def test_the_catalogue_imports_no_keras():
    """The supervisor and the command line read the catalogue without paying for TensorFlow."""
    program = (
        "import sys, pipelines.models.catalogue, pipelines.models.objectives, pipelines.models.context;"
        "sys.exit(any(m in sys.modules for m in ('keras', 'tensorflow', 'keras_tuner')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("parameter", EVERY_PARAMETER)
def test_defaults_and_ranges_are_usable(parameter):
    """No parameter refuses its default, the ends of its range, or one of its choices."""
    offered = [parameter.default, *parameter.choices]
    offered += [parameter.low, parameter.high] if parameter.kind != "categorical" else []
    assert [parameter.find_problem(value) for value in offered] == [None] * len(offered)
    assert parameter.doc


def test_names_are_unique_in_a_family():
    """A name stands for one parameter."""
    for found in FAMILIES.values():
        names = [parameter.name for parameter in found.parameters]
        assert len(names) == len(set(names))


def test_per_layer_names_belong_to_their_parameter():
    """`units_3` is the third layer's `units`; a parameter that is not per layer has no such form."""
    mlp = find_family("mlp")
    assert mlp.find("units_3").name == "units"
    assert mlp.find("beta_1").name == "beta_1"
    assert not any(mlp.has_parameter(name) for name in ("depth_1", "units_0", "units_", "units_x", "filters", "unit"))
    assert find_family("cnn").has_parameter("filters_2")


def test_a_space_shows_which_parameters_it_gives_per_layer():
    """Names such as `units_1` mark `units` as declared per layer; `beta_1` marks nothing."""
    assert find_family("mlp").find_per_layer(["units_1", "units_2", "beta_1", "depth", "nothing"]) == {"units"}


def test_an_unknown_family_is_named_with_the_nearest():
    """A misspelt family gives the nearest name and the way to name a user model."""
    with pytest.raises(InputError, match=r'no model family is called "mpl"; did you mean "mlp".*file.py:function'):
        find_family("mpl")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_kerass_and_keeps_the_shape(activation):
    """An activation on offer resolves in Keras by name and maps a layer to one of the same width."""
    import keras

    assert keras.layers.Activation(activation)(keras.ops.ones((2, 4))).shape == (2, 4)


@pytest.mark.parametrize("initializer", KERNEL_INITIALIZERS)
def test_every_initializer_is_kerass_and_fits_any_kernel(initializer):
    """An initializer on offer makes dense and convolutional kernels."""
    import keras

    found = keras.initializers.get(initializer)
    assert found((3, 4)).shape == (3, 4)
    assert found((3, 3, 2, 4)).shape == (3, 3, 2, 4)
