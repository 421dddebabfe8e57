"""Settings of Keras that a notebook makes, in its workers."""

from __future__ import annotations

import keras
import pytest

from pipelines.objects.code_files import list_changes, make_code_files
from pipelines.objects.keras_settings import keep_keras_settings, read_keras_settings
from pipelines.objects.kerastudy_pickle import load_pickle, name_python, set_keras_settings


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


def test_settings_travel_with_the_code(mixed, tmp_path):
    """A worker builds the model as the notebook does; a process that only loads a result's model keeps its own."""
    files = make_code_files("model", build)
    files.write_text(tmp_path)
    files.write_pickle(tmp_path)
    keras.config.set_dtype_policy("float32")
    with keep_keras_settings():
        load_pickle(str(tmp_path / "model.py"), name_python())
        assert read_keras_settings() == {"dtype_policy": "mixed_float16"}
    assert read_keras_settings() == {}


def test_a_changed_setting_is_changed_code(mixed):
    """Another precision gives other scores."""
    before = make_code_files("model", build).text
    set_keras_settings({"dtype_policy": "float32"})
    assert list_changes(before, make_code_files("model", build).text) == ["settings of Keras"]
