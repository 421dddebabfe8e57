"""Pickles of user code: what they bring to another process, and what cannot be sent."""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import pytest

from pipelines.objects import pickles
from pipelines.objects.kerastudy_pickle import load_pickle, name_python
from pipelines.objects.pickles import pickle_code
from search_spaces.errors import InputError


def write(folder: Path, value, name="it") -> Path:
    """Write a pickle as `code_files` does; return the Python file beside it."""
    file = folder / "model.py"
    file.with_suffix(".pkl").write_bytes(pickle_code(name, value).content)
    return file


def failure(value, name="build") -> str:
    with pytest.raises(InputError) as caught:
        pickle_code(name, value)
    return str(caught.value)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a module of the user, beside a script of hers."""
    (tmp_path / "kerastudy_test_layers.py").write_text("factor = 3\n\ndef scale(x):\n    return x * factor\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("kerastudy_test_layers")
    del sys.modules["kerastudy_test_layers"]


def test_user_code_travels_whole(tmp_path, module, monkeypatch):
    """A process that has neither the script nor its modules runs the code; installed modules are imported there."""
    names = {"__name__": "__main__", "module": module, "scale": module.scale, "json": json}
    exec("def build(x): return json.dumps([module.scale(x), scale(x)])", names)
    file = write(tmp_path / "..", functools.partial(names["build"], 2))
    program = (
        "import sys; from pipelines.objects.kerastudy_pickle import load_pickle as l; print(l(*sys.argv[1:])['it']())"
    )
    ours = os.pathsep.join(each for each in sys.path if each != str(tmp_path))
    (tmp_path / "kerastudy_test_layers.py").write_text("raise SystemExit('imported')\n")
    command = [sys.executable, "-c", program, str(file), name_python()]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": ours}, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[6, 6]\n", "")


def test_classes_are_found_by_name(tmp_path):
    """Keras needs the layers of a model by their names, and under the names that they were registered with."""

    @keras.saving.register_keras_serializable("kerastudy_test", "Gated")
    class Gate(keras.layers.Layer):
        pass

    class Plain(keras.layers.Layer):
        pass

    def build():
        return Gate(), Plain()

    file = write(tmp_path, build, "build")
    keras.saving.get_custom_objects().pop("kerastudy_test>Gated")
    names = load_pickle(str(file), name_python())
    assert {"build", "Gate", "Plain"} <= set(names)
    assert keras.saving.get_registered_object("kerastudy_test>Gated") is names["Gate"]
    keras.saving.get_custom_objects().pop("kerastudy_test>Gated")


LOCK = threading.Lock()


class Holder:
    def __init__(self, value):
        self.value = value

    def build(self, hp):
        return self.value


def define(text: str, **names: object):
    names["__name__"] = "__main__"
    exec(text, names)
    return names["build"]


def test_what_cannot_be_sent_is_named(tmp_path):
    """The message has the way to the value, its type and two things to do."""
    text = failure(define("def build(hp): return lock", lock=LOCK))
    assert text.startswith("build uses lock, of type lock, which cannot be sent to a worker process: ")
    assert text.endswith('make it inside build, or write the code to a file and pass "file.py:build"')
    with (tmp_path / "log.txt").open("w") as log, (tmp_path / "log.txt").open() as opened:
        assert "build uses log, of type TextIOWrapper," in failure(define("def build(hp): return log", log=log))
        assert "build uses log, of type TextIOWrapper," in failure(define("def build(hp): return log", log=opened))
    way = define("def inner(): return lock\ndef build(hp): return inner()", lock=LOCK)
    assert "build uses lock, of type lock, which cannot be sent to a worker process (by way of inner)" in failure(way)
    assert "build uses rows[1], of type generator," in failure(
        define("def build(hp): return rows", rows=[1, (each for each in "a")])
    )
    assert "Holder.value, of type lock," in failure(Holder(LOCK), "Holder")
    assert "build uses keywords['k'], of type lock," in failure(functools.partial(len, k=LOCK))


def test_modules_are_sent_by_name_again(module):
    """The pickling of the user's modules by value ends with each pickle."""
    pickle_code("scale", module.scale)
    assert pickles.cloudpickle.list_registry_pickle_by_value() == set()
