"""Examples in docstrings."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = (
    file.relative_to(ROOT)
    for package in ("kerastudy", "pipelines", "search_spaces", "tracking")
    for file in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in file.read_text("utf-8")
)


@pytest.mark.parametrize("module", [".".join(file.with_suffix("").parts) for file in FILES])
def test_an_example_gives_what_it_shows(module):
    """Each example in a module's docstrings gives what it shows."""
    done = doctest.testmod(importlib.import_module(module))
    assert done.attempted > 0
    assert done.failed == 0
