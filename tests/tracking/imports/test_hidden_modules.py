"""Imports without optional dependencies."""

import sys

import pytest

from tracking.imports.hidden_modules import hide_modules


def test_a_hidden_module_cannot_be_imported(monkeypatch):
    """A module that is not loaded seems not to be installed; afterwards it can be imported."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with hide_modules("colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    assert colorsys.ONE_THIRD


def test_a_loaded_module_stays_visible():
    """Hiding a module that is loaded already changes nothing."""
    with hide_modules("json"):
        import json
    assert json.loads("1") == 1
