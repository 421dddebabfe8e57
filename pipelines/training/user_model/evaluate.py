"""Scores of a user model on the test rows, with the loss and the metrics that it was compiled with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipelines.data.prepared_folder import load_part, load_summary
from pipelines.engines.base import Channel
from pipelines.models.user_model import encode_targets, load_user_model, make_model_input
from pipelines.training.messages import UserModelEvaluation
from pipelines.training.trial_folder import ARTIFACTS, TEST_FILE, USER_MODEL_WEIGHTS_FILE
from pipelines.workspace.atomic_files import write_text
from search_spaces.hyperparameters import TrialHyperParameters


def evaluate_user_model(payload: UserModelEvaluation, channel: Channel) -> Mapping[str, float]:
    """Return the model's metrics on the test rows, `test_` before their names; empty for a model that is not compiled.

    Raises:
        ModelCodeError: if the user's code raises.
    """
    folder, data = Path(payload.folder), Path(payload.data)
    config = json.loads((folder / ARTIFACTS / "config.json").read_text(encoding="utf-8"))
    user = load_user_model(payload.model, Path(payload.base))
    # Every requested value, drawn ones included: no supervisor draws values here.
    model = user.build(TrialHyperParameters(config["requested"]))
    if not model.compiled or not (folder / USER_MODEL_WEIGHTS_FILE).exists():
        return {}
    test = load_part(data, "test", config["fold"])
    x, y = make_model_input(test.x), encode_targets(model, load_summary(data).task, test.y)
    with user.locate_errors():
        model(
            make_model_input({name: np.asarray(values[:1]) for name, values in test.x.items()})
        )  # creates its weights
        with np.load(folder / USER_MODEL_WEIGHTS_FILE) as arrays:
            model.set_weights([arrays[name] for name in arrays.files])
        found = model.evaluate(x, y, verbose=0, return_dict=True)
    scores = {f"test_{name}": float(np.mean(value)) for name, value in found.items()}
    write_text(folder / TEST_FILE, json.dumps(scores))
    return scores
