"""Conditions and constraints for many points at once agree with the space's own, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.search.gp.encoding import PointEncoding
from pipelines.search.gp.space_rules import SpaceRules
from search_spaces.parse import parse_space_dict
from search_spaces.suggest import INDEX, make_distributions

SPACES = {
    "nested conditions": {
        "optimizer": ["sgd", "adam"],
        "momentum": {"type": "float", "low": 0.1, "high": 0.9, "when": {"optimizer": "sgd"}},
        "nesterov": {"choices": [True, False], "when": {"momentum": "> 0.5"}},
        "depth": {"type": "int", "low": 1, "high": 3},
        "units_2": {"type": "int", "low": 8, "high": 64, "log": True, "when": {"depth": ">= 2"}},
    },
    "a fixed parent": {
        "optimizer": "sgd",
        "momentum": {"type": "float", "low": 0.1, "high": 0.9, "when": {"optimizer": "sgd"}},
        "beta": {"type": "float", "low": 0.1, "high": 0.9},
    },
    "steps on a log scale": {
        "units": {"type": "int", "low": 8, "high": 128, "log": True, "step": 8},
        "dropout": {"type": "float", "low": 0.1, "high": 0.5, "when": {"units": ">= 32"}},
    },
    "a list of one": {
        "kind": ["only"],
        "a": {"type": "int", "low": 1, "high": 9},
        "b": {"type": "int", "low": 1, "high": 9, "when": {"kind": "only"}},
        "constraints": ["kind != 'only' or a + b < 8"],
    },
    "constraints": {
        "a": {"type": "int", "low": 1, "high": 9},
        "b": {"type": "int", "low": 1, "high": 9},
        "width": 4,
        "constraints": ["a + b <= width * 2"],
    },
}


@pytest.mark.parametrize("name", SPACES)
def test_rows_have_what_the_space_says(name):
    space = parse_space_dict(SPACES[name])
    encoding = PointEncoding({name: each for name, each in make_distributions(space).items() if not each.single()})
    drawn = encoding.snap(np.random.default_rng(1).random((200, len(encoding.axes))))
    rows = SpaceRules(space, encoding).restrict(drawn)
    kept = 0
    for full, row in zip(drawn, rows, strict=True):
        values = {}
        for key, value in encoding.decode(full).items():
            plain = key.removesuffix(INDEX)
            values[plain] = space.parameters[plain].get_value(value) if key.endswith(INDEX) else value
        for key, parameter in space.parameters.items():
            if key not in values:
                values[key] = parameter.bounds[0]
        active = space.find_active(values)
        keeps = not space.find_violations({key: values[key] for key in active})
        expected = {each for each in encoding.names if keeps and each.removesuffix(INDEX) in active}
        assert set(encoding.decode(row)) == expected
        kept += keeps
    assert kept > 0
