"""Studies of seconds for tests of faults, and checks of a study that was killed repeatedly."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from forked_runs import KILLED, Life
from small_studies import write_mixed_csv

STUDY = """
study: it
data: {source: mixed.csv, target: bought, split: {validation: 0.25, test: 0.2, seed: 1}}
model: mlp
space:
  depth: 1
  units: [4, 8]
  batch_size: 16
  learning_rate: {type: float, low: 1e-3, high: 1e-1, log: true}
  epochs: 4
objective: {metric: val_accuracy}
training: {early_stopping: null}
search: {sampler: random, pruner: none, seed: 2}
budget: {trials: 6}
resources: {workers: 1, fleet: off}
tracking: {keep_models: 2}
"""
SCRIPTED = """
study: it
data: {source: data.csv, target: y}
model: mlp
space:
  learning_rate: {type: float, low: 1e-4, high: 1.0, log: true}
  epochs: 3
objective: {metric: val_loss, direction: minimize}
search: {sampler: random, pruner: none, seed: 3}
budget: {trials: 6}
resources: {workers: 1, fleet: 2}
selection: {finalists: 2, seeds: 2, refit: true}
tracking: {keep_models: 1}
"""


def write_study(folder: Path, text: str) -> Path:
    """Write a study file and its data; return the file."""
    write_mixed_csv(folder / "mixed.csv", rows=400)
    file = folder / "study.yaml"
    file.write_text(text)
    return file


def check_lives(lives: Sequence[Life]) -> None:
    """Check that each life but the last was killed at its failpoint, the last ended, and none lost a result."""
    *killed, last = lives
    for life in killed:
        assert life.status == KILLED, f"{life.killed_at} was not hit; output: {life.output}"
    assert last.status == 0, last.output
    assert last.output.startswith("finished"), last.output
    for before, after in itertools.pairwise(lives):
        lost = {number: end for number, end in before.ended.items() if after.ended.get(number) != end}
        assert not lost, f"after {after.killed_at}: {lost} became {after.ended}"
