"""Writing files so that a reader never sees half of one."""

import pytest

from pipelines.workspace import atomic_files
from pipelines.workspace.atomic_files import make_temporary_path, move_into_place, write_text


def test_text_is_written_with_its_folders(tmp_path):
    """Folders on the way are made, text is UTF-8, and nothing is left beside the file."""
    file = tmp_path / "a" / "b.txt"
    write_text(file, "größer\n")
    assert file.read_bytes() == "größer\n".encode()
    assert [each.name for each in file.parent.iterdir()] == ["b.txt"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    """A kill or a full disk before the rename leaves what was there before."""
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def no_space(aside, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_files, "move_into_place", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_what_is_written_reaches_the_disk_before_the_name(tmp_path, monkeypatch):
    """A file is synced, and only then takes the other's name."""
    order = []
    file = tmp_path / "model.keras"
    aside = make_temporary_path(file)
    aside.write_bytes(b"x")
    monkeypatch.setattr(atomic_files.os, "fsync", lambda descriptor: order.append(("synced", file.exists())))
    move_into_place(aside, file)
    assert order == [("synced", False)]
    assert (file.read_bytes(), aside.exists()) == (b"x", False)


def test_a_file_written_aside_keeps_its_suffix(tmp_path):
    """Keras infers a format from the suffix, also under the temporary name."""
    assert make_temporary_path(tmp_path / "model.keras") == tmp_path / "saving-model.keras"
