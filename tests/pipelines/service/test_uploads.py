"""An upload is a whole file under a name made of its content, or nothing."""

from __future__ import annotations

import pytest

from pipelines.service.errors import TooMuchError
from pipelines.service.uploads import Upload
from search_spaces.errors import InputError


def store(folder, name, *chunks, most=10, in_all=15):
    upload = Upload(folder, name, most, in_all)
    try:
        for chunk in chunks:
            upload.add(chunk)
        return upload.keep()
    finally:
        upload.close()


@pytest.mark.parametrize("name", ["a.csv", "../../a.csv", ".CSV.csv"])
def test_a_name_gives_its_suffix_only(tmp_path, name):
    """A path in a client's file name leads nowhere."""
    kept = store(tmp_path / "uploads", name, b"x,y\n", b"1,2\n")
    [file] = tmp_path.rglob("*.csv")
    assert kept.source == f"uploads/{file.name}"
    assert (file.parent, file.read_bytes()) == (tmp_path / "uploads", b"x,y\n1,2\n")


def test_a_packed_file_keeps_both_ends(tmp_path):
    """They show how it is read."""
    assert store(tmp_path, "a.b.CSV.gz", b"x").source.endswith(".csv.gz")


def test_a_file_that_was_refused_leaves_nothing(tmp_path):
    """Too large, empty, or cut off: the part that has arrived is removed."""
    with pytest.raises(TooMuchError, match="larger than the 10 bytes"):
        store(tmp_path, "a.csv", b"12345678", b"901")
    with pytest.raises(InputError, match="empty"):
        store(tmp_path, "a.csv")
    cut = Upload(tmp_path, "a.csv", 10, 15)
    cut.add(b"12")
    cut.close()
    with pytest.raises(InputError, match=r'got "a\.exe"'):
        Upload(tmp_path, "a.exe", 10, 15)
    assert list(tmp_path.iterdir()) == []


def test_the_same_content_takes_no_further_room(tmp_path):
    """The limit for all files counts a content once."""
    first = store(tmp_path, "a.csv", b"1234567890")
    assert store(tmp_path, "b.csv", b"1234567890") == first
    with pytest.raises(TooMuchError, match="all uploads together"):
        store(tmp_path, "c.csv", b"123456")
    assert store(tmp_path, "d.csv", b"12345").bytes == 5
