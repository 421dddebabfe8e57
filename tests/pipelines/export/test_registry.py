"""Formats are checked by name and by their packages before anything is done."""

from __future__ import annotations

import sys
from typing import get_args

import pytest

from pipelines.export.registry import FORMATS, check_formats
from pipelines.spec.schema import ExportFormat
from search_spaces.errors import InputError


def test_the_study_file_takes_every_format():
    """The schema's formats are those of the registry, in its order."""
    assert list(get_args(ExportFormat)) == list(FORMATS)


@pytest.mark.parametrize(("name", "module"), [("onnx", "tf2onnx"), ("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_missing_runtime_names_its_extra(monkeypatch, name, module):
    """The message has the command that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf'"{name}" needs {module}.*pip install "kerastudy\[{name}\]"'):
        check_formats(["keras", name])


def test_an_unknown_format_is_named_with_its_nearest():
    """An error in a format's name gives the nearest name."""
    with pytest.raises(InputError, match='unknown format "savedmodel"; did you mean "saved_model"'):
        check_formats(["savedmodel"])
