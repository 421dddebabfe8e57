"""Files of code that came as an object."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import numpy as np
import pytest

from pipelines.objects.code_files import list_changes, list_companions, make_code_files, read_python
from pipelines.objects.kerastudy_pickle import name_python
from pipelines.spec.code_references import load_object
from pipelines.spec.imported_code import list_imported_code
from search_spaces.errors import InputError


def build(hp):
    """Return a value in place of a model."""
    return hp + 1


class Hypermodel:
    """A class in place of a hypermodel."""


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (build, "build"),
        (Hypermodel, "Hypermodel"),
        (Hypermodel(), "Hypermodel"),
        (functools.partial(functools.partial(build), 1), "build"),
        (lambda hp: hp, "model"),
    ],
)
def test_names(value, name):
    """A study names the code as its author does; what has no name is the model."""
    assert make_code_files("model", value).reference == f"model.py:{name}"


def test_the_files_are_code_like_any_other(tmp_path):
    """A reference finds the object, and the text depends on what the code does alone."""
    files = make_code_files("model", build)
    files.write_text(tmp_path)
    files.write_pickle(tmp_path)
    assert load_object(files.reference, tmp_path, "model")(1) == 2
    assert make_code_files("model", build).text == files.text
    assert make_code_files("model", Hypermodel).text != files.text
    assert read_python(tmp_path, "model") == name_python()
    assert read_python(tmp_path, "data") is None


@pytest.mark.long
def test_the_files_need_no_kerastudy(tmp_path):
    """The code of a model goes where the model goes: its packages are named, its loader and its pickle come with it."""
    names: dict = {"__name__": "__main__", "np": np}
    exec("def build(hp):\n    import keras_tuner, json\n    return float(np.sqrt(hp))", names)
    files = make_code_files("model", names["build"])
    files.write_text(tmp_path)
    files.write_pickle(tmp_path)
    found = list_imported_code(tmp_path / "model.py")
    assert set(found.files) == {"model.py"}
    assert found.packages == {"cloudpickle", "keras_tuner", "numpy"}
    assert list_companions(tmp_path / "model.py") == [tmp_path / "model.pkl", tmp_path / "kerastudy_pickle.py"]
    assert list_companions(tmp_path / "kerastudy_pickle.py") == []
    program = "import sys; sys.modules['pipelines'] = None; import model; print(model.build(9))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if "site-packages" in each)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "3.0\n", done.stderr


def test_a_change_is_named():
    """Of what the code uses, else of the code itself."""

    def text(code: str) -> str:
        names: dict = {"__name__": "__main__"}
        exec(code, names)
        return make_code_files("model", names["build"]).text

    before = text("a = b = 1\ndef build(hp): return a, b")
    assert list_changes(before, text("a, b = 1, 2\ndef build(hp): return a, b")) == ["b"]
    assert list_changes(before, text("a = b = 1\ndef build(hp): return b, a")) == ["build"]
    assert list_changes(before, text("a = b = 1\ndef build(hp): return a")) == ["b"]
    assert list_changes(before, before) == []


def test_code_that_cannot_be_compared_is_refused():
    """A value that no digest can be made of would let changed code pass."""

    class Odd:
        def __reduce_ex__(self, protocol):
            raise_once.append(1)
            if len(raise_once) > 2:  # after both pickles
                raise RuntimeError("no more")
            return (int, ())

    raise_once: list[int] = []
    names: dict = {"__name__": "__main__", "odd": Odd()}
    exec("def build(hp): return odd", names)
    with pytest.raises(InputError, match="build uses what cannot be compared with a later run: RuntimeError: no more"):
        make_code_files("model", names["build"])
