"""Working directory of a custom `fit`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.training.user_model.fit_folder import work_in


def test_relative_paths_are_in_the_folder(tmp_path, monkeypatch):
    """Files of an earlier attempt are gone, and the directory before is back afterwards, whatever happens."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "trial" / "fit"
    for text in ("first", "second"):
        with work_in(folder, tmp_path), Path("log.csv").open("a") as file:
            file.write(text)
    assert (folder / "log.csv").read_text() == "second"
    with pytest.raises(ZeroDivisionError), work_in(folder, tmp_path):
        raise ZeroDivisionError
    assert Path.cwd() == tmp_path
    assert not folder.exists()  # it is empty


def test_no_folder_changes_nothing(tmp_path, monkeypatch):
    """As where the user's code has no `fit`."""
    monkeypatch.chdir(tmp_path)
    with work_in(None, tmp_path):
        assert Path.cwd() == tmp_path


def test_a_file_beside_the_code_is_named(tmp_path):
    """Reading it by a relative path fails, with what to write instead; a file that is nowhere gets no such note."""
    (tmp_path / "table.csv").touch()
    notes = {}
    for name in ("table.csv", "gone.csv"):
        with pytest.raises(FileNotFoundError) as caught, work_in(tmp_path / "fit", tmp_path):
            Path(name).read_text()
        notes[name] = getattr(caught.value, "__notes__", [])
    assert notes["gone.csv"] == []
    assert notes["table.csv"] == [
        'fit works in a folder of its trial; read the file by Path(__file__).parent / "table.csv"'
    ]
