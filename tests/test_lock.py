"""The lock files pin what pyproject.toml asks for, and name no package index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = ["requirements.lock", "requirements-dev.lock"]


def _pins(lock: str) -> dict[str, str]:
    lines = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", lines, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_pinned_within_its_range(lock: str) -> None:
    """A pin exists for each dependency and is a version that pyproject.toml allows."""
    extras = ["postgresql", "jax", *(["onnx", "openvino", "dev"] if "dev" in lock else [])]
    wanted = [*PROJECT["dependencies"], *(name for extra in extras for name in PROJECT["optional-dependencies"][extra])]
    pins = _pins(lock)
    wrong = [r for r in map(Requirement, wanted) if not r.specifier.contains(pins.get(canonicalize_name(r.name), ""))]
    assert wrong == []


def test_both_lock_files_agree() -> None:
    """What the command runs on is what the tests run on."""
    command, tests = _pins("requirements.lock"), _pins("requirements-dev.lock")
    assert {name: version for name, version in command.items() if tests.get(name) != version} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_index(lock: str) -> None:
    """Where packages come from is the reader's own setting: a lock file holds no address and no path."""
    assert re.findall(r"^-.*|https?://\S+|file:\S+", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    """Every pin carries the hashes that pip checks a download against."""
    entries = re.split(r"^(?=[A-Za-z0-9._-]+==)", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
