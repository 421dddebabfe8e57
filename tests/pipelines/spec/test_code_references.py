"""User code, loaded by its path."""

import sys
from types import ModuleType

import pytest

from pipelines.spec.code_references import find_stopped_import, load_function
from pipelines.spec.search_guard import stop_if_importing
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


def write_script(folder, *lines, name="script.py"):
    (folder / name).write_text("\n".join([*lines, ""]))


class Tuner:
    """A tuner that stands for KerasTuner's."""

    def search(self):
        raise AssertionError("searched")


@pytest.fixture
def tuner(monkeypatch):
    """KerasTuner as a worker has it: loaded."""
    loaded = ModuleType("keras_tuner")
    loaded.Tuner = Tuner
    monkeypatch.setitem(sys.modules, "keras_tuner", loaded)


@pytest.mark.usefixtures("tuner")
def test_a_search_at_top_level_is_not_run(tmp_path):
    """What stands above the search is loaded; the search, and what uses its result, is not run."""
    lines = ("from keras_tuner import Tuner", "def build(): return 7", "try:", "    tuner = Tuner().search()")
    write_script(tmp_path, *lines, "except Exception: pass", "tuner.get_best_models()", "def load(): return 8")
    assert load_function("script.py:build", tmp_path, "model")() == 7
    stop = find_stopped_import("script.py:build", tmp_path, "model")
    assert str(stop).startswith(
        "script.py, line 4 calls Tuner.search: neither that nor what follows is run; put it below"
    )
    assert failure("script.py:load", tmp_path) == f'model: script.py defines no "load"; {stop}'
    assert Tuner.search.__name__ == "search"


@pytest.mark.usefixtures("tuner")
def test_a_search_in_a_function(tmp_path):
    """A function called at the top level may hold the search; the line is that of its call."""
    write_script(tmp_path, "from keras_tuner import Tuner", "def main():", "    Tuner().search()", "main()")
    assert find_stopped_import("script.py:main", tmp_path, "model").line == 4


@pytest.mark.usefixtures("tuner")
def test_a_search_in_an_imported_module(tmp_path):
    """A module that searches while it is imported cannot be imported, and is named."""
    write_script(tmp_path, "from keras_tuner import Tuner", "Tuner().search()", name="kerastudy_test_searching.py")
    write_script(tmp_path, "import kerastudy_test_searching", "def build(): return 7")
    message = failure("script.py:build", tmp_path)
    assert "script.py cannot be imported: kerastudy_test_searching.py, line 2 calls Tuner.search: " in message


def test_a_study_of_ours_at_top_level(tmp_path):
    """`run_study` is not run either while a file is imported; elsewhere it runs."""
    write_script(tmp_path, "import kerastudy", "def build(): return 7", "kerastudy.run_study(None)")
    assert load_function("script.py:build", tmp_path, "model")() == 7
    assert "calls kerastudy.run: " in str(find_stopped_import("script.py:build", tmp_path, "model"))
    stop_if_importing("kerastudy.run_study")
