"""Tab completion in the shells that are installed, by the lines that the page on the command line shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pipelines import cli
from pipelines.cli.options import complete_study
from tracking.store.study_queue import StudyQueue

PAGE = (Path(__file__).parents[3] / "docs/command-line.md").read_text(encoding="utf-8")
SET_UP = {
    shell: line.replace("\\|", "|")
    for shell, line in re.findall(r"^\| (bash|zsh|fish)[^|]*\|[^|]*\| `(.+)` \|$", PAGE, re.M)
}
REQUEST = {
    # What each shell does when the tabulator is pressed.
    "bash": "COMP_WORDS=({words}); COMP_CWORD=$(({count} - 1)); "
    '_kerastudy_completion kerastudy; echo "${{COMPREPLY[@]}}"',
    "zsh": "words=({words}); CURRENT={count}; _kerastudy_completion",
    "fish": "complete -C '{words}'",
}
BEFORE = {
    # zsh calls completions from its line editor alone: these stand for what its editor would call, with their arrays.
    "zsh": "compdef() {}; compadd() { print -rl -- ${(P)5} }; _describe() { print -rl -- ${(P)3} }; ",
}


def complete(shell, words, folder, **environment):
    """Return what a shell offers for a line whose last word is incomplete."""
    request = REQUEST[shell].format(words=words, count=len(words.split()))
    script = f"{BEFORE.get(shell, '')}{SET_UP[shell]}\n{request}\n"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"PATH": path, "HOME": str(folder), "KERASTUDY_HOME": str(folder / "home"), **environment}
    done = subprocess.run([shell, "-c", script], env=settings, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(re.findall(r"[\w-]+", done.stdout))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_verbs_and_options(shell, tmp_path):
    """The line of the page makes the shell offer the verbs and options that begin as the word does."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert {"show", "submit"} - complete(shell, "kerastudy s", tmp_path) == set()
    assert "--columns" in complete(shell, "kerastudy trials wine --co", tmp_path)


def make_context(home=None, verb_home=None):
    root = click.Context(cli.commands, info_name="kerastudy")
    root.params["home"] = home
    context = click.Context(cli.commands.commands["show"], parent=root, info_name="show")
    context.params["verb_home"] = verb_home
    return context


def test_names_of_studies_are_completed(home, study, store, monkeypatch):
    """Those of the home that the command would use."""
    monkeypatch.delenv("KERASTUDY_URL", raising=False)
    assert [record.name for record in StudyQueue(store).list()] == ["s"]
    folder = str(home.folder)
    assert complete_study(make_context(folder), None, "") == ["s"]
    assert complete_study(make_context(None, folder), None, "s") == ["s"]
    assert complete_study(make_context(folder), None, "x") == []


@pytest.mark.parametrize("broken", [False, True])
def test_completion_is_silent_without_a_home(tmp_path, monkeypatch, broken):
    """No home, or one that cannot be read, has no names; nothing is created."""
    monkeypatch.delenv("KERASTUDY_URL", raising=False)
    home = tmp_path / "home"
    if broken:
        home.mkdir()
        (home / "kerastudy.db").write_text("no database")
    assert complete_study(make_context(str(home)), None, "") == []
    assert home.exists() == broken


def test_completion_is_silent_where_no_service_answers(monkeypatch):
    """An address at which nothing listens has no names."""
    monkeypatch.setenv("KERASTUDY_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("KERASTUDY_TOKEN", "t")
    assert complete_study(make_context(), None, "") == []
