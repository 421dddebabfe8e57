"""The verbs `delete`, `archive` and `unarchive` on a home."""

from __future__ import annotations

import os

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


def test_gc_shows_and_removes(cli, store, home):
    """`--dry-run` prints what would go with its reason, and `gc` removes it."""
    folder = home.locate_study("gone")
    folder.mkdir()
    os.utime(folder, (0, 0))
    shown = cli("gc", "--dry-run")
    assert "orphan" in shown.stdout
    assert "the store has no such study" in shown.stdout
    assert folder.exists()
    assert cli("gc").returncode == 0
    assert not folder.exists()


def test_gc_refuses_a_wrong_rule(cli, home):
    """A rule that cannot be read is named with its place, and nothing is removed."""
    (home.folder / "service.yaml").write_text("port: 80\nretention:\n  models: soon\n")
    refused = cli("gc")
    assert (refused.returncode, "service.yaml:3:11: retention.models" in refused.stderr) == (2, True)


def test_usage_counts_by_submitter(cli):
    """The parts of the home and the submitters are listed."""
    shown = cli("usage").stdout
    assert "databases" in shown
    assert "(on the home itself)" in shown


def test_a_backup_is_checked_and_restored(cli, tmp_path):
    """`backup`, `verify` and `restore` in turn; a damaged backup ends with 1."""
    assert cli("backup", str(tmp_path / "b")).stdout.startswith(f"{tmp_path / 'b'} holds 1 study in ")
    assert "is whole: 1 study" in cli("verify", str(tmp_path / "b")).stdout
    assert cli("restore", "--home", str(tmp_path / "new"), str(tmp_path / "b")).returncode == 0
    assert "queued" in cli("list", "--home", str(tmp_path / "new")).stdout
    (tmp_path / "b" / "kerastudy.db").write_bytes(b"")
    assert cli("verify", str(tmp_path / "b")).returncode == 1
