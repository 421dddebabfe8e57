"""Imports that would not find the module beside the user's file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import pipelines
from pipelines.spec.import_conflicts import find_import_conflict


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of user code, the last one that Python searches."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return tmp_path


def write(folder, name, text=""):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize(
    ("beside", "code"),
    [
        ("pipelines/x.py", "from pipelines.x import build"),
        ("search_spaces/__init__.py", "import search_spaces"),
        ("tracking.py", "def load():\n    from tracking import rows"),
        ("colorsys.py", "import colorsys as colours"),
        ("yaml.py", "x = 1\ntry:\n    import yaml.nodes\nexcept ImportError:\n    pass"),
        ("numpy/__init__.py", "import numpy.linalg"),
    ],
)
def test_imports_that_find_another_module(folder, beside, code):
    """A module beside the file that is imported, and that an installed one hides, is named with the import's line."""
    write(folder, beside)
    conflict = find_import_conflict(write(folder, "model.py", code))
    first = Path(beside).parts[0]
    name = first.removesuffix(".py")
    line = next(at for at, text in enumerate(code.splitlines(), 1) if name in text)
    assert (conflict.name, conflict.line, conflict.beside) == (name, line, folder / first)
    assert str(conflict).startswith(f'model.py, line {line} imports "{name}": that is ')
    assert str(conflict).endswith("rename yours")


@pytest.mark.parametrize(
    ("beside", "code"),
    [
        ("tracking.py", "import numpy"),
        ("kerastudy_test_rows.py", "import kerastudy_test_rows"),
        ("sys.py", "import sys"),
        ("numpy/notes.py", "import numpy"),
        ("tracking.py", "def build(:"),
        ("model.py", "import model"),
    ],
)
def test_imports_that_find_what_they_name(folder, beside, code):
    """No conflict: a name that is not imported, one of the user's alone, a module that is never searched for."""
    write(folder, beside)
    assert find_import_conflict(write(folder, "model.py", code)) is None


def test_a_file_with_the_name_of_its_library(folder):
    """A model file may have the name of the library that it imports."""
    assert find_import_conflict(write(folder, "numpy.py", "import numpy")) is None


def test_imports_of_imported_modules(folder):
    """The modules beside the file that it imports are read too, each once."""
    write(folder, "kerastudy_test_rows.py", "import kerastudy_test_rows, colorsys")
    write(folder, "colorsys.py")
    conflict = find_import_conflict(write(folder, "model.py", "from kerastudy_test_rows import rows"))
    assert (conflict.file.name, conflict.line) == ("kerastudy_test_rows.py", 1)


def test_our_own_checkout():
    """Code in the folder that holds our packages may import them."""
    assert find_import_conflict(Path(pipelines.__path__[0]) / "api.py") is None
    root = Path(pipelines.__path__[0]).parent
    assert find_import_conflict(root / "kerastudy" / "__main__.py") is None
