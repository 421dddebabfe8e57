"""The verbs `delete`, `archive` and `unarchive` on a home."""

from __future__ import annotations

import pytest
from command import kerastudy_here

from tracking.store.study_queue import StudyQueue


@pytest.fixture
def cli(home):
    """Return a function that runs a verb on a home with the queued study `s`."""
    return lambda *words: kerastudy_here("--home", str(home.folder), *words, cwd=home.folder)


def test_a_deletion_wants_a_yes(cli, store):
    """Without a terminal nothing is deleted before `--yes`."""
    refused = cli("delete", "s")
    assert (refused.returncode, "add --yes" in refused.stderr) == (2, True)
    done = cli("delete", "s", "--yes")
    assert (done.returncode, done.stdout.partition(":")[0]) == (0, "s is deleted")
    assert StudyQueue(store).find("s") is None
    assert cli("delete", "s", "--yes").returncode == 2


def test_an_archived_study_is_hidden(cli, store):
    """`list` leaves it out, unless asked for archived ones."""
    StudyQueue(store).set_state("s", "failed", "no")
    assert cli("archive", "s").returncode == 0
    assert " s " not in cli("list").stdout
    assert "failed, archived" in cli("list", "--archived").stdout
    assert cli("unarchive", "s").stdout == "s is listed again\n"
    assert "failed" in cli("list").stdout
