"""Loading of pickled code: its sources, its folders, its version of Python."""

from __future__ import annotations

import inspect
import linecache
import sys
from pathlib import Path

import pytest

from pipelines.objects.kerastudy_pickle import load_pickle, name_python
from pipelines.objects.pickles import pickle_code


def write(folder: Path, value) -> Path:
    """Write a pickle as `code_files` does; return the Python file beside it."""
    file = folder / "model.py"
    file.with_suffix(".pkl").write_bytes(pickle_code("it", value).content)
    return file


def test_sources_travel_too(tmp_path):
    """TensorFlow compiles functions from their source: a worker gets the lines as they were."""
    script = tmp_path / "script.py"
    script.write_text("def build():\n    return 1\n")
    names: dict = {"__name__": "__main__"}
    exec(compile(script.read_text(), str(script), "exec"), names)
    file = write(tmp_path, names["build"])
    script.write_text("# edited\n" * 9)
    linecache.clearcache()
    assert inspect.getsource(load_pickle(str(file), name_python())["it"]) == "def build():\n    return 1\n"


def test_another_python_is_refused(tmp_path):
    """Bytecode differs between minor versions: the message names the one to use."""
    file = write(tmp_path, len)
    with pytest.raises(ImportError, match=r"sent from Python 3\.2, .* use Python 3\.2"):
        load_pickle(str(file), "3.2")


def test_folders_of_the_user_are_searched_last(tmp_path, monkeypatch):
    """A function may import a module of the user's when it is called."""
    monkeypatch.syspath_prepend(str(tmp_path))
    file = write(tmp_path, len)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    load_pickle(str(file), name_python())
    assert str(tmp_path) in sys.path[1:]
