"""Packed files are read as the one file in them, and unpacked nowhere."""

from __future__ import annotations

import stat
import zipfile

import pytest

from pipelines.data.reading.compressed_files import open_file

ROWS = b"x,y\n1,2\n"


def pack(folder, *members):
    """Write a zip file of names, contents and kinds of files; return its path."""
    path = folder / "in" / "a.csv.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content, kind in members:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (kind | 0o777) << 16
            archive.writestr(entry, content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("../../escaped.csv", ROWS, stat.S_IFREG),
        ("/escaped.csv", ROWS, stat.S_IFREG),
        ("a.csv", b"/etc/passwd", stat.S_IFLNK),
        ("a.csv", b"", stat.S_IFCHR),
        ("a.csv", b"", stat.S_IFIFO),
    ],
)
def test_a_member_is_its_bytes(tmp_path, name, content, kind):
    """Its name leads nowhere, no link is followed and no device is made."""
    path = pack(tmp_path, (name, content, kind))
    with open_file(path, "a.csv.zip", "data.source") as opened:
        assert opened.read() == content
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


@pytest.mark.parametrize(
    ("members", "hint"),
    [
        ((), "one file in a.csv.zip, and it holds none"),
        ((("a/", b"", stat.S_IFDIR),), "one file in a.csv.zip, and it holds none"),
        ((("a.csv", ROWS, stat.S_IFREG), ("A.csv", ROWS, stat.S_IFREG)), "got 2 (a.csv, A.csv)"),
    ],
)
def test_one_file_is_packed(tmp_path, problem, members, hint):
    """None, or several, are refused; names that differ in capital letters are two."""

    def read():
        with open_file(pack(tmp_path, *members), "a.csv.zip", "data.source"):
            pytest.fail("opened")

    assert hint in problem(read).message
