"""Kills of a study whose store is on PostgreSQL: it ends as with SQLite."""

from __future__ import annotations

import pytest
from fault_studies import SCRIPTED, check_lives, write_study
from forked_runs import Request, run_lives
from promises import find_broken_promises


@pytest.mark.slow
def test_a_study_killed_on_postgresql_loses_nothing(postgresql, tmp_path):
    """Draws, records, results, leases and delivery are each interrupted once."""
    places = (
        "study-enqueued", "lease-claimed", "trial-rows-added", "epochs-recorded", "lease-renewed",
        "trial-end-recorded", "trial-reported", "study-closed", "",
    )  # fmt: skip
    file, home = write_study(tmp_path, SCRIPTED), tmp_path / "home"
    check_lives(run_lives(Request(str(file), str(home), places, store=postgresql, scripted=True)))
    assert find_broken_promises(home, store=postgresql, models=False) == []
    assert not (home / "kerastudy.db").exists()
