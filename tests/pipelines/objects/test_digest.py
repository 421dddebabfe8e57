"""Digests of code and values: what changes them, what does not, and that each process finds the same."""

from __future__ import annotations

import enum
import functools
import os
import subprocess
import sys
import threading
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
import pytest

from pipelines.objects.digest import digest_object

PROGRAM = """
import dataclasses, enum, functools
import numpy as np, pandas as pd
from pipelines.objects.digest import digest_object

class Color(enum.Enum):
    RED = 1

@dataclasses.dataclass(frozen=True)
class Settings:
    units: tuple = (1, 2)
    color: Color = Color.RED

table, settings, scale = pd.DataFrame({"a": [1, 2], "b": ["x", None]}), Settings(), np.arange(3.0)

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

class Model:
    words = {"one", "two", "three"}
    def build(self, hp):
        return [x for x in scale if even(len(table)) and hp in {"a", "b", "c"} and settings.units]

print(digest_object(Model), digest_object(functools.partial(Model().build, hp=1)))
"""


def define(text: str, name: str = "f", **globals_: object):
    """Return what a text defines under a name."""
    names: dict = {"__name__": "__main__", **globals_}
    exec(compile(text, "<cell>", "exec"), names)
    return names[name]


def test_every_process_finds_the_same(tmp_path):
    """Neither the order of sets, nor the way in which the code came to Python, nor its place makes a difference."""
    (tmp_path / "script.py").write_text("\n# a comment\n" + PROGRAM, encoding="utf-8")
    found = set()
    for seed, arguments, text in (("1", ["-"], PROGRAM), ("2", [str(tmp_path / "script.py")], "")):
        done = subprocess.run(
            [sys.executable, *arguments],
            input=text,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1
    assert len(set(found.pop().split())) == 2


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("def f(x):\n    return x + 1", "# moved\n\ndef f(x):  # and commented\n    return (x + 1)", True),
        ("def f(x):\n    return x + 1", "def f(x):\n    return x + 2", False),
        ("def f(x=1): return x", "def f(x=2): return x", False),
        ("def f(*, x=1): return x", "def f(*, x=2): return x", False),
        ("n = 1\ndef f(): return n", "n = 2\ndef f(): return n", False),
        ("n = 1\ndef f(): return 3", "n = 2\ndef f(): return 3", True),
        # An attribute of that name is no global.
        ("n = 1\ndef f(x): return x.n", "n = 2\ndef f(x): return x.n", True),
        ("def g(): return 1\ndef f(): return g()", "def g(): return 2\ndef f(): return g()", False),
        ("def g(n):\n  return lambda: n\nf = g(1)", "def g(n):\n  return lambda: n\nf = g(2)", False),
        ("class f:\n  a = 1", "class f:\n  a = 2", False),
        ("class f:\n  def g(self): return 1", "class f:\n  def g(self): return 2", False),
        ("class b: a = 1\nclass f(b): pass", "class b: a = 2\nclass f(b): pass", False),
        ("class f:\n  @property\n  def a(self): return 1", "class f:\n  @property\n  def a(self): return 2", False),
        ("class f:\n  @staticmethod\n  def a(): return 1", "class f:\n  @staticmethod\n  def a(): return 2", False),
    ],
)
def test_code(one, other, equal):
    """What code does counts, with all that it uses; comments, lines and unused names do not."""
    assert (digest_object(define(one)) == digest_object(define(other))) is equal


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Settings:
    units: int


DIFFERENT = [
    (1, 2),
    (1, 1.0),
    (1, True),
    ("1", b"1"),
    ([1], (1,)),
    ({"a": 1}, {"a": 2}),
    ({1, 2}, {1, 3}),
    (np.arange(3), np.arange(4)),
    (np.arange(3), np.arange(3.0)),
    (np.float32(1), np.float64(1)),
    (np.array(["a", None]), np.array(["b", None])),
    (pd.Series([1, 2]), pd.Series([1, 3])),
    (Color.RED, Color.BLUE),
    (Settings(1), Settings(2)),
    (functools.partial(len, [1]), functools.partial(len, [2])),
    (len, sum),
    (np.exp, np.log),
    (threading, enum),
    (keras.losses.Huber(0.1), keras.losses.Huber(0.2)),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_values(one, other):
    """Equal values have one digest, also as other objects; different ones have different digests."""
    assert digest_object(one) == digest_object(one)
    assert digest_object([one, one]) == digest_object([one, one])
    assert digest_object(one) != digest_object(other)


def test_shared_and_repeated_values_are_alike():
    """Whether two parts are one object depends on chance, such as the strings that Python shares."""
    word = [1, 2]
    assert digest_object([word, word]) == digest_object([[1, 2], [1, 2]])


def test_names_of_layers_count_objects_and_not_code():
    """A layer made later has another name, and is the same layer; other weights are another model."""

    def make(value: float) -> keras.Model:
        start = keras.initializers.Constant(value)
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, kernel_initializer=start)])

    assert digest_object(keras.initializers.HeNormal()) == digest_object(keras.initializers.HeNormal())
    assert digest_object(make(0.5)) == digest_object(make(0.5))
    assert digest_object(make(0.5)) != digest_object(make(0.25))


def test_a_layer_without_get_config_is_digested():
    """Keras's `get_config` raises for such a class."""

    class Gate(keras.layers.Layer):
        def __init__(self, width):
            super().__init__()
            self.width = width

    assert digest_object(Gate(1)) == digest_object(Gate(1))


def test_what_cannot_be_pickled_raises():
    """A lock has no content to compare."""
    with pytest.raises(TypeError):
        digest_object(threading.Lock())
