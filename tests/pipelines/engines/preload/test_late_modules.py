"""Tests of modules that are loaded at their first call."""

import subprocess
import sys

import pytest

from pipelines.engines.preload.late_modules import import_late

IMPORTER = """
import late_example
from late_example.inner import double

def count():
    return late_example.inner.double(1) + double(1)
"""


@pytest.fixture
def importer(tmp_path, monkeypatch):
    """Return a module that imports another one in two ways, loaded with stand-ins for it."""
    (tmp_path / "late_importer.py").write_text(IMPORTER)
    package = tmp_path / "late_example"
    package.mkdir()
    (package / "__init__.py").write_text("from late_example import inner")
    (package / "inner.py").write_text("def double(number):\n    return 2 * number")
    monkeypatch.syspath_prepend(str(tmp_path))
    with import_late("late_example", "late_example.inner"):
        import late_importer
    yield late_importer
    for name in ("late_importer", "late_example", "late_example.inner"):
        sys.modules.pop(name, None)


def test_a_module_is_loaded_at_the_first_call(importer):
    """Its importer gets stand-ins, and a call of either loads the module and returns what it returns."""
    before = "late_example" in sys.modules

    assert (before, importer.count()) == (False, 4)


def test_special_attributes_do_not_exist():
    """A library that looks for a special attribute must not take the stand-in for an object that has it."""
    with import_late("late_example"):
        import late_example

    assert not hasattr(late_example, "__array__")


def test_a_loaded_module_gets_no_stand_in():
    """What is loaded already is imported as ever."""
    with import_late("subprocess"):
        import subprocess as imported

    assert imported is subprocess


@pytest.mark.long
def test_keras_on_numpy_loads_jax_for_convolutions_alone():
    """Its server has loaded no JAX, and a worker that needs a convolution gets one."""
    code = """
import sys, pipelines.engines.preload.numpy, numpy as np, keras
before = "jax" in sys.modules
dense = keras.layers.Dense(1, kernel_initializer="ones")(np.ones((1, 3)))
between = "jax" in sys.modules
filtered = keras.layers.Conv1D(1, 2, kernel_initializer="ones")(np.ones((1, 3, 1)))
print(before, between, float(dense[0, 0]), np.asarray(filtered).ravel().tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.split("\n")[0] == "False False 3.0 [2.0, 2.0]"
