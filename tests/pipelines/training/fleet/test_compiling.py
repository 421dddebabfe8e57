"""Compilation of a fleet's functions."""

from __future__ import annotations

from pipelines.training.fleet import compiling
from pipelines.training.fleet.compiling import compile_function


def test_an_option_that_this_release_does_not_know_is_left_out(monkeypatch):
    """XLA adds and removes options; a program is compiled without one that is gone."""
    monkeypatch.setattr(compiling, "_FOR_A_FEW_CALLS", {"xla_of_another_release": True})
    assert compile_function(lambda x: x + 1, (), called_seldom=True)(1.0) == 2.0
