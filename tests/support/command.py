"""The `kerastudy` command, as a process of its own or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from session_processes import make_command_settings

COMMAND = Path(sys.executable).with_name("kerastudy")


def environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without variables that point a command elsewhere, or that a test has."""
    others = ("KERASTUDY_", "MLFLOW_", "PYTEST_", "TF_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    return {**kept, **make_command_settings(), **extra}


def kerastudy(
    *arguments: str | Path, cwd: Path, timeout_s: float = 300, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end and return the completed process."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=cwd,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def kerastudy_here(*arguments: str | Path, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, in a hundredth of a process's start; return exit code, output and errors."""
    from pipelines.cli import main

    output, errors, status = StringIO(), StringIO(), 0
    words = ["kerastudy", *map(str, arguments)]
    with (
        patch.dict(os.environ, environment(**extra), clear=True),
        patch.object(sys, "argv", words),
        chdir(cwd),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0
    return subprocess.CompletedProcess(words, status, output.getvalue(), errors.getvalue())


def list_below(folder: Path) -> list[str]:
    """Return everything below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
