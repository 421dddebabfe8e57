"""Cost of importing the entry points, and the layers that import-linter checks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"tensorflow", "keras", "keras_tuner", "mlflow", "pandas", "sklearn", "matplotlib", "jax", "ray"}


@pytest.mark.parametrize("module", ["kerastudy", "pipelines.cli", "pipelines.study.load", "search_spaces.space"])
def test_front_modules_import_nothing_heavy(module: str) -> None:
    """The command line, the study-file loader and the space language start without the heavy libraries."""
    assert _loaded_by(f"import {module}") & HEAVY == set()


def test_help_imports_no_optuna() -> None:
    """`kerastudy --help` pays for no library that only a search needs."""
    program = """
import sys
import pipelines.cli
sys.argv = ["kerastudy", "--help"]
try:
    pipelines.cli.main()
except SystemExit:
    pass
"""
    assert _loaded_by(program) & (HEAVY | {"optuna", "sqlalchemy", "numpy"}) == set()


def test_layers_hold() -> None:
    """Imports run one way: every import-linter contract of pyproject.toml is kept."""
    lint_imports = shutil.which("lint-imports", path=Path(sys.executable).parent)
    assert lint_imports, "import-linter is missing from this environment: make setup"
    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def _loaded_by(program: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after running a program."""
    program += "\nimport json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))
