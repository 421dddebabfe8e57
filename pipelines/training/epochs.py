"""The file that takes a line for each epoch of a trial, so that an attempt after a crash repeats its points."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from pipelines.training.trainer import EpochDone, epochs_file, epochs_in


class EpochLog:
    """The epochs of one fold of a trial, in memory and in the trial's folder.

    Attributes:
        epochs: those of this attempt.
    """

    def __init__(self, folder: Path, fold: int) -> None:
        self._fold = fold
        self._file = epochs_file(folder, fold)
        # MLflow stores a repeated point once only if its time is the same too; a trial is deterministic, so an
        # attempt after one that was cut off repeats its values.
        self._earlier = {(done.epoch, json.dumps(done.metrics)): done.at_ms for done in epochs_in(self._file)}
        self.epochs: list[EpochDone] = []

    def add(self, epoch: int, of: int, metrics: Mapping[str, float]) -> EpochDone:
        """Write down an epoch, counted from 0, of at most `of`."""
        at_ms = self._earlier.get((epoch, json.dumps(dict(metrics))), time.time_ns() // 1_000_000)
        done = EpochDone(epoch, of, self._fold, at_ms, dict(metrics))
        self.epochs.append(done)
        with self._file.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(asdict(done)))  # a line of its own even after one that was cut off
        return done
