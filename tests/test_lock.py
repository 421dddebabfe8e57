"""The lock files pin everything that pyproject.toml leads to, and name no package index."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = ["requirements.lock", "requirements-ray.lock", "requirements-dev.lock"]
# torch takes more space than all the rest.
UNLOCKED = {"gp-optuna"}
STORAGES = ["s3", "gcs", "azure"]
EXTRAS = {
    "requirements.lock": ["postgresql", "jax", *STORAGES],
    "requirements-ray.lock": ["postgresql", "jax", *STORAGES, "ray"],
    "requirements-dev.lock": [extra for extra in PROJECT["optional-dependencies"] if extra not in UNLOCKED],
}


def _pins(lock: str) -> dict[str, str]:
    lines = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", lines, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_pinned_within_its_range(lock: str) -> None:
    """A pin exists for each dependency and is a version that pyproject.toml allows."""
    pins = _pins(lock)
    wrong = [r for r in _direct(lock) if not r.specifier.contains(pins.get(canonicalize_name(r.name), ""))]
    assert wrong == []


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_complete(lock: str, python: str, system: str) -> None:
    """Whatever a pinned package requires, by its extras too, is pinned within its range: nothing needs resolving."""
    environment = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": system,
        "platform_system": system.capitalize(),
    }
    pinned = _pins_there(lock, environment)
    missing = [
        f"{parent}: {requirement}"
        for parent, requirement in _reachable(lock, environment)
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), ""), prereleases=True)
    ]
    assert missing == []


def _direct(lock: str) -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    return [
        Requirement(text) for group in (PROJECT["dependencies"], *(extras[e] for e in EXTRAS[lock])) for text in group
    ]


def _pins_there(lock: str, environment: dict[str, str]) -> dict[str, str]:
    """Return the pins whose marker holds in an environment."""
    entries = re.findall(r"^([a-z0-9._-]+)==([^\s;]+)(?: ; (.+?))? \\$", (ROOT / lock).read_text("utf-8"), re.MULTILINE)
    assert entries
    return {name: pin for name, pin, marker in entries if not marker or Marker(marker).evaluate(environment)}


def _reachable(lock: str, environment: dict[str, str]) -> Iterator[tuple[str, Requirement]]:
    """Yield every requirement with its parent, from the project down to packages that are not installed here."""
    waiting = [("kerastudy", requirement) for requirement in _direct(lock)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        parent, requirement = waiting.pop()
        yield parent, requirement
        for extra in ("", *requirement.extras):
            if (requirement.name, extra) in seen:
                continue
            seen.add((requirement.name, extra))
            for text in _required_by(requirement.name):
                child = Requirement(text)
                if child.marker is None or child.marker.evaluate({**environment, "extra": extra}):
                    waiting.append((str(requirement), child))


def _required_by(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


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
