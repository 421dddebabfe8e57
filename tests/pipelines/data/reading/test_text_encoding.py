"""Encodings of text files."""

from __future__ import annotations

import pytest

from pipelines.data.reading.source_file import SourceFile
from pipelines.data.reading.text_encoding import find_encoding
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError

TEXT = "stadt,gruß\nKöln,schön\nMünchen,größer\nLübeck,€ 5\n"


@pytest.fixture
def file(tmp_path):
    """Return a function that writes bytes to a source's file."""

    def write(content: bytes, encoding=None) -> SourceFile:
        path = tmp_path / "d.csv"
        path.write_bytes(content)
        return SourceFile(path, "d.csv", "data.source", DataSpec(source="d.csv", encoding=encoding))

    return write


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings_are_found(file, written, found):
    """By UTF-8 itself, by the first bytes, by the zeros of UTF-16, or by how the text reads."""
    encoding = find_encoding(file(TEXT.encode(written)))
    assert encoding.name == found
    assert TEXT.encode(written).decode(encoding.name) == TEXT
    assert bool(encoding.notes) == (found in ("utf-16-le", "cp1252"))


def test_a_guess_shows_how_it_reads(file):
    """The note has a word and its line, so that a person sees whether the guess is right."""
    (note,) = find_encoding(file("a,b\n1,x\n2,café\n".encode("latin-1"))).notes
    assert 'is no UTF-8 and is read as cp1252: "café" in line 3' in note
    assert "data.encoding" in note
    for text in ("a;b\n1;é\n2;x\n", "Größe;b\n1;2\n", "a\tb\nMünchen\t2\n", "id|b\né|1\né|2\n"):
        assert find_encoding(file(text.encode("cp1252"))).name == "cp1252"
    assert find_encoding(file("wiek,kraj\nŁódź,źle\nKraków,żółty\nGdańsk,średni\n".encode("cp1250"))).name == "cp1250"


@pytest.mark.parametrize(
    ("content", "encoding", "key", "message"),
    [
        (b"a,b\ncaf\xc3\xa9,1\nd,2\ncaf\xe9,3\n", None, "data.source", "line 4 of d.csv is no UTF-8 (byte 0xE9"),
        (b"a,b\n1,2\ncaf\xe9,3\n", "utf-8", "data.encoding", "line 3 of d.csv is no utf-8 text: byte 0xE9"),
        (b"a,b\n1,2\ncaf\x81,3\n", "cp1252", "data.encoding", "line 3 of d.csv is no cp1252 text: byte 0x81"),
        (b"a,b\n1,\x00\n", None, "data.source", "line 2 holds a zero byte"),
        ("a,b\n1,é".encode("utf-16")[:-1], None, "data.source", "the file ends within a letter"),
    ],
)
def test_bytes_that_fit_no_encoding(file, content, encoding, key, message):
    """A byte that cannot be read is reported with its line; a file that mixes encodings is never guessed."""
    with pytest.raises(InputError) as refused:
        find_encoding(file(content, encoding))
    (problem,) = refused.value.problems
    assert problem.path == key
    assert message in problem.message


def test_lines_are_those_of_the_file_and_not_of_a_chunk(file):
    """A bad byte far down in a large file has the line that an editor shows."""
    with pytest.raises(InputError, match=r"line 400001 of d\.csv is no UTF-8"):
        find_encoding(file("é,b\n".encode() + b"aaa,b\n" * 399_999 + b"\xff,b\n"))
