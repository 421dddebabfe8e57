"""The project's habits: checks that run everywhere alike, pages that all stand in the site, a changelog in one form."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

import kerastudy

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
KEEP_A_CHANGELOG = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_ci_runs_every_check() -> None:
    """Continuous integration ends with `make check`; the tests are its last steps, and leave out the slow ones."""
    assert _text(".ci/run").splitlines()[-1] == "make check"
    steps = _steps_of_check()
    assert [step for step in steps if "/run_tests.sh" in step] == steps[-2:]
    chosen = [re.findall(r'-m "([a-z ]+)"', step) for step in steps[-2:]]
    assert chosen == [["not slow and not long"], ["long and not slow"]]


@pytest.mark.parametrize(
    "tool", ["ruff format --check", "ruff check", "mypy", "lint-imports", "codespell", "build --strict", "--cov"]
)
def test_check_includes_each_tool(tool: str) -> None:
    """`make check` runs each of the tools that a change must pass."""
    assert [step for step in _steps_of_check() if re.search(rf"(^|[/ ]){tool}( |$)", step)]


def test_workflow_runs_ci_on_every_supported_python() -> None:
    """The workflow runs `.ci/run` on exactly the Pythons that pyproject.toml supports."""
    supported = SpecifierSet(tomllib.loads(_text("pyproject.toml"))["project"]["requires-python"])
    job = _yaml(".github/workflows/check.yml")["jobs"]["check"]
    assert job["strategy"]["matrix"]["python"] == [f"3.{n}" for n in range(50) if f"3.{n}" in supported]
    assert job["env"]["PYTHON"] == "python${{ matrix.python }}"
    assert ".ci/run" in [step.get("run") for step in job["steps"]]


@pytest.mark.parametrize("action", ["actions/checkout", "actions/setup-python"])
def test_workflow_names_versions_of_actions(action: str) -> None:
    """Every job of the workflow uses the actions in a version that it names."""
    for job in _yaml(".github/workflows/check.yml")["jobs"].values():
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert [name for name in used if re.fullmatch(rf"{action}@v\d+", name)]


@pytest.mark.parametrize("form", ["bug", "feature"])
def test_issue_forms_are_complete(form: str) -> None:
    """An issue form has what a forge requires: a name, a description, and a label for every field."""
    written = _yaml(f".github/ISSUE_TEMPLATE/{form}.yml")
    assert written["name"]
    assert written["description"]
    fields = [field for field in written["body"] if field["type"] != "markdown"]
    assert [field for field in fields if not (field["attributes"]["label"] and field["id"])] == []
    assert len({field["id"] for field in fields}) == len(fields) > 0


def test_every_page_is_in_the_site_once() -> None:
    """Each page of docs/ stands exactly once in the contents of the site, and so does each page added by the hook."""
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    added = set(re.findall(r'^    "[^"]+\.md": "([^"]+\.md)",$', _text("scripts/docs_site.py"), re.MULTILINE))
    listed = [*_pages_in(_yaml("mkdocs.yml")["nav"])]
    assert added
    assert sorted(listed) == sorted(pages | added)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make check` builds it: the smallest flaw of a page fails the build."""
    folder = tmp_path_factory.mktemp("site")
    # Without --quiet, which would also keep warnings from failing the build.
    build = [BIN / "mkdocs", "build", "--strict", "--site-dir", folder]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.mark.long
def test_site_loads_nothing_from_elsewhere(site: Path) -> None:
    """No page of the site loads a script, style, font or image from another host."""
    loads = re.compile(
        r"<(?:script|img|iframe)[^>]+src=\"?(?:https?:)?//[^\s>]+|<link[^>]+href=\"?(?:https?:)?//[^\s>]+"
    )
    pages = [*site.rglob("*.html")]
    assert pages
    assert {found for page in pages for found in loads.findall(page.read_text(encoding="utf-8"))} == set()


def test_reference_has_every_public_name(site: Path) -> None:
    """The reference of the Python API has an entry for each name that `import kerastudy` offers."""
    page = (site / "api.html").read_text(encoding="utf-8")
    assert [name for name in kerastudy.__all__ if f'id="kerastudy.{name}"' not in page] == []


def test_changelog_keeps_its_form() -> None:
    """The changelog opens with Unreleased, dates every release, and has only the sections of Keep a Changelog."""
    first, *releases = re.findall(r"^## (.*)$", _text("CHANGELOG.md"), re.MULTILINE)
    assert first == "[Unreleased]"
    assert [title for title in releases if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", title)] == []
    assert set(re.findall(r"^### (.*)$", _text("CHANGELOG.md"), re.MULTILINE)) <= KEEP_A_CHANGELOG


def test_hooks_call_commands_of_the_environment() -> None:
    """Every hook before a commit is a command that `make setup` installs: nothing is downloaded."""
    for hook in _hooks():
        assert hook["language"] == "system"
        program, *words = hook["entry"].split()
        assert Path(program).parent == Path(".venv/bin")
        assert (BIN / Path(program).name).exists(), program
        assert [word for word in words if word.endswith(".py") and not (ROOT / word).exists()] == []


def test_hooks_are_part_of_check() -> None:
    """What a hook finds before a commit, `make check` finds too."""
    checked = " ".join(_steps_of_check())
    assert [hook["id"] for hook in _hooks() if _called(hook["entry"]) not in checked] == []


def _called(entry: str) -> str:
    """Return a hook's command without its options: `ruff check`, `mypy`, `python scripts/tidy_files.py`."""
    return " ".join(word for word in entry.split() if not word.startswith("--")).removeprefix(".venv/bin/")


def _hooks() -> list[dict[str, Any]]:
    (repository,) = _yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    hooks: list[dict[str, Any]] = repository["hooks"]
    return hooks


def _steps_of_check() -> list[str]:
    """Return the commands that `make check` would run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "-n", "-o", ".venv/.installed", "check"]
    shown = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return shown.stdout.splitlines()


def _pages_in(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for entry in nav.values():
            yield from _pages_in(entry)
    elif isinstance(nav, list):
        for entry in nav:
            yield from _pages_in(entry)


def _yaml(name: str) -> Any:
    return YAML(typ="safe").load(_text(name))


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
