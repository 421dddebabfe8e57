"""Where a training keeps how far it has come, so that an attempt after a crash goes on from its last whole epochs.

A checkpoint is written aside, synced and renamed; the one before it is kept. Each carries the SHA-256 of its content
and says what it is of, and one that does not add up is passed over: then the previous one counts, or the training
begins anew. How often one is written follows from what it costs: at most a twentieth of the time.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.workspace.atomic_files import aside_of, into_place
from tracking.testing.failpoints import reach

_LEAST_S = 1.0
_SHARE = 20
_DIGEST = 64


@dataclass(frozen=True)
class Kept:
    """A training after some whole epochs.

    Attributes:
        judge: see `Judge.past`.
        best: weights of the best epoch, as `Judge` holds them.
        state: whatever the trainer needs to go on.
    """

    judge: Mapping[str, Any]
    best: Sequence[Any]
    state: Sequence[Any]

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        """Return the metrics of each epoch that is done."""
        history: Sequence[Mapping[str, float]] = self.judge["history"]
        return history


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a trial that is over."""
    for file in folder.glob("*fold-*.checkpoint*"):
        file.unlink(missing_ok=True)


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: the trial's folder.
        fold: the training's number in its trial.
        of: all that the training follows from; a checkpoint of anything else is passed over.
    """

    def __init__(self, folder: Path, fold: int, of: object) -> None:
        self._file = folder / f"fold-{fold}.checkpoint"
        self._previous = folder / f"fold-{fold}.checkpoint-before"
        self._of = hashlib.sha256(repr(of).encode()).hexdigest()
        self._next_s = time.monotonic() + _LEAST_S

    def offer(self, kept: Callable[[], Kept]) -> None:
        """Write a checkpoint after a whole epoch, if it is time for one."""
        began_s = time.monotonic()
        if began_s >= self._next_s:
            self.write(kept())
            ended_s = time.monotonic()
            self._next_s = ended_s + max(_LEAST_S, _SHARE * (ended_s - began_s))

    def write(self, kept: Kept) -> None:
        """Write a checkpoint."""
        about = {"of": self._of, "judge": kept.judge, "best": len(kept.best)}
        arrays = [np.asarray(array) for array in (*kept.best, *kept.state)]
        content = io.BytesIO()
        np.savez(content, np.frombuffer(json.dumps(about).encode(), np.uint8), *arrays)
        data = content.getvalue()
        aside = aside_of(self._file)
        aside.write_bytes(hashlib.sha256(data).hexdigest().encode() + data)
        reach("checkpoint-aside")
        if self._file.exists():
            self._file.replace(self._previous)
            reach("checkpoint-moved-back")
        into_place(aside, self._file)
        reach("checkpoint-written")

    def read(self) -> Kept | None:
        """Return the latest checkpoint of this training; None where there is none that is whole."""
        return next((kept for file in (self._file, self._previous) if (kept := self._read(file)) is not None), None)

    def _read(self, file: Path) -> Kept | None:
        try:
            content = file.read_bytes()
        except OSError:
            return None
        digest, data = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(data).hexdigest().encode() != digest:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            first, *others = (arrays[name] for name in arrays.files)
        about = json.loads(first.tobytes())
        if about["of"] != self._of:
            return None
        return Kept(about["judge"], others[: about["best"]], others[about["best"] :])
