"""Checkpoints of a training, so that an attempt after a crash continues from the last whole epochs.

A checkpoint is written aside, synced and renamed; the one before it is kept. Each carries the SHA-256 of its content
and the hash of what it belongs to. A damaged or foreign checkpoint is skipped: then the previous one counts, or the
training starts anew. Their frequency follows from their cost: at most a fiftieth of the time.
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

from pipelines.workspace.atomic_files import make_temporary_path, move_into_place
from tracking.testing.failpoints import hit

_LEAST_S = 1.0  # seconds from one checkpoint to the next, at least
_SHARE = 50  # checkpoints take at most a fiftieth of the time
_DIGEST = 64  # hexadecimal digits of a SHA-256


@dataclass(frozen=True)
class Checkpoint:
    """State of a training after some whole epochs.

    Attributes:
        monitor: see `EpochMonitor.capture`.
        best_weights: weights of the best epoch, as `EpochMonitor` holds them.
        state: arrays of the trainer.
    """

    monitor: Mapping[str, Any]
    best_weights: Sequence[Any]
    state: Sequence[Any]

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        """Metrics of each finished epoch."""
        history: Sequence[Mapping[str, float]] = self.monitor["history"]
        return history


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a trial that has ended."""
    # The pattern includes previous checkpoints, and those that a kill left under a temporary name.
    for file in folder.glob("*fold-*.checkpoint*"):
        file.unlink(missing_ok=True)


class CheckpointStore:
    """Checkpoints of one training.

    Args:
        folder: the trial's folder.
        fold: the training's number in its trial.
        identity: everything that the training follows from; a checkpoint of anything else is skipped.
        sharing: number of trainings that take turns in this process, each of which writes its own.
    """

    def __init__(self, folder: Path, fold: int, identity: object, *, sharing: int = 1) -> None:
        self._file = folder / f"fold-{fold}.checkpoint"
        self._previous = folder / f"fold-{fold}.checkpoint-before"
        # repr and not hash(): Python salts the hash of a text per process. For the same reason there is no set in it.
        self._identity = hashlib.sha256(repr(identity).encode()).hexdigest()
        self._sharing = sharing
        self._next_s = time.monotonic() + _LEAST_S

    def offer(self, capture: Callable[[], Checkpoint]) -> None:
        """Write a checkpoint after a whole epoch, if one is due."""
        began_s = time.monotonic()
        if began_s >= self._next_s:
            self.write(capture())
            ended_s = time.monotonic()
            self._next_s = ended_s + max(_LEAST_S, _SHARE * self._sharing * (ended_s - began_s))

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint."""
        about = {
            "identity": self._identity,
            "monitor": checkpoint.monitor,
            "best_weights": len(checkpoint.best_weights),
        }
        arrays = [np.asarray(array) for array in (*checkpoint.best_weights, *checkpoint.state)]
        content = io.BytesIO()
        np.savez(content, np.frombuffer(json.dumps(about).encode(), np.uint8), *arrays)
        data = content.getvalue()
        aside = make_temporary_path(self._file)
        aside.write_bytes(hashlib.sha256(data).hexdigest().encode() + data)
        hit("checkpoint-aside")
        if self._file.exists():
            # A kill before the next rename leaves only the previous checkpoint, which `read` finds.
            self._file.replace(self._previous)
            hit("checkpoint-moved-back")
        move_into_place(aside, self._file)
        hit("checkpoint-written")

    def read(self) -> Checkpoint | None:
        """Return the latest whole checkpoint of this training; None where there is none."""
        found = (self._read(file) for file in (self._file, self._previous))
        return next((checkpoint for checkpoint in found if checkpoint is not None), None)

    def _read(self, file: Path) -> Checkpoint | None:
        try:
            content = file.read_bytes()
        except OSError:
            return None
        digest, data = content[:_DIGEST], content[_DIGEST:]
        # Compared before NumPy parses anything: a truncated archive raises one of many errors there.
        if hashlib.sha256(data).hexdigest().encode() != digest:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            # `savez` keeps the order of its arguments: the description comes first.
            first, *others = (arrays[name] for name in arrays.files)
        about = json.loads(first.tobytes())
        if about["identity"] != self._identity:
            return None
        count = about["best_weights"]
        return Checkpoint(about["monitor"], others[:count], others[count:])
