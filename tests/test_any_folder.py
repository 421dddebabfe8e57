"""Studies in folders whose files have the names of our packages, of libraries, or of Python's own modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command import environment, kerastudy

_SCRIPT = """
import kerastudy

written = {
    "study": "here", "data": {"source": "sklearn:iris"}, "model": "mlp", "budget": {"trials": 1},
    "space": {"epochs": 1, "depth": 1}, "resources": {"workers": 1},
}
result = kerastudy.run_study(kerastudy.make_study(written), home="home")
print(result.state, len(result.trials))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder where `pipelines` is a package of the user, and other names are taken too."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "__init__.py").write_text("raise SystemExit('the wrong pipelines')\n")
    for name in ("tracking", "search_spaces", "keras"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the wrong {name}')\n")
    return tmp_path


def run_python(*arguments: str, cwd: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, and return the completed process."""
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=cwd, input=text, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.long
def test_a_script_from_standard_input(folder: Path) -> None:
    """A script without a file and without a `__main__` guard runs a study, in any folder, and runs once."""
    done = run_python("-", cwd=folder, text=_SCRIPT)
    assert done.stdout == "finished 1\n", done.stderr


@pytest.mark.parametrize("start", ["command", "module"])
def test_the_command_line_starts(folder: Path, start: str) -> None:
    """Both commands find our packages and the libraries."""
    for name in ("optuna", "signal"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('the wrong {name}')\n")
    (folder / "path").mkdir()
    (folder / "path" / "pipelines.py").write_text("raise SystemExit('the wrong pipelines')\n")
    if start == "command":
        done = kerastudy("list", cwd=folder, PYTHONPATH=str(folder / "path"))
    else:
        done = run_python("-m", "kerastudy", "list", cwd=folder)
    assert "there are no studies" in done.stderr


def test_a_script_beside_a_file_named_like_a_library(folder: Path) -> None:
    """A script whose folder hides a library that the search needs is stopped with the file's path."""
    (folder / "optuna.py").write_text("")
    done = run_python("-c", "import kerastudy; kerastudy.load_study", cwd=folder)
    assert done.stderr.splitlines()[-1] == (
        f'ImportError: {folder / "optuna.py"} hides the library "optuna", which kerastudy needs; rename it'
    )


def test_a_package_of_the_user_that_is_imported_already(folder: Path) -> None:
    """A script that has imported a package named like ours gets its name in the error."""
    (folder / "tracking.py").write_text("")
    done = run_python("-c", "import tracking, kerastudy", cwd=folder)
    assert done.stderr.splitlines()[-1] == (
        f'ImportError: kerastudy has a package named "tracking", and {folder / "tracking.py"} was imported under this '
        "name; rename it"
    )
