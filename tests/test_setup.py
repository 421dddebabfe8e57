"""`make setup` on any machine: the lock is complete, nothing is resolved, and a changed lock is followed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from local_index import LocalIndex

ROOT = Path(__file__).parents[1]
# A project as small as it gets, set up by this repository's own Makefile.
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "smallest"
version = "1.0"
[tool.setuptools]
packages = []
"""
TOOLS = {"uv": version("uv"), "setuptools": version("setuptools")}
OLD = {**TOOLS, "alpha": "1.0", "beta": "1.0", "gamma": "1.0"}
NEW = {**TOOLS, "alpha": "1.0", "beta": "2.0"}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    """An index where `alpha` wants an extra of `beta`, of which a release newer than the lock is offered."""
    index = LocalIndex(tmp_path_factory.mktemp("index"))
    for name in TOOLS:
        index.add_installed(name)
    index.add_package("alpha", "1.0", requires=["beta[fast]>=1"])
    for release in ("1.0", "2.0"):
        index.add_package("beta", release, requires=["gamma; extra == 'fast'"], extras=["fast"])
    index.add_package("gamma", "1.0")
    return index


@pytest.fixture(scope="module")
def address(index: LocalIndex) -> Iterator[str]:
    with index.serve() as address:
        yield address


@pytest.fixture(scope="module")
def clone(index: LocalIndex, address: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is set up with the old lock, in a folder with a space in its name."""
    clone = tmp_path_factory.mktemp("clone") / "my studies"
    clone.mkdir()
    shutil.copy(ROOT / "Makefile", clone)
    shutil.copytree(ROOT / "scripts", clone / "scripts")
    (clone / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    index.write_lock(clone / "requirements-dev.lock", OLD)
    assert _set_up(clone, address).returncode == 0
    return clone


def _set_up(clone: Path, address: str) -> subprocess.CompletedProcess[str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "VIRTUAL_ENV", "MAKE"))}
    settings = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": address,
        "UV_CACHE_DIR": str(clone / "cache"),
        "UV_HTTP_RETRIES": "0",
        "PYTHON": sys.executable,
    }
    return subprocess.run(
        ["make", "setup"], cwd=clone, env=ours | settings, capture_output=True, text=True, timeout=300, check=False
    )


def _installed(clone: Path) -> dict[str, str]:
    listed = subprocess.run(
        [clone / ".venv/bin/python", "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"],
        capture_output=True,
        check=True,
        timeout=300,
    )
    return {row["name"]: row["version"] for row in json.loads(listed.stdout) if row["name"] not in ("pip", "wheel")}


@pytest.mark.long
def test_newer_releases_on_the_index_change_nothing(clone: Path) -> None:
    """What the lock names is installed, also where another package wants an extra of it and a newer release exists."""
    assert _installed(clone) == {**OLD, "smallest": "1.0"}


@pytest.mark.long
def test_commands_work_in_a_path_with_spaces(clone: Path) -> None:
    """A script of the environment starts although the project's folder has a space in its name."""
    assert subprocess.run([clone / ".venv/bin/uv", "--version"], check=False, timeout=300).returncode == 0


@pytest.mark.long
def test_a_changed_lock_is_followed(clone: Path, index: LocalIndex, address: str) -> None:
    """The next `make` after a change of the lock installs what is new and removes what left it."""
    index.write_lock(clone / "requirements-dev.lock", NEW)
    assert _set_up(clone, address).returncode == 0
    assert _installed(clone) == {**NEW, "smallest": "1.0"}


@pytest.mark.long
def test_an_index_out_of_reach_is_named(clone: Path, index: LocalIndex) -> None:
    """Without an index, set-up fails with a line that says what to check, and the next call tries again."""
    index.write_lock(clone / "requirements-dev.lock", OLD)
    shutil.rmtree(clone / "cache", ignore_errors=True)
    for _ in range(2):
        failed = _set_up(clone, "http://127.0.0.1:9/simple/")
        assert failed.returncode != 0
        assert "the package index could not be reached" in failed.stderr


@pytest.mark.long
def test_wrong_content_is_refused(clone: Path, index: LocalIndex, address: str) -> None:
    """A package whose content is not what the lock's hash says is not installed."""
    index.write_lock(clone / "requirements-dev.lock", OLD)
    lock = clone / "requirements-dev.lock"
    before, name, after = lock.read_text(encoding="utf-8").partition("gamma==1.0")
    lock.write_text(before + name + re.sub(r"sha256:\w{64}", f"sha256:{'0' * 64}", after, count=1), encoding="utf-8")
    refused = _set_up(clone, address)
    assert refused.returncode != 0
    assert "gamma" in refused.stderr
    assert "Set-up stopped" in refused.stderr


@pytest.mark.parametrize("known", [("python3.99",), ("false",), ("no such/python 3",)])
def test_an_unsuitable_python_is_named(known: tuple[str], tmp_path: Path) -> None:
    """Without a supported Python, the message names what was looked for and how to choose one."""
    refused = subprocess.run(
        [ROOT / "scripts/setup_venv.sh", tmp_path / ".venv", ROOT / "requirements-dev.lock"],
        env={**os.environ, "PYTHON": known[0]},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert refused.returncode == 1
    assert known[0] in refused.stderr
    assert "3.11, 3.12 or 3.13" in refused.stderr
