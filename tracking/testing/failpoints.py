"""Failpoints: named places in the write order where a test can kill the process.

`KERASTUDY_FAILPOINTS=trial-reported` kills the process with SIGKILL when it hits that failpoint, `trial-reported:3`
when it hits it for the third time; several are separated by commas. With `KERASTUDY_FAILPOINTS_ONCE=FOLDER` each
failpoint kills one process only, over all processes and runs, and leaves a file of its name there. Without the first
setting, a failpoint costs one test of an empty dictionary.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

Side = Literal["supervisor", "worker", "delivery"]

SETTING: Final = "KERASTUDY_FAILPOINTS"
ONCE_SETTING: Final = "KERASTUDY_FAILPOINTS_ONCE"

FAILPOINTS: Final[Mapping[str, Side]] = {
    # Submitting.
    "data-prepared": "worker",
    "study-enqueued": "supervisor",
    "lease-claimed": "supervisor",
    "study-opened": "supervisor",
    # A trial starts.
    "trial-drawn": "supervisor",
    "trial-rows-added": "supervisor",
    "trial-start-recorded": "supervisor",
    "slots-answered": "supervisor",
    "fleet-filled": "worker",
    # A trial trains.
    "epoch-logged": "worker",
    "epochs-recorded": "supervisor",
    "lease-renewed": "supervisor",
    "checkpoint-aside": "worker",
    "checkpoint-moved-back": "worker",
    "checkpoint-written": "worker",
    # A trial ends.
    "history-written": "worker",
    "weights-aside": "worker",
    "weights-written": "worker",
    "model-aside": "worker",
    "model-written": "worker",
    "pause-due": "worker",
    "pause-written": "worker",
    "result-due": "worker",
    "result-written": "worker",
    "trial-end-due": "supervisor",
    "trial-end-recorded": "supervisor",
    "trial-reported": "supervisor",
    "checkpoints-removed": "supervisor",
    # A trial is paused, and goes on.
    "trial-pause-due": "supervisor",
    "trial-pause-recorded": "supervisor",
    "trial-paused": "supervisor",
    "trial-promoted": "supervisor",
    # Rows go to MLflow.
    "run-created": "delivery",
    "artifacts-uploaded": "delivery",
    "model-created": "delivery",
    "model-logged": "delivery",
    "run-logged": "delivery",
    "rows-delivered": "delivery",
    "rows-acknowledged": "delivery",
    # The study ends.
    "model-ahead-written": "worker",
    "model-ahead-moving": "supervisor",
    "models-written": "supervisor",
    "models-recorded": "supervisor",
    "retraining-recorded": "supervisor",
    "winner-chosen": "supervisor",
    "winner-tested": "supervisor",
    "study-closing": "supervisor",
    "study-closed": "supervisor",
    "version-created": "delivery",
    # A study is deleted.
    "deletion-stored": "supervisor",
    "deletion-versions-removed": "supervisor",
    "deletion-runs-removed": "supervisor",
    "deletion-files-removed": "supervisor",
    "deletion-rows-removed": "supervisor",
    # A backup is restored to database servers.
    "restoration-home-adapted": "supervisor",
    "restoration-home-placed": "supervisor",
    "restoration-store-loaded": "supervisor",
    "restoration-mlflow-loaded": "supervisor",
    "restoration-files-copied": "supervisor",
    "restoration-part-done": "supervisor",
}
"""Every failpoint and the process that hits it: the supervisor's, a worker's, or the one that delivers to MLflow."""


def _parse_failpoints(text: str) -> dict[str, int]:
    """Return how often each failpoint is still to be hit, from `name` or `name:n`, separated by commas."""
    counts = {}
    for each in filter(None, text.split(",")):
        name, _, count = each.partition(":")
        if name not in FAILPOINTS:
            raise ValueError(f"{SETTING}: there is no failpoint {name!r}; there are: {', '.join(FAILPOINTS)}")
        counts[name] = int(count or 1)
    return counts


_left: dict[str, int] = _parse_failpoints(os.environ.get(SETTING, ""))


def hit(name: str) -> None:
    """Kill this process if the failpoint is armed."""
    if _left:
        _hit(name)


def arm(text: str) -> None:
    """Arm other failpoints in this process than the environment does."""
    _left.clear()
    _left.update(_parse_failpoints(text))


def _hit(name: str) -> None:
    if name not in _left:
        return
    _left[name] -= 1
    if _left[name] == 0 and _is_first(name):
        # Not `os._exit`: like a power cut, SIGKILL runs no handler and flushes no buffer.
        os.kill(os.getpid(), signal.SIGKILL)


def _is_first(name: str) -> bool:
    """Return whether no process was killed here before, and record it."""
    folder = os.environ.get(ONCE_SETTING, "")
    if not folder:
        return True
    try:
        # Mode "x" is atomic between processes.
        with (Path(folder) / name).open("x"):
            return True
    except FileExistsError:
        return False
