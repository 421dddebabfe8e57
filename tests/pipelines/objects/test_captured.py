"""Parts of objects: whose code it is, and what a function captures."""

from __future__ import annotations

import functools
import json
import sys
from types import ModuleType

import keras
import numpy as np
import pytest

from pipelines.objects.captured import is_user_code, list_captured, list_parts, list_user_folders, list_user_modules


@pytest.mark.parametrize("value", [len, np, np.ndarray, json.dumps, keras.Model, int, type(len), is_user_code, sys])
def test_installed_code_is_sent_by_name(value):
    """Python's, a package's and kerastudy's own code has a name in every process."""
    assert not is_user_code(value)


def test_other_code_is_the_users():
    """The main script, modules elsewhere, functions in functions and modules that are gone are sent by value."""

    def inner():
        return 1

    made: dict = {"__name__": "kerastudy_test_gone"}
    exec("def f(): pass\nclass C: pass", made)
    assert all(map(is_user_code, (ModuleType("__main__"), sys.modules[__name__], inner, made["f"], made["C"])))
    # A closure that a library made cannot be imported.
    assert is_user_code(functools.wraps(inner)(lambda: 1))


def test_modules_and_folders_of_the_user(tmp_path, monkeypatch):
    """Those are sent that no package manager installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    assert sys.modules[__name__] in list_user_modules()
    assert not {"json", "numpy", "keras", "pipelines.api"} & {each.__name__ for each in list_user_modules()}
    assert str(tmp_path.resolve()) in list_user_folders()
    assert not any("site-packages" in folder for folder in list_user_folders())


def test_captured_values():
    """Defaults, enclosing variables and used globals, those of inner functions included."""
    names: dict = {"__name__": "__main__"}
    text = "a = b = c = 1\ndef outer(n):\n  def f(x, y=2, *, z=3):\n    return [a for _ in x if (lambda: b)() and n]\n"
    exec(text + "  return f\nf = outer(4)", names)
    assert list_captured(names["f"]) == {"y": 2, "z": 3, "n": 4, "a": 1, "b": 1}


def test_parts_of_a_librarys_object_are_its_own():
    """An error names what the user wrote, not what lies inside a library's object."""
    assert list(list_parts(keras.losses.Huber())) == []
    assert list(list_parts(np.ones(2))) == []
