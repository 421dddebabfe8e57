"""The wheel and the sdist hold all that a study needs, and nothing of the repository besides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STUDY = """
study: from-wheel
data: {source: "sklearn:iris"}
model: mlp
space: {extends: mlp-small, epochs: 2}
budget: {trials: 2}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("built")
    command = ["-m", "uv", "build", "--offline", "--no-build-isolation", "--quiet", "--out-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, *command], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def command(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed wheel's command, in an environment that has the dependencies and not this repository."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, venv], check=True)
    wheel = next(built.glob("*.whl"))
    install = ["-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(venv / "bin/python")]
    subprocess.run([sys.executable, *install, wheel], check=True, timeout=120)
    # A path file's folders are searched for modules, and for no path file: the editable install stays out.
    purelib = next((venv / "lib").glob("python3*")) / "site-packages"
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return venv / "bin/kerastudy"


def test_wheel_holds_all_modules_and_spaces(built: Path) -> None:
    """The wheel holds every file of the packages, shipped spaces and type markers included, and nothing else."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    packages = ("kerastudy/", "search_spaces/", "tracking/", "pipelines/")
    assert packed == {name for name in tracked if name.startswith(packages)}


def test_sdist_names_no_path_of_this_machine(built: Path) -> None:
    """The sdist's files lie below one folder and come from the repository."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = sdist.getnames()
    assert {name.split("/")[0] for name in names} == {"kerastudy-0.1.0"}
    assert any(name.endswith("search_spaces/shipped/mlp.yaml") for name in names)


@pytest.mark.long
def test_installed_wheel_runs_a_study(command: Path, tmp_path: Path) -> None:
    """A study runs from the wheel alone, in a folder outside the repository."""
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KERASTUDY", "MLFLOW"))}
    done = subprocess.run(
        [command, "run", "study.yaml"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        [command, "trials", "from-wheel", "--json"], cwd=tmp_path, env=environment, capture_output=True, check=True
    )
    assert [row["state"] for row in json.loads(shown.stdout)] == ["complete", "complete"]
