"""Log of a trial's epochs over several attempts."""

from __future__ import annotations

from pipelines.training.epoch_log import EpochLog
from pipelines.training.trial_folder import locate_epochs_file, parse_epochs


def test_an_epoch_is_reported_as_by_the_first_attempt(tmp_path):
    """Its time and its metrics are those of the first report; the curve has those of the second."""
    first = EpochLog(tmp_path, 0).add(0, 3, {"loss": 1.0})
    again = EpochLog(tmp_path, 0)
    assert again.add(0, 5, {"loss": 2.0}) == type(first)(0, 5, 0, first.at_ms, {"loss": 1.0})
    assert [done.metrics["loss"] for done in again.epochs] == [2.0]


def test_an_epoch_after_a_cut_off_line_is_logged(tmp_path):
    """A kill in the middle of a line costs that line, and not the next one."""
    EpochLog(tmp_path, 0).add(0, 3, {"loss": 1.0})
    file = locate_epochs_file(tmp_path, 0)
    file.write_text(file.read_text() + '\n{"epoch": 1, "of')
    EpochLog(tmp_path, 0).add(1, 3, {"loss": 0.5})
    assert [done.epoch for done in parse_epochs(file)] == [0, 1]


def test_folds_are_logged_apart(tmp_path):
    """An epoch of one fold is not taken for that of another."""
    EpochLog(tmp_path, 0).add(0, 3, {"loss": 1.0})
    assert EpochLog(tmp_path, 1).add(0, 3, {"loss": 2.0}).metrics == {"loss": 2.0}
