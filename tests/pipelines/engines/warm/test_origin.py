"""Rules of when two processes have the same origin."""

from __future__ import annotations

import os
import subprocess
import sys

from pipelines.engines.search_path import SAFE_PATH
from pipelines.engines.warm.origin import read_origin

CODE = "import os; from pipelines.engines.warm.origin import read_origin as read; print(read(os.environ).python)"


def find_python(*flags: str, **variables: str) -> str:
    """Return the digest of the interpreter of a process with these options."""
    command = [sys.executable, *flags, "-c", CODE]
    environment = {**{name: value for name, value in os.environ.items() if name != SAFE_PATH}, **variables}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_a_forked_command_uses_the_servers_of_one_that_was_not():
    """Its server keeps the current folder out of its search path; the command that had no server yet does not."""
    assert find_python(**{SAFE_PATH: "1"}) == find_python()


def test_an_option_that_changes_the_interpreter_is_another_origin():
    assert find_python("-O") != find_python()


IMPORTS = """
import importlib, os, sys
import kerastudy
from pipelines.engines.warm.origin import read_origin
given, before = {**os.environ}, read_origin(os.environ).process
for module in sys.argv[1:]:
    importlib.import_module(module)
# Files may change meanwhile: other tests run beside this one.
assert read_origin(os.environ).process == before, sorted(os.environ.items() ^ given.items())
"""


def test_what_a_supervisor_imports_is_no_other_origin():
    """Some libraries set variables when they are imported: the command forked from a server began with these."""
    modules = ["pipelines.cli.preload_supervisor", "sklearn", "mlflow", "matplotlib"]
    # This process may have imported MLflow for other tests, which gives it the number of a session.
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("KMP_", "_MLFLOW_"))}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true"}  # as kerastudy imports it
    subprocess.run([sys.executable, "-c", IMPORTS, *modules], env=unset | quiet, check=True)


def test_another_window_is_no_other_origin():
    """Windows of one terminal, panes, tabs of an editor and notebooks: each has a variable with its number."""
    names = ("KITTY_WINDOW_ID", "TMUX_PANE", "VSCODE_IPC_HOOK_CLI", "WEZTERM_PANE", "JPY_SESSION_NAME", "SSH_TTY")
    first, second = (read_origin({**os.environ, **dict.fromkeys(names, value)}) for value in ("1", "2"))
    assert first == second
    assert read_origin({**os.environ, "XLA_FLAGS": "1"}) != read_origin({**os.environ, "XLA_FLAGS": "2"})
