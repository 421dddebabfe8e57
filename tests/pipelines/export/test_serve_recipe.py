"""Recipes are programs: they name the exported files and parse."""

from __future__ import annotations

import ast
import re

import pytest

from pipelines.export.parity import Parity
from pipelines.export.registry import FORMATS
from pipelines.export.serve_recipe import render_serve_recipe


def test_a_file_that_takes_one_row():
    """Its recipe calls it for each row."""
    text = render_serve_recipe([Parity("litert", "m.tflite", 1, 0.0, 1.0, 1, rows_at_once=1)])
    assert "for row in range(" in text
    assert "{{" not in text


@pytest.mark.parametrize("preprocessing_file", ["", "preprocessing.keras", "preprocessing.tflite"])
@pytest.mark.parametrize("name", list(FORMATS))
def test_every_recipe_is_a_program(name, preprocessing_file):
    """No brace of a template is left over; the file and its preprocessing are loaded by name."""
    text = render_serve_recipe([Parity(name, "m.file", 1, 0.0, 1.0, 1, preprocessing_file=preprocessing_file)])
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(programs) == (3 if preprocessing_file else 2)
    for program in programs:
        ast.parse(program)
    assert '"m.file' in programs[-1]
    assert preprocessing_file in "".join(programs)
