"""The spaces that come with kerastudy."""

from __future__ import annotations

import itertools

import optuna
import pytest

from pipelines.models.catalogue import FAMILIES
from search_spaces.errors import InputError
from search_spaces.parse import parse_space, parse_space_dict
from search_spaces.shipped_spaces import list_shipped, read_shipped, read_shipped_text
from search_spaces.suggest import suggest
from search_spaces.yaml_reader import parse_document

NAMES = (
    *("cnn", "cnn-augmented", "mixed", "mlp", "mlp-large", "mlp-small", "optimizer", "regularization", "schedule"),
    *("series", "tabular", "text", "transfer"),
)
FAMILY_OF = {name: name.split("-")[0] if name.split("-")[0] in FAMILIES else "mlp" for name in NAMES}


def shipped(name):
    return parse_space(read_shipped(name), ())


def test_these_are_shipped():
    """The names that study files may extend."""
    assert list_shipped() == NAMES


def test_an_unknown_name_is_reported():
    """A name that is not shipped is reported with the nearest that is."""
    with pytest.raises(InputError, match=r'no shipped space is called "cnm".*did you mean "cnn"'):
        read_shipped("cnm")


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_space_says_where_its_ranges_come_from(name):
    """Each file opens with a comment that speaks of its ranges."""
    comment = "".join(itertools.takewhile(lambda line: line.startswith("#"), read_shipped_text(name).splitlines(True)))
    assert "# Ranges: " in comment


@pytest.mark.parametrize("name", NAMES)
def test_a_family_takes_every_value(name):
    """The family of a space requests each of its parameters, and can use every bound and choice."""
    family = FAMILIES[FAMILY_OF[name]]
    for parameter in shipped(name).declared:
        asked = family.find(parameter.name)
        assert asked is not None, parameter.name
        assert [asked.find_problem(value) for value in parameter.bounds if asked.find_problem(value)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_space_can_be_searched(name):
    """A shipped space starts from its defaults, every parameter's, and Optuna draws from it."""
    space = shipped(name)
    (point,) = space.list_points()
    assert tuple(point) == space.find_active(point)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        values = suggest(space, study.ask())
        assert tuple(values) == space.find_active(values)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_space_reads_back(name):
    """What a shipped space writes of itself reads back to an equal one."""
    assert parse_space_dict(shipped(name).to_dict()) == shipped(name)


def test_parts_go_together_with_a_family():
    """The spaces that are parts extend a family's space in one line."""
    document = parse_document("space: {extends: [mlp, optimizer, regularization, schedule]}", "s.yaml")
    space = parse_space(document)
    assert {"units", "amsgrad", "clip_threshold", "t_mul"} <= set(space.names)


@pytest.mark.parametrize("optimizer", shipped("optimizer").parameters["optimizer"].bounds)
def test_each_optimizer_has_its_own_parameters(optimizer):
    """Beside an optimizer exist those parameters that it takes in Keras, and no others."""
    from pipelines.models.optimizer_catalogue import OPTIMIZERS

    active = set(shipped("optimizer").find_active({"optimizer": optimizer, "momentum": 0.9, "use_ema": False}))
    shared = {"optimizer", "use_ema"}
    assert active - shared <= OPTIMIZERS[optimizer].keys()
    # Decay that Keras leaves off by default stays off, except with the optimizers made for it.
    assert OPTIMIZERS[optimizer].keys() - active <= {"weight_decay"}
