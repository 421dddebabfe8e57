"""Surrogate of LCBench (Zimmer, Lindauer and Hutter, 2021): a network that predicts at once what a training would give.

Its tasks, its space, the curve of a configuration on a task, and the regret of a score. The network's epoch 1 is the
untrained model. The folder holds `model.onnx` and `encoding.json` of `slds-lmu/yahpo_data` (Apache-2.0).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

EPOCHS = 52
"""Epochs of a full training."""

# The other 22 tasks of the surrogate are left for a judgement by others.
TASKS = (3945, 7593, 34539, 126025, 126026, 146212, 167104, 167149, 168329, 168868, 189862, 189905)
"""OpenML's numbers of the tasks to develop on."""

SPACE: Mapping[str, Mapping[str, Any]] = {
    "batch_size": {"type": "int", "low": 16, "high": 512, "log": True},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "momentum": {"type": "float", "low": 0.1, "high": 0.99},
    "weight_decay": {"type": "float", "low": 1e-5, "high": 1e-1},
    "num_layers": {"type": "int", "low": 1, "high": 5},
    "max_units": {"type": "int", "low": 64, "high": 1024, "log": True},
    "max_dropout": {"type": "float", "low": 0.0, "high": 1.0},
}
"""The space, as a study file declares it; the names stand in the order of the network's inputs."""

DEFAULT = {
    "batch_size": 64,
    "learning_rate": 1e-2,
    "momentum": 0.9,
    "weight_decay": 1e-5,
    "num_layers": 3,
    "max_units": 256,
    "max_dropout": 0.2,
}
"""A configuration that common sense would begin with; chosen before anything was measured."""

_REFERENCE_POINTS = 40_000
_PORTFOLIO_POINTS = 2_000
# Outputs of the network.
_SECONDS, _ACCURACY = 0, 1


@dataclass(frozen=True)
class Curve:
    """A training: validation accuracy in per cent after each epoch, and the seconds until then."""

    scores: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True)
class Surrogate:
    """The network and its tasks."""

    folder: Path

    def predict_curve(self, task: int, point: Mapping[str, float]) -> Curve:
        """Return the training of a configuration."""
        values = np.tile([float(point[name]) for name in SPACE], (EPOCHS, 1))
        found = self._predict(task, np.column_stack([np.arange(1, EPOCHS + 1), values]))
        # The network's seconds fall by a little here and there.
        return Curve(found[:, _ACCURACY], np.maximum.accumulate(found[:, _SECONDS]))

    @cache  # noqa: B019  # one surrogate a process
    def find_median_seconds(self, task: int) -> float:
        """Return the seconds of a training of a random configuration, the median."""
        points = _draw(_PORTFOLIO_POINTS, 2)
        found = self._predict(task, np.column_stack([np.full(len(points), EPOCHS), points]))
        return float(np.median(found[:, _SECONDS]))

    def compute_regret(self, task: int, score: float) -> float:
        """Return (best known - score) / (best known - median of random); it can fall below 0."""
        best, median = self._find_reference(task)
        return (best - score) / (best - median)

    @cache  # noqa: B019  # one surrogate a process
    def learn_portfolio(self, task: int, size: int = 5) -> tuple[dict[str, float], ...]:
        """Return the configurations that do best on the other tasks, each chosen to add the most to those before."""
        points = _draw(_PORTFOLIO_POINTS, 1)
        others = [other for other in TASKS if other != task]
        regrets = np.array([self._compute_regrets(other, points) for other in others])
        reached, chosen = np.full(len(others), np.inf), []
        for _ in range(size):
            chosen.append(int(np.minimum(reached[:, None], regrets).mean(axis=0).argmin()))
            reached = np.minimum(reached, regrets[:, chosen[-1]])
        return tuple(_name_values(points[index]) for index in chosen)

    def _compute_regrets(self, task: int, points: np.ndarray) -> np.ndarray:
        best, median = self._find_reference(task)
        rows = np.column_stack([np.full(len(points), EPOCHS), points])
        return (best - self._predict(task, rows)[:, _ACCURACY]) / (best - median)

    @cache  # noqa: B019  # one surrogate a process
    def _find_reference(self, task: int) -> tuple[float, float]:
        """Return the best and the median accuracy of random configurations at their last epoch."""
        points = _draw(_REFERENCE_POINTS, 0)
        found = self._predict(task, np.column_stack([np.full(len(points), EPOCHS), points]))[:, _ACCURACY]
        return float(found.max()), float(np.median(found))

    def _predict(self, task: int, rows: np.ndarray) -> np.ndarray:
        """Return the network's outputs; rows: [n, 8], epoch first."""
        session, codes = _open_network(self.folder)
        tasks = np.full((len(rows), 1), codes[str(task)], np.int32)
        return session.run(None, {"x_cat": tasks, "x_cont": rows.astype(np.float32)})[0]


@cache
def _open_network(folder: Path) -> tuple[onnxruntime.InferenceSession, dict[str, int]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    codes = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options), codes


def _draw(count: int, seed: int) -> np.ndarray:
    """Return random configurations, in the order of the space: [n, 7]."""
    drawn = np.random.default_rng(seed).random((count, len(SPACE) + 1))
    return np.column_stack(
        [
            np.round(16 * 32 ** drawn[:, 0]),
            1e-4 * 1000 ** drawn[:, 1],
            0.1 + 0.89 * drawn[:, 2],
            1e-5 + (0.1 - 1e-5) * drawn[:, 3],
            1 + np.floor(5 * drawn[:, 4]),
            np.round(64 * 16 ** drawn[:, 5]),
            drawn[:, 6],
        ]
    )


def _name_values(values: np.ndarray) -> dict[str, float]:
    integers = {name for name, declared in SPACE.items() if declared["type"] == "int"}
    named = zip(SPACE, values.tolist(), strict=True)
    return {name: round(value) if name in integers else value for name, value in named}
