"""Asking `hp`: ranges, defaults and conditions reach KerasTuner as the catalogue declares them."""

import pytest

from pipelines.models.catalogue import FAMILIES, find_family
from pipelines.models.hyperparameter_requests import HyperparameterRequests

EVERY_PARAMETER = [
    pytest.param(name, parameter, id=f"{name}-{parameter.name}")
    for name, found in FAMILIES.items()
    for parameter in found.parameters
]


@pytest.mark.parametrize(("name", "parameter"), EVERY_PARAMETER)
def test_kerastuner_gets_the_catalogues_range(name, parameter, given):
    """Each parameter is registered with its default, range, sampling and choices."""
    hp = given()
    assert HyperparameterRequests(hp, find_family(name), frozenset()).get_value(parameter.name) == parameter.default
    (registered,) = hp.space
    if parameter.kind == "categorical":
        assert set(registered.values) == set(parameter.choices)
    else:
        assert (registered.min_value, registered.max_value) == (parameter.low, parameter.high)
        assert registered.sampling == ("log" if parameter.log else "linear")


def test_a_default_can_be_overridden_where_the_asker_knows_better(given):
    """Defaults differ between optimizers; False and 0 are valid defaults."""
    requests = HyperparameterRequests(given(), find_family("mlp"), frozenset())
    assert requests.get_value("momentum", 0.95) == 0.95
    assert requests.get_value("relative_step", default=False) is False


def test_a_layer_is_asked_by_its_number_only_where_declared_so(given):
    """`units_2` is requested if the space declares units per layer, else `units`."""
    hp = given(units=3, units_2=5)
    assert HyperparameterRequests(hp, find_family("mlp"), frozenset()).get_layer_value("units", 2) == 3
    assert HyperparameterRequests(hp, find_family("mlp"), frozenset({"units"})).get_layer_value("units", 2) == 5
