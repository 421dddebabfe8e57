"""Tests of modules that are loaded at their first call."""

import subprocess
import sys

import pytest

from tracking.imports.late_modules import LateDecorator, import_late

IMPORTER = """
import late_example
from late_example.inner import double

def count():
    return late_example.inner.double(1) + double(1)

def get_lid():
    return late_example.inner.LID

def is_box(thing):
    return isinstance(thing, (str, late_example.inner.Box))
"""
INNER = """
def double(number):
    return 2 * number

def twice(function):
    return lambda number: function(function(number))

class Box:
    pass

LID = object()
"""


@pytest.fixture
def importer(tmp_path, monkeypatch):
    """Return a module that imports another one in two ways, loaded with stand-ins for it."""
    (tmp_path / "late_importer.py").write_text(IMPORTER)
    package = tmp_path / "late_example"
    package.mkdir()
    (package / "__init__.py").write_text("from late_example import inner")
    (package / "inner.py").write_text(INNER)
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


def test_a_class_of_a_late_module_has_instances_once_the_module_is_loaded(importer):
    """Nothing is of such a class before; afterwards what is of the class is."""
    before = importer.is_box(1), importer.is_box("a text"), "late_example" in sys.modules
    from late_example.inner import Box

    assert (before, importer.is_box(Box()), importer.is_box(1)) == ((False, True, False), True, False)


def test_an_object_of_a_late_module_is_itself_once_the_module_is_loaded(importer):
    """Code that compares identities must not get a stand-in for a value that it can have by then."""
    before = importer.get_lid(), "late_example" in sys.modules
    from late_example.inner import LID

    assert (before[0] is LID, before[1], importer.get_lid() is LID) == (False, False, True)


def test_a_late_decorator_loads_its_module_with_the_first_call(importer):
    """Decorating loads nothing; the decorated function does what the module's decorator makes of it."""

    def add_one(number):
        return number + 1

    added = LateDecorator("late_example.inner", "twice")(add_one)
    before = "late_example" in sys.modules

    assert (before, added.__name__, added(1)) == (False, "add_one", 3)


def test_special_attributes_do_not_exist():
    """A library that looks for a special attribute must not take the stand-in for an object that has it."""
    with import_late("late_example"):
        import late_example

    assert not hasattr(late_example, "__array__")


def test_stand_ins_can_annotate():
    """A library may write the union of a class and another type when it is imported."""
    with import_late("late_example"):
        import late_example

    assert all([late_example.Box | None, None | late_example.Box, late_example.Box | int | late_example.Box])


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


@pytest.mark.long
def test_keras_on_jax_takes_sparse_tensors_once_they_are_loaded():
    """Its server has loaded neither them nor SciPy's, and a worker that makes one gets Keras's operations on it."""
    code = """
import sys, pipelines.engines.preload.jax
before = [name in sys.modules for name in ("jax.experimental.sparse", "scipy.sparse", "requests")]
import jax.numpy as jnp, keras
from jax.experimental.sparse import BCOO
eye = BCOO.fromdense(jnp.eye(2))
product = keras.ops.matmul(eye, eye + eye).todense()
print(*before, keras.ops.is_tensor(eye), isinstance(keras.ops.negative(eye), BCOO), product.tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.split("\n")[0] == "False False False True True [[2.0, 0.0], [0.0, 2.0]]"
