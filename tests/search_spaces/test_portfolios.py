"""Starting points of the shipped families, and their mapping into a study's own space."""

from __future__ import annotations

import pytest

from pipelines.models.catalogue import FAMILIES
from search_spaces import portfolios
from search_spaces.parse import parse_space, parse_space_dict
from search_spaces.portfolios import fit_point, list_portfolio, read_portfolio
from search_spaces.shipped_spaces import read_shipped

LEARNED = tuple(sorted(file.stem for file in portfolios._FOLDER.glob("*.yaml")))
UNITS = {"type": "int", "low": 16, "high": 256, "log": True, "default": 64}
RATE = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
POINT = {"units": 128, "rate": 1e-2, "optimizer": "sgd", "momentum": 0.9}
OPTIMIZER = {"choices": ["adam", "sgd"], "default": "adam"}


def fit(point=POINT, **space):
    return fit_point(parse_space_dict(space), point)


@pytest.mark.parametrize("family", LEARNED)
def test_a_portfolio_fits_its_shipped_space(family):
    """Every point of a portfolio is a point of the family's shipped space, and is not its default."""
    space = parse_space(read_shipped(FAMILIES[family].default_space), ())
    points = list_portfolio(family, space)
    assert len(points) == len(read_portfolio(family)) > 0
    for point, learned in zip(points, read_portfolio(family), strict=True):
        assert {name: point[name] for name in learned} == learned


@pytest.mark.parametrize("family", LEARNED)
def test_a_portfolio_names_its_provenance(family):
    """The opening comment has the command, the date and the data sets."""
    comment = [line for line in (portfolios._FOLDER / f"{family}.yaml").read_text().splitlines() if line[0] == "#"]
    text = " ".join(comment)
    assert f"benchmarks/portfolios.py measure {family}" in text
    assert "Data sets" in text


def test_a_family_without_a_portfolio_has_no_points():
    """Nothing was learned for a user model."""
    assert list_portfolio("model.py:build", parse_space_dict({"rate": RATE})) == ()


def test_numbers_move_into_the_range():
    """A number beyond a bound becomes the bound, and one between steps the nearest step."""
    steps = {"type": "int", "low": 10, "high": 100, "step": 10}
    assert fit(units=steps, rate={**RATE, "high": 5e-3}) == {"units": 100, "rate": 5e-3}


def test_a_number_becomes_the_nearest_choice():
    """A list of numbers has one that is nearest."""
    assert fit(units=[32, 64, 100], rate=RATE) == {"units": 100, "rate": 1e-2}


def test_a_choice_that_is_not_offered_becomes_the_default():
    """The rest of the point is kept; what hangs on the lost choice is dropped with it."""
    momentum = {"type": "float", "low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}}
    lost = {"choices": ["adam", "lion"], "default": "lion"}
    assert fit(units=UNITS, rate=RATE, optimizer=lost, momentum={**momentum, "when": {"optimizer": "lion"}}) == {
        "units": 128,
        "rate": 1e-2,
        "optimizer": "lion",
        "momentum": 0.9,
    }


def test_a_fixed_parameter_keeps_its_value():
    """What the study fixes stays fixed; a parameter that the point lacks has its default, if it has one."""
    fitted = fit(
        units=UNITS, rate=RATE, optimizer="adam", depth={**UNITS, "default": 20}, width=UNITS | {"default": 17}
    )
    assert fitted == {"units": 128, "rate": 1e-2, "optimizer": "adam", "depth": 20, "width": 17}


def test_layers_share_a_value():
    """A parameter for each layer has the point's value in all of them."""
    depth = {"type": "int", "low": 1, "high": 2, "default": 2}
    fitted = fit({"units": 128, "depth": 2}, depth=depth, units={**UNITS, "repeat": "depth"})
    assert fitted == {"depth": 2, "units_1": 128, "units_2": 128}


def test_a_point_that_keeps_too_little_is_dropped():
    """Less than half of a point is not worth a trial."""
    assert fit(units=UNITS, other=RATE) is None


def test_a_narrower_space_takes_what_it_searches():
    """A study that fixes most of what an earlier one searched still begins with its best points."""
    space = parse_space_dict({"units": UNITS, "rate": RATE, "optimizer": "adam", "depth": 2})
    point = {**POINT, "depth": 3, "dropout": 0.1, "l2": 0.1, "units_2": 8}
    assert fit_point(space, point) is None
    expected = {"units": 128, "rate": 1e-2, "optimizer": "adam", "depth": 2}
    assert fit_point(space, point, is_narrower=True) == expected
    assert fit_point(parse_space_dict({"other": RATE, "depth": 3}), point, is_narrower=True) is None


def test_points_that_the_space_tries_anyway_are_left_out(monkeypatch):
    """No point is listed twice, none equals the space's own, and none breaks a constraint."""
    learned = ({"units": 64, "rate": 1e-2}, {"units": 512, "rate": 1e-2}, {"units": 999, "rate": 1e-2})
    monkeypatch.setattr(portfolios, "read_portfolio", lambda family: learned)
    written = {"units": UNITS, "rate": {**RATE, "default": 1e-2}}
    assert list_portfolio("mlp", parse_space_dict(written)) == ({"units": 256, "rate": 1e-2},)
    assert list_portfolio("mlp", parse_space_dict({**written, "constraints": ["units < 200"]})) == ()
