"""Files of a run: all regular ones, under names that are the same in a URL."""

from __future__ import annotations

import os

import pytest

from tracking.mlflow.run_files import stage_files


@pytest.fixture
def folder(tmp_path):
    """A folder with two files that MLflow takes as they are."""
    (tmp_path / "files" / "plots").mkdir(parents=True)
    (tmp_path / "files" / "a.csv").write_text("a")
    (tmp_path / "files" / "plots" / "b.png").write_text("b")
    return tmp_path / "files"


def read(folder):
    with stage_files(folder) as files:
        found = {path.relative_to(files.folder).as_posix() for path in files.folder.rglob("*") if path.is_file()}
        assert found == {name.as_posix() for name in files.names}
        return {name: (files.folder / name).read_text() for name in found}


def test_a_folder_as_it_is(folder):
    """A folder that MLflow takes is not copied."""
    with stage_files(folder) as files:
        assert files.folder == folder
    assert read(folder) == {"a.csv": "a", "plots/b.png": "b"}


def test_odd_names(folder):
    """Files and folders with odd names get others; nothing is left behind."""
    (folder / "epoch#1").mkdir()
    (folder / "epoch#1" / "50%.txt").write_text("c")
    with stage_files(folder) as files:
        staged = files.folder
    assert not staged.exists()
    assert read(folder) == {"a.csv": "a", "plots/b.png": "b", "epoch_u0023_1/50_u0025_.txt": "c"}


def test_what_is_no_file(folder):
    """A pipe would never end, and a link to a folder may lead in a circle: only files are taken."""
    os.mkfifo(folder / "pipe")
    (folder / "gone").symlink_to(folder / "nowhere")
    (folder / "circle").symlink_to(folder)
    (folder / "link.csv").symlink_to(folder / "a.csv")
    assert read(folder) == {"a.csv": "a", "plots/b.png": "b", "link.csv": "a"}


def test_a_file_that_cannot_be_read(folder, monkeypatch):
    """It is left out, and named."""
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "a.csv")
    with stage_files(folder) as files:
        assert [path.name for path in files.unreadable] == ["a.csv"]
        assert [path.name for path in files.names] == ["b.png"]
        assert not (files.folder / "a.csv").exists()
