"""Requests of a hypermodel: the type in which its code gets a value of the space."""

from __future__ import annotations

import pytest

from search_spaces.hypermodel_request import HyperparameterRequest


@pytest.mark.parametrize(
    ("kind", "choices", "value", "converted"),
    [
        ("int", (), 8.0, 8),
        ("int", (), 8.5, 8.5),
        ("float", (), 0, 0.0),
        ("float", (), "l2", "l2"),
        ("boolean", (), True, True),
        ("boolean", (), 1, 1),
        ("choice", (4, 8), 8.0, 8),
        ("choice", (1, 0), True, 1),
        ("choice", ("a", "b"), None, None),
    ],
)
def test_values_get_the_type_of_the_code(kind, choices, value, converted):
    """A value of another type stays as it is."""
    found = HyperparameterRequest("x", kind, None, choices=choices).convert(value)
    assert (found, type(found)) == (converted, type(converted))
