"""User code, loaded by its path."""

import sys

import pytest

from pipelines.spec.code_references import load_function
from search_spaces.errors import InputError


@pytest.fixture(autouse=True)
def _leave_the_path_alone(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


def failure(reference, base) -> str:
    with pytest.raises(InputError) as caught:
        load_function(reference, base, "model")
    assert [found.path for found in caught.value.problems] == ["model"]
    return str(caught.value)


def test_function_with_imports_beside_it(tmp_path):
    """A function is loaded by its file's path, and may import modules that lie beside it."""
    (tmp_path / "kerastudy_test_beside.py").write_text("value = 3\n")
    (tmp_path / "code.py").write_text("from kerastudy_test_beside import value\n\ndef load():\n    return value\n")
    assert load_function("code.py:load", tmp_path, "model")() == 3


def test_files_of_the_same_name(tmp_path):
    """Two folders may each have a file of the same name."""
    for word in ("a", "b"):
        (tmp_path / word).mkdir()
        (tmp_path / word / "code.py").write_text(f"def name():\n    return '{word}'\n")
    assert [load_function(f"{word}/code.py:name", tmp_path, "model")() for word in "ab"] == ["a", "b"]


def test_edited_file(tmp_path):
    """A file that was edited is loaded again; one that was not keeps its module."""
    (tmp_path / "code.py").write_text("def one():\n    return 1\n")
    first = load_function("code.py:one", tmp_path, "model")
    assert load_function("code.py:one", tmp_path, "model") is first
    (tmp_path / "code.py").write_text("def one():\n    return 2\n")
    assert load_function("code.py:one", tmp_path, "model")() == 2


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("cod.py:build", 'did you mean "code.py"'),
        ("code.py:biuld", 'did you mean "build"'),
        ("code.py:value", "to be a function, got int"),
        ("code.py", 'expected "file.py:function"'),
        ("code.py:", 'expected "file.py:function"'),
    ],
)
def test_wrong_references(tmp_path, reference, expected):
    """A wrong file or name hints at the nearest."""
    (tmp_path / "code.py").write_text("value = 1\n\ndef build():\n    return 1\n")
    assert expected in failure(reference, tmp_path)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import kerastudy_no_such_module\n", "ModuleNotFoundError"),
        ("x = 1\ndef f(:\n", "SyntaxError"),
        ("x = 1\nraise ValueError('no')\n", "ValueError: no (code.py, line 2)"),
        ("raise SystemExit(3)\n", "SystemExit"),
    ],
)
def test_file_that_cannot_be_imported(tmp_path, code, expected):
    """A file that fails on import is reported with its line, and leaves no half module behind."""
    (tmp_path / "code.py").write_text(code)
    before = set(sys.modules)
    assert expected in failure("code.py:load", tmp_path)
    assert not {name for name in set(sys.modules) - before if name.startswith("kerastudy_user")}


@pytest.mark.parametrize("name", ["tracking.py", "pipelines/x.py", "search_spaces/__init__.py"])
def test_folder_that_hides_our_packages(tmp_path, name):
    """A folder with a module named like ours is refused: its imports would get ours."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    (tmp_path / "code.py").write_text("def load():\n    return 1\n")
    assert "rename it" in failure("code.py:load", tmp_path)
