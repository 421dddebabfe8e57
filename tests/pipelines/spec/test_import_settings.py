"""A policy of mixed precision that a user's file sets at its top level holds wherever the file is used."""

import keras
import pytest

from pipelines.spec.code_references import load_object


@pytest.mark.parametrize(
    ("line", "policy"), [('keras.config.set_dtype_policy("mixed_float16")', "mixed_float16"), ("", "float32")]
)
def test_a_policy_holds_in_every_trial(tmp_path, line, policy):
    """Keras forgets it between two trainings of a process, in which the file is imported once."""
    (tmp_path / "model.py").write_text(f"import keras\n{line}\nbuild = keras.config.dtype_policy\n")
    try:
        for _ in range(2):
            keras.backend.clear_session(free_memory=False)
            assert load_object("model.py:build", tmp_path, "model")().name == policy
    finally:
        keras.config.set_dtype_policy("float32")
