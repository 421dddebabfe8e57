"""The file that takes a line for each epoch of a trial, so that each epoch is told once whatever is tried again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from pipelines.training.messages import EpochDone, epochs_file, epochs_in
from tracking.testing.failpoints import reach


class EpochLog:
    """The epochs of one fold of a trial, in memory and in the trial's folder.

    Attributes:
        epochs: those of this attempt.
    """

    def __init__(self, folder: Path, fold: int) -> None:
        self._fold = fold
        self._file = epochs_file(folder, fold)
        self._told = {done.epoch: done for done in epochs_in(self._file)}
        self.epochs: list[EpochDone] = []

    def add(self, epoch: int, of: int, metrics: Mapping[str, float]) -> EpochDone:
        """Write down an epoch, counted from 0, of at most `of`; return what is to be reported of it.

        That is what an earlier attempt reported, if one did: MLflow stores a repeated point once only if its value and
        its time are the same. They differ where the attempt's training does: in another trainer by rounding or by its
        random numbers, in code of the study's own by whatever it does.
        """
        told = self._told.get(epoch)
        at_ms = time.time_ns() // 1_000_000 if told is None else told.at_ms
        done = EpochDone(epoch, of, self._fold, at_ms, dict(metrics))
        self.epochs.append(done)
        if told is not None:
            return replace(told, of=of)
        with self._file.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(asdict(done)))  # a line of its own even after one that was cut off
        reach("epoch-logged")
        return done
