"""Files of a trial's folder: their names, the trial's result, and the log of its epochs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.training.messages import EpochDone, TrialResult
from pipelines.training.resource_use import ResourceUse
from pipelines.workspace.atomic_files import write_text
from tracking.testing.failpoints import hit

ARTIFACTS = "artifacts"
"""Subfolder of a trial's folder; MLflow shows its files."""

CONFIG_FILE = "config.json"
"""Artifact with the whole trial, so that its model can be rebuilt after the study file has changed."""

MODEL_FILE = "model.keras"
"""Model of a complete trial on raw columns."""

WEIGHTS_FILE = "weights.npz"
"""Weights of a complete trial that was trained in a fleet, in the order of its model's `get_weights`.

Its `MODEL_FILE` is written from them when it is needed; see `write_models`.
"""

USER_MODEL_WEIGHTS_FILE = "user_model_weights.npz"
"""Weights of a complete trial's model, where it is a user model."""

MODEL_CODE = "model_code"
"""Folder with the code of a complete trial's user model, its hyperparameters and a loader."""

REFUSAL_FILE = "not_registered.txt"
"""Artifact of a trial whose model is not registered in MLflow: the reason, in one line."""

MODEL_FACTS_FILE = "user_model.json"
"""Artifact of a complete trial's user model: its raw inputs' shapes, its outputs, and whether its file needs code."""

CODE_NOTE_FILE = "model_code_note.txt"
"""Artifact of a complete trial whose code is not kept: the reason, in one line."""

CODE_DESCRIPTION = "model.json"
"""File in that folder, written after all others."""

TEST_FILE = "test.json"
"""The winner's metrics on the test rows."""

MODEL_NOTE_FILE = "model_note.txt"
"""Artifact of a complete trial without a model: the reason, in one line."""

RESULT_FILE = "result.json"
"""The trial's `TrialResult`, written after all its other files.

Its presence proves that the trial has ended.
"""

PAUSE_FILE = "paused.json"
"""The `TrialResult` that a paused trial has if it never goes on, written after its checkpoint and its other files.

Its presence proves that the trial is paused, unless it has ended since.
"""


_FOLDS = "members"


def locate_fold(folder: Path, fold: int) -> Path:
    """Return the folder of the model of a fold, counted from 0, in a trial whose folds all keep theirs."""
    return folder / _FOLDS / str(fold + 1)


def read_result(folder: Path) -> TrialResult | None:
    """Return the result in a trial's folder; None where there is none."""
    return _read_result(folder / RESULT_FILE)


def read_pause(folder: Path) -> TrialResult | None:
    """Return the result that a paused trial has so far; None where the trial is not paused."""
    return _read_result(folder / PAUSE_FILE)


def _read_result(file: Path) -> TrialResult | None:
    if not file.exists():
        return None
    values = json.loads(file.read_text(encoding="utf-8"))
    parsed = {
        "epochs": tuple(EpochDone(**epoch) for epoch in values["epochs"]),
        "resources": ResourceUse.from_stored(values.get("resources")),
    }
    return TrialResult(**{**values, **parsed})


def _to_json(result: TrialResult) -> str:
    # `asdict` copies each number of each epoch.
    return json.dumps(vars(result), default=vars)


def write_result(folder: Path, result: TrialResult) -> None:
    """Write a trial's result, after all its other files."""
    hit("result-due")
    write_text(folder / RESULT_FILE, _to_json(result))
    hit("result-written")


def write_pause(folder: Path, result: TrialResult) -> None:
    """Write that a trial is paused, after its checkpoint and all its other files."""
    hit("pause-due")
    write_text(folder / PAUSE_FILE, _to_json(result))
    hit("pause-written")


def remove_pause(folder: Path) -> None:
    """Remove the mark of a paused trial, which goes on or has ended."""
    (folder / PAUSE_FILE).unlink(missing_ok=True)


def read_trial_config(folder: Path) -> dict[str, Any]:
    """Return the content of a trial's `config.json`; see `artifacts`."""
    config: dict[str, Any] = json.loads((folder / ARTIFACTS / CONFIG_FILE).read_text(encoding="utf-8"))
    return config


def locate_epochs_file(folder: Path, fold: int) -> Path:
    """Return the path of the file that has a line for each epoch of a fold."""
    return folder / f"fold-{fold}-epochs.jsonl"


def read_epochs(folder: Path) -> tuple[EpochDone, ...]:
    """Return the epochs that a trial reported, fold by fold; for each epoch, those of its last attempt."""
    return tuple(
        epoch
        # By number: as text, fold-10 comes before fold-2.
        for file in sorted(folder.glob("fold-*-epochs.jsonl"), key=lambda file: int(file.name.split("-")[1]))
        for epoch in {done.epoch: done for done in parse_epochs(file)}.values()
    )


def parse_epochs(file: Path) -> tuple[EpochDone, ...]:
    """Return the epochs of an epochs file, leaving out a line that was cut off."""
    epochs = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            epochs.append(EpochDone(**json.loads(line)))
        except ValueError:  # the attempt was killed while it wrote its last line
            continue
    return tuple(epochs)


def has_model(folder: Path) -> bool:
    """Return whether a trial's folder holds its model, or the weights to rebuild it from."""
    return (folder / MODEL_FILE).exists() or (folder / WEIGHTS_FILE).exists() or has_model_code(folder)


def has_model_code(folder: Path) -> bool:
    """Return whether a trial's folder holds the code and the weights that rebuild a user model."""
    return (folder / MODEL_CODE / CODE_DESCRIPTION).exists() and (folder / USER_MODEL_WEIGHTS_FILE).exists()


def needs_code(folder: Path) -> bool:
    """Return whether Keras needs classes or functions of the user's code to load the model file of a trial."""
    return bool(read_model_facts(folder).get("needs_code"))


def read_model_facts(folder: Path) -> dict[str, Any]:
    """Return `MODEL_FACTS_FILE`: `shapes` by raw input, `outputs` (name, shape, dtype), `needs_code`; else empty."""
    file = folder / ARTIFACTS / MODEL_FACTS_FILE
    facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return facts


def explain_missing_code(folder: Path) -> str:
    """Return why a model that needs its code cannot take it along."""
    file = folder / ARTIFACTS / CODE_NOTE_FILE
    reason = file.read_text(encoding="utf-8").strip() if file.exists() else "its code is not in the trial's folder"
    return f"it needs its code, which cannot go along: {reason}"


def is_without_file(folder: Path) -> bool:
    """Return whether no file can hold the model of a complete trial, so that only its code rebuilds it."""
    return has_model_code(folder) and (folder / ARTIFACTS / MODEL_NOTE_FILE).exists()


def locate_model(folder: Path) -> Path:
    """Return the path of a trial's model: its file, or the folder with its code where no file can hold it."""
    return folder / (MODEL_CODE if is_without_file(folder) else MODEL_FILE)


def locate_fit_folder(folder: Path, training: str) -> Path:
    """Return the path of the folder with the files that a custom `fit` writes; MLflow shows them as artifacts.

    Args:
        folder: the trial's folder.
        training: name of the training, see `name_training`; empty for the only one.
    """
    return folder / ARTIFACTS / "fit" / training.replace("_", "-")


def explain_missing_model(folder: Path) -> str:
    """Return why the folder of a complete trial holds no model."""
    file = folder / ARTIFACTS / MODEL_NOTE_FILE
    if file.exists():
        return " ".join(file.read_text(encoding="utf-8").split())
    if has_model(folder):
        return "its file is not written yet; kerastudy export writes it from the trial's weights"
    return (
        "only complete trials among the best tracking.keep_models keep theirs, and those that were trained in a fleet"
    )


def write_refusal(folder: Path, reason: str) -> None:
    """Write why the model of a trial is not registered; an empty reason removes an earlier one."""
    if reason:
        write_text(folder / ARTIFACTS / REFUSAL_FILE, reason + "\n")
    else:
        (folder / ARTIFACTS / REFUSAL_FILE).unlink(missing_ok=True)


def read_refusal(folder: Path) -> str:
    """Return why the model of a trial is not registered in MLflow; empty where nothing speaks against it."""
    file = folder / ARTIFACTS / REFUSAL_FILE
    return file.read_text(encoding="utf-8").strip() if file.exists() else ""


def write_model_note(folder: Path, reason: str) -> None:
    """Write why a complete trial has no model; `explain_missing_model` returns it."""
    write_text(folder / ARTIFACTS / MODEL_NOTE_FILE, reason + "\n")
