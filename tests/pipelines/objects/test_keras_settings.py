"""Settings of Keras that a notebook makes, in its workers."""

from __future__ import annotations

import multiprocessing

import keras
import pytest

from pipelines.objects.code_files import list_changes, make_code_files
from pipelines.objects.keras_settings import read_keras_settings, set_keras_settings
from pipelines.objects.pickles import load_pickle, name_python


def build(hp):
    """Stand for a user's `build`."""
    return hp


@pytest.fixture
def mixed():
    """Mixed precision for the whole process, as a cell sets it."""
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


def test_defaults_are_no_settings():
    """A notebook that sets nothing sends nothing."""
    assert read_keras_settings() == {}


def test_settings_reach_workers_and_no_other_process(mixed, tmp_path, monkeypatch):
    """The model is built as in the notebook; loading a result's model elsewhere leaves that process alone."""
    files = make_code_files("model", build)
    files.write_text(tmp_path)
    files.write_pickle(tmp_path)
    assert read_keras_settings() == {"dtype_policy": "mixed_float16"}
    keras.config.set_dtype_policy("float32")
    load_pickle(str(tmp_path / "model.py"), name_python())
    assert read_keras_settings() == {}
    monkeypatch.setattr(multiprocessing, "parent_process", multiprocessing.current_process)
    load_pickle(str(tmp_path / "model.py"), name_python())
    assert read_keras_settings() == {"dtype_policy": "mixed_float16"}


def test_a_changed_setting_is_changed_code(mixed):
    """Another precision gives other scores."""
    before = make_code_files("model", build).text
    set_keras_settings({"dtype_policy": "float32"})
    assert list_changes(before, make_code_files("model", build).text) == ["settings of Keras"]
