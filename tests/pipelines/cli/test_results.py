"""Verbs for results: how their options are read."""

from __future__ import annotations

from typing import get_args

import pytest

from pipelines.cli import results
from pipelines.spec.schema import ExportFormat
from search_spaces.errors import InputError


def test_the_help_of_export_names_every_format():
    """The help lists the formats in the order of their registry."""
    assert results._EXPORT_FORMATS.split(", ") == list(get_args(ExportFormat))


def test_bounds_name_an_objective_and_a_value():
    """Spaces around the name do not matter; of two bounds on one objective, the last counts."""
    assert results._parse_bounds("--at-most", ["size_mb=0.5", " val_loss =1e-2", "size_mb=2"]) == {
        "size_mb": 2.0,
        "val_loss": 0.01,
    }


@pytest.mark.parametrize("written", ["size_mb", "size_mb=", "size_mb=small", ""])
def test_a_bound_without_a_number_is_refused(written):
    """The error quotes what was written."""
    with pytest.raises(InputError, match=f"--at-most: expected OBJECTIVE=VALUE .* got {written!r}"):
        results._parse_bounds("--at-most", [written])
