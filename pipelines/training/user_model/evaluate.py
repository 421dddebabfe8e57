"""Scores of a user model on the test rows, with the loss and the metrics that it was compiled with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipelines.engines.base import Channel
from pipelines.models.user_model import can_score
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import TEST_FILE
from pipelines.training.user_model.rebuild import rebuild_user_model
from pipelines.workspace.atomic_files import write_text


def evaluate_user_model(trial: PastTrial, channel: Channel) -> Mapping[str, float]:
    """Return the model's metrics on the test rows, `test_` before their names; empty where it cannot be scored.

    Raises:
        ModelCodeError: if the user's code raises.
    """
    rebuilt = rebuild_user_model(trial)
    if rebuilt is None or not rebuilt.model.compiled or not can_score(rebuilt.model):
        return {}
    test = rebuilt.load_rows("test")
    with rebuilt.user.locate_errors():
        found = rebuilt.model.evaluate(test.x, test.y, sample_weight=test.sample_weight, verbose=0, return_dict=True)
    scores = {f"test_{name}": float(np.mean(value)) for name, value in found.items()}
    write_text(Path(trial.folder) / TEST_FILE, json.dumps(scores))
    return scores
