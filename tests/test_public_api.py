"""The package `kerastudy`: its names, their docstrings, what importing it costs, and its command."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import kerastudy

ROOT = Path(__file__).parents[1]
HEAVY = {"tensorflow", "keras", "mlflow", "optuna", "sqlalchemy", "pandas", "numpy"}


def test_names_are_those_of_the_page() -> None:
    """`docs/python.md` names every exported name, and the package exports each of them."""
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    assert [name for name in kerastudy.__all__ if f"`kerastudy.{name}" not in page] == []
    assert set(kerastudy.__all__) <= set(dir(kerastudy))


@pytest.mark.parametrize("name", kerastudy.__all__)
def test_each_name_is_documented(name: str) -> None:
    """Each exported name has a docstring, and so has each public method of a class."""
    value = getattr(kerastudy, name)
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        methods = [each for key, each in vars(value).items() if key[0] != "_" and callable(each)]
        assert [each for each in methods if not inspect.getdoc(each)] == []


def test_unknown_names_list_the_choices() -> None:
    """A name that the package does not have is an AttributeError that lists those that it has."""
    with pytest.raises(AttributeError, match=r"no attribute 'load'; it has .*load_study"):
        kerastudy.load  # noqa: B018


def test_import_loads_nothing_heavy() -> None:
    """`import kerastudy` loads no module of pipelines, and no heavy library."""
    program = "import json, sys, kerastudy; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = json.loads(done.stdout)
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()
    assert [name for name in loaded if name.startswith(("pipelines.", "tracking.", "search_spaces."))] == []


def test_loading_a_study_imports_no_keras(tmp_path: Path) -> None:
    """A study is loaded without TensorFlow, Keras and MLflow."""
    file = tmp_path / "study.yaml"
    file.write_text("{study: a, data: {source: 'sklearn:iris'}, model: mlp}\n", encoding="utf-8")
    program = f"import sys, kerastudy; kerastudy.load_study({str(file)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(done.stdout.split()) & {"tensorflow", "keras", "mlflow"} == set()


def test_module_is_the_command() -> None:
    """`python -m kerastudy` is the command line."""
    command = [sys.executable, "-m", "kerastudy", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.startswith("Usage: kerastudy ")
