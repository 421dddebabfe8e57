"""Places in the write order where a test may have this process killed, by name.

`KERASTUDY_FAILPOINTS=trial-reported` kills the process with SIGKILL when it comes to that place, `trial-reported:3` when it comes
there for the third time; several are divided by commas. With `KERASTUDY_FAILPOINTS_ONCE=FOLDER` each place kills one process
only, over all processes and runs, and leaves a file of its name there. Without the first, a place costs one test of an
empty dictionary.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

Side = Literal["supervisor", "worker"]

AT: Final = "KERASTUDY_FAILPOINTS"
ONCE: Final = "KERASTUDY_FAILPOINTS_ONCE"

POINTS: Final[Mapping[str, Side]] = {
    # Submitting.
    "data-prepared": "worker",
    "study-enqueued": "supervisor",
    "lease-claimed": "supervisor",
    "study-opened": "supervisor",
    # A trial begins.
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
    "result-due": "worker",
    "result-written": "worker",
    "trial-end-due": "supervisor",
    "trial-end-recorded": "supervisor",
    "trial-reported": "supervisor",
    "checkpoints-removed": "supervisor",
    # Rows go to MLflow.
    "run-created": "supervisor",
    "artifacts-uploaded": "supervisor",
    "model-created": "supervisor",
    "model-logged": "supervisor",
    "run-logged": "supervisor",
    "rows-delivered": "supervisor",
    "rows-acknowledged": "supervisor",
    # The study ends.
    "models-written": "supervisor",
    "models-recorded": "supervisor",
    "retraining-recorded": "supervisor",
    "winner-chosen": "supervisor",
    "winner-tested": "supervisor",
    "study-closing": "supervisor",
    "study-closed": "supervisor",
    "version-created": "supervisor",
}
"""Every place and the process that comes to it: the supervisor's, or a worker's."""


def _wanted(text: str) -> dict[str, int]:
    """Return how often each place is still to be reached, from `name` or `name:n`, divided by commas."""
    wanted = {}
    for each in filter(None, text.split(",")):
        name, _, count = each.partition(":")
        if name not in POINTS:
            raise ValueError(f"{AT}: there is no place {name!r}; there are: {', '.join(POINTS)}")
        wanted[name] = int(count or 1)
    return wanted


_left: dict[str, int] = _wanted(os.environ.get(AT, ""))


def reach(name: str) -> None:
    """End this process here if it was wanted to die here."""
    if _left:
        _reach(name)


def arm(text: str) -> None:
    """Want this process to die at other places than the environment says."""
    _left.clear()
    _left.update(_wanted(text))


def _reach(name: str) -> None:
    if name not in _left:
        return
    _left[name] -= 1
    if _left[name] == 0 and _is_first(name):
        os.kill(os.getpid(), signal.SIGKILL)


def _is_first(name: str) -> bool:
    """Say whether no process has died here before, and note it."""
    folder = os.environ.get(ONCE, "")
    if not folder:
        return True
    try:
        with (Path(folder) / name).open("x"):
            return True
    except FileExistsError:
        return False
