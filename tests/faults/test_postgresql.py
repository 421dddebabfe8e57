"""What holds on SQLite holds on PostgreSQL: a study that is killed comes to its end there too."""

from __future__ import annotations

import pytest
from fault_studies import SCRIPTED, check_lives, write_study
from forked_runs import Request, lives_of
from promises import broken_promises


@pytest.mark.slow
def test_a_study_killed_on_postgresql_loses_nothing(postgresql, tmp_path):
    """Asking, recording, telling, leases and delivery, each cut off once."""
    places = (
        "study-enqueued", "lease-claimed", "trial-rows-added", "epochs-recorded", "lease-renewed",
        "trial-end-recorded", "trial-reported", "study-closed", "",
    )  # fmt: skip
    file, home = write_study(tmp_path, SCRIPTED), tmp_path / "home"
    check_lives(lives_of(Request(str(file), str(home), places, store=postgresql, scripted=True)))
    assert broken_promises(home, store=postgresql, models=False) == []
    assert not (home / "kerastudy.db").exists()
