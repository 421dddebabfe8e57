"""Log of a trial's epochs: one line for each, so that each epoch is reported once however often it is trained."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipelines.training.messages import EpochDone
from pipelines.training.trial_folder import locate_epochs_file, parse_epochs
from tracking.testing.failpoints import hit


class EpochLog:
    """Epochs of one fold of a trial, in memory and in the trial's folder.

    Attributes:
        epochs: those of this attempt.
    """

    def __init__(self, folder: Path, fold: int) -> None:
        self._fold = fold
        self._file = locate_epochs_file(folder, fold)
        self._reported = {done.epoch: done for done in parse_epochs(self._file)}
        self.epochs: list[EpochDone] = []

    def add(self, epoch: int, of: int, metrics: Mapping[str, float]) -> EpochDone:
        """Write an epoch, counted from 0, of at most `of`; return the report to send.

        That is the report of an earlier attempt, if there is one: MLflow stores a repeated point once only if its value
        and its time are the same. The values differ where the attempt's training does: in another trainer by rounding
        or by its random numbers, in user code for any reason.
        """
        reported = self._reported.get(epoch)
        at_ms = time.time_ns() // 1_000_000 if reported is None else reported.at_ms
        done = EpochDone(epoch, of, self._fold, at_ms, dict(metrics))
        self.epochs.append(done)
        if reported is not None:
            return replace(reported, of=of)
        with self._file.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(vars(done)))  # a line of its own even after one that was cut off
        hit("epoch-logged")
        return done
