"""An upload is a whole file under a name made of its content, or nothing."""

from __future__ import annotations

import pytest

from pipelines.service.errors import NoRoomError, TooMuchError
from pipelines.service.studies.uploads import Upload, UploadLimits
from search_spaces.errors import InputError
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.upload_owners import UploadOwners

ANN, BOB = (Identity(name, name, "submit") for name in ("ann", "bob"))
LIMITS = UploadLimits(10, 12, 15)


@pytest.fixture
def table(tmp_path_factory):
    """Store of the owners."""
    with Store.open(tmp_path_factory.mktemp("store")) as opened:
        yield opened


@pytest.fixture
def store(table):
    """Store a file in a folder."""

    def send(folder, name, *chunks, owner=ANN):
        return _send(Upload(folder, name, LIMITS, table, owner), chunks)

    return send


def _send(upload, chunks):
    try:
        for chunk in chunks:
            upload.add(chunk)
        return upload.keep()
    finally:
        upload.close()


@pytest.mark.parametrize("name", ["a.csv", "../../a.csv", ".CSV.csv"])
def test_a_name_gives_its_suffix_only(tmp_path, store, name):
    """A path in a client's file name leads nowhere."""
    kept = store(tmp_path / "uploads", name, b"x,y\n", b"1,2\n")
    [file] = tmp_path.rglob("*.csv")
    assert kept.source == f"uploads/{file.name}"
    assert (file.parent, file.read_bytes()) == (tmp_path / "uploads", b"x,y\n1,2\n")


def test_a_packed_file_keeps_both_ends(tmp_path, store):
    """They show how it is read."""
    assert store(tmp_path, "a.b.CSV.gz", b"x").source.endswith(".csv.gz")


def test_a_file_that_was_refused_leaves_nothing(tmp_path, store, table):
    """Too large, empty, or cut off: the part that has arrived is removed."""
    with pytest.raises(TooMuchError, match="larger than the 10 bytes"):
        store(tmp_path, "a.csv", b"12345678", b"901")
    with pytest.raises(InputError, match="empty"):
        store(tmp_path, "a.csv")
    cut = Upload(tmp_path, "a.csv", LIMITS, table, ANN)
    cut.add(b"12")
    cut.close()
    with pytest.raises(InputError, match=r'got "a\.exe"'):
        Upload(tmp_path, "a.exe", LIMITS, table, ANN)
    assert list(tmp_path.iterdir()) == []


def test_the_same_content_takes_no_further_room(tmp_path, store, table):
    """The limit for all files counts a content once."""
    first = store(tmp_path, "a.csv", b"1234567890")
    assert store(tmp_path, "b.csv", b"1234567890", owner=BOB) == first
    with pytest.raises(NoRoomError, match="all uploads together"):
        store(tmp_path, "c.csv", b"123456", owner=Identity("eve", "eve", "submit"))
    assert len(UploadOwners(table).list()) == 2


def test_one_submitter_does_not_fill_the_room_of_all(tmp_path, store):
    """The ceiling of a submitter; another one still has room."""
    store(tmp_path, "a.csv", b"1234567890")
    with pytest.raises(NoRoomError, match=r"12 bytes that one submitter may \(ceilings.uploads\)"):
        store(tmp_path, "d.csv", b"123")
    assert store(tmp_path, "d.csv", b"12345", owner=BOB).bytes == 5
