"""The `kerastudy` command as a person starts it: another process, with a home and a temporary folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = Path(sys.executable).with_name("kerastudy")


def environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without what would point a command elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("KERASTUDY_", "MLFLOW_", "TF_"))}
    return {**kept, **extra}


def kerastudy(
    *arguments: str | Path, cwd: Path, timeout_s: float = 300, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end and return what came of it."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=cwd,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
