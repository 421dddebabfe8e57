"""Files of a trial's folder: the result, and the log of its epochs."""

from __future__ import annotations

import json
from dataclasses import asdict

from pipelines.training.messages import EpochDone, TrialResult
from pipelines.training.trial_folder import (
    MODEL_FILE,
    WEIGHTS_FILE,
    explain_missing_model,
    has_model,
    locate_epochs_file,
    read_epochs,
    read_result,
    write_model_note,
    write_result,
)


def epoch(number, fold=0, loss=1.0):
    return EpochDone(number, 3, fold, 1_700_000_000_000 + number, {"loss": loss})


def log(folder, *epochs):
    for done in epochs:
        with locate_epochs_file(folder, done.fold).open("a") as file:
            file.write(json.dumps(asdict(done)) + "\n")


def test_a_result_is_read_as_it_was_written(tmp_path):
    """A folder without one belongs to a trial that has not ended."""
    result = TrialResult("complete", 0.5, 1, {"loss": 0.5}, (epoch(0), epoch(1)), 12, 3.0, drawn={"units": 8})
    assert read_result(tmp_path) is None
    write_result(tmp_path, result)
    assert read_result(tmp_path) == result


def test_epochs_are_read_fold_by_fold(tmp_path):
    """Folds are in the order of their numbers, not of their names."""
    log(tmp_path, epoch(0, fold=10), epoch(0, fold=2), epoch(1, fold=2))
    assert [(done.fold, done.epoch) for done in read_epochs(tmp_path)] == [(2, 0), (2, 1), (10, 0)]


def test_an_epoch_of_two_attempts_is_the_last_one(tmp_path):
    """A line that a kill cut off is left out."""
    log(tmp_path, epoch(0, loss=3.0), epoch(1, loss=2.0), epoch(0, loss=1.0))
    with locate_epochs_file(tmp_path, 0).open("a") as file:
        file.write('{"epoch": 2, "of"')
    assert [(done.epoch, done.metrics["loss"]) for done in read_epochs(tmp_path)] == [(0, 1.0), (1, 2.0)]


def test_a_model_or_its_weights_are_a_model(tmp_path):
    """A trial of a fleet has its weights alone, from which its model is rebuilt."""
    for name in (MODEL_FILE, WEIGHTS_FILE):
        folder = tmp_path / name
        folder.mkdir()
        assert not has_model(folder)
        (folder / name).touch()
        assert has_model(folder)


def test_the_reason_of_a_missing_model(tmp_path):
    """It is the one that the trial wrote; else a better trial's model took its place."""
    assert "tracking.keep_models" in explain_missing_model(tmp_path)
    write_model_note(tmp_path, "its layer cannot be saved")
    assert explain_missing_model(tmp_path) == "its layer cannot be saved"
