"""Text files of rows, with the traps of reading them."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.data.raw import RawData
from pipelines.data.reading import csv_files
from pipelines.data.reading.csv_files import read_csv
from pipelines.data.reading.source_file import SourceFile
from pipelines.spec.data_spec import DataSpec


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., RawData]:
    """Return a function that writes a file and reads it."""

    def write_and_read(content: str | bytes, name: str = "data.csv", **keys: object) -> RawData:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        spec = DataSpec.model_validate({"source": name, **keys})
        return read_csv(SourceFile(path, name, "data.source", spec))

    return write_and_read


def test_csv_cells_stay_text(read):
    """A CSV's cells are kept as written, so that a class called NA is not lost."""
    raw = read("a,b\n01,NA\n 2 ,\n")
    assert raw.text
    assert raw.table.to_numpy().tolist() == [["01", "NA"], [" 2 ", ""]]
    assert raw.notes == ()


def test_rows_know_their_lines(read):
    """A row's place is its first line in an editor, with blank lines and quoted line breaks counted."""
    raw = read('a,b\n\n1,"x\ny"\n2,z\n')
    assert [raw.format_place(row) for row in range(raw.rows)] == ["line 3", "line 5"]
    assert raw.table["b"].tolist() == ["x\ny", "z"]


@pytest.mark.parametrize(("row", "got"), [("1,2,3", "3 fields"), ("1", "1 field")])
def test_row_that_does_not_fit_the_header(read, problem, row, got):
    """A row with a field too many or too few is refused with its line instead of shifting columns."""
    found = problem(read, f"a,b\n5,6\n{row}\n")
    assert found.path == "data.source"
    assert f"line 3 of data.csv has {got}, expected 2 as in the header" in found.message


def test_all_rows_that_do_not_fit(read, problem):
    """All such lines are named at once; `skip_broken` leaves them out with a note."""
    text = "a,b\n5,6\n1\n1,2,3\n7,8\n"
    assert "(2 such lines: 3, 4)" in problem(read, text).message
    raw = read(text, skip_broken=True)
    assert raw.table["a"].tolist() == ["5", "7"]
    assert raw.format_place(1) == "line 5"
    assert raw.notes == (
        "lines of data.csv that have too many or too few fields (data.skip_broken) are left out: 3, 4",
    )


def test_every_row_with_a_field_too_many(read, problem):
    """Rows that all have one more field than the header do not make the first column an index; names may be given."""
    message = problem(read, "a,b\n1,2,3\n4,5,6\n").message
    assert "line 2 of data.csv has 3 fields, expected 2 as in the header (2 such lines: 2, 3)" in message
    assert "set data.names to all 3" in message
    raw = read("a,b\n1,2,3\n4,5,6\n", header="first", names=["row", "a", "b"])
    assert raw.table["row"].tolist() == ["1", "4"]


@pytest.mark.parametrize("mark", ["^", "~", ":"])
def test_a_mark_that_is_not_looked_for(read, problem, mark):
    """A header in one field that holds the target's name shows the mark: it is refused with the key."""
    text = "a,b,c\n1,2,3\n4,5,6\n".replace(",", mark)
    assert (
        f'seem to be divided by "{mark}": a{mark}b{mark}c; set sep: "{mark}"'
        in problem(lambda: read(text, target="c")).message
    )
    assert read(text, target="c", sep=mark).table["c"].tolist() == ["3", "6"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", "no rows below its header"),
        ("a,c,a\n1,2,3\n", 'the column "a" more than once (columns 1 and 3)'),
        ('a,b\n1,"2\n3,4\n', "the row from line 2 of data.csv opens a quote that is not closed"),
        (b"PK\x03\x04rest", "is a zip archive or an Excel file"),
        ("<!DOCTYPE html><p>404", "is a web page"),
        ("<table><tr><th>a</th></tr></table>", "is a table of a web page"),
        ('[{"a": 1, "b": 2}]', "holds JSON; give it the ending .json"),
        ('{"a": 1, "b": 2}\n{"a": 1, "b": 2}\n', "or .jsonl for one record a line"),
        (",".join("a" * 30) + "\n", "(columns 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more)"),
        ("Sales of March\n\na,b\n1,2\n3,4\n", "line 1 of data.csv has 1 field, expected 2 as in the lines below"),
        ("Sales of March\n\na,b\n1,2\n3,4\n", "set data.skiprows: 2"),
    ],
)
def test_unusable_csv(read, problem, content, expected):
    """What is no table is refused in words."""
    found = problem(read, content)
    assert found.path == "data.source"
    assert expected in found.message


def test_a_field_that_is_too_long(read, problem, monkeypatch):
    """A field over many lines has a quote that is not closed; one on a single line is named by its length."""
    monkeypatch.setattr(csv_files, "_LONGEST_FIELD", 1000)
    long = problem(read, f"a,b\n1,{'x' * 2000}\n").message
    assert "line 2 of data.csv has a field of more than 1,000 letters" in long
    assert "check data.sep and the line ends" in long
    quoted = problem(read, 'a,b\n1,"' + "x\n" * 2000).message
    assert "the row from line 2 of data.csv opens a quote that is not closed" in quoted


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_delimiters(read, mark):
    """The mark between fields is the one that the header uses."""
    assert list(read(f"a{mark}b c\n1{mark}2\n").table.columns) == ["a", "b c"]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,5;2,3;x\n4,1;7,0;y\n2,5;1,1;x\n9,9;8,0;y\n", [["1,5", "2,3", "x"]]),
        ("x y z\n1   2\t 3\n4 5 6\n", [["1", "2", "3"]]),
        (
            '18.0 8  307 1  70\t"a car"\n15.0 9  350 2  71\t"an old car"\n16.0 7  300 1  70\t"a car"\n',
            [["18.0", "8", "307", "1", "70", "a car"]],
        ),
        ("sep=;\na;b\n1,5;2\n", [["1,5", "2"]]),
        ("name;age\nDoe, Jane;4\nRoe, Rick;5\nPoe, Ann;6\n", [["Doe, Jane", "4"]]),
        ("# made on Monday\n# by hand\na,b\n1,2\n3,4\n", [["1", "2"]]),
    ],
)
def test_layouts_that_are_found(read, text, rows):
    """Decimal commas, runs of blanks, a spreadsheet's stated mark, names with commas, comments above the table."""
    assert read(text, target="column_3").table.head(1).to_numpy().tolist() == rows


def test_what_was_left_out_or_guessed_is_said(read):
    """A note names the lines of comments, repeated headers and rows without any value, and the key."""
    assert read("# one\na,b\n1,2\n3,4\n").notes == ("line 1 begins with # in data.csv and is left out (data.comment)",)
    raw = read("a,b\n1,2\na,b\n,\n3,4\n,\n")
    assert raw.table["a"].tolist() == ["1", "3"]
    assert raw.notes == (
        "lines of data.csv that repeat the header are left out: 3",
        "lines of data.csv that hold no value are left out: 4, 6",
    )
    assert read("a b\n1 2\n3 4\n").notes == ("fields of data.csv are divided by blanks (data.sep)",)


def test_rows_that_a_quote_joins(read):
    """A quoted text may run over lines; one that looks like two rows has a note with its lines."""
    assert read('n\ttext\n1\t"two\nlines"\n').notes == ()
    raw = read('n\ttext\n1\t"good\n2\t"bad\n3\tfine\n')
    assert raw.rows == 2
    assert raw.notes[0].startswith("lines 2 to 3 of data.csv are one row, because a quote opens in the first")


@pytest.mark.parametrize("mark", [",", " "])
def test_a_header_that_is_written_as_a_comment(read, mark):
    """NumPy writes a header behind #, which is no part of the first name; the file's own name is known too."""
    raw = read(f"# a{mark}b\n1.5{mark}2\n3{mark}4.5\n")
    assert list(raw.table.columns) == ["a", "b"]
    assert 'its first name is read as "a", without #' in raw.notes[-1]


def test_lines_above_the_table(read):
    """`data.skiprows` leaves out a title; lines keep their numbers."""
    raw = read("Sales of March\nnorth, south\n\na,b\n1,2\n", skiprows=2)
    assert list(raw.table.columns) == ["a", "b"]
    assert raw.format_place(0) == "line 5"


def test_set_marks_and_comments(read, problem):
    """`data.sep` and `data.comment` hold whatever the file looks like; comments are none within quotes."""
    raw = read('a;b\n1,5;"x\n%y"\n%2;3\n4;z\n', sep=";", comment="%")
    assert raw.table.to_numpy().tolist() == [["1,5", "x\n%y"], ["4", "z"]]
    assert raw.format_place(1) == "line 5"
    found = problem(lambda: read("a,b\n1,2\n", sep=";"))
    assert (found.path, found.message) == (
        "data.sep",
        "no line of data.csv holds ';'; its fields seem to be divided by ','",
    )


def test_columns_without_a_name(read):
    """They have the names that pandas gives them, as in a table that a deployed model gets."""
    raw = read(",a, ,\n1,2,3,\n4,5,6,\n")
    assert list(raw.table.columns) == ["Unnamed: 0", "a", "Unnamed: 2", "Unnamed: 3"]
    assert dict(raw.headers) == {"Unnamed: 2": " "}


def test_byte_order_mark_is_no_part_of_the_name(read):
    """A byte order mark, as spreadsheets write it, does not become part of the first column's name."""
    assert list(read(b"\xef\xbb\xbfa,b\n1,2\n").table.columns) == ["a", "b"]


def test_compressed_files(read, tmp_path, problem):
    """Packed files are read as they are; a broken one, and an archive of several, are refused."""
    assert read(gzip.compress(b"a,b\n1,2\n"), "data.csv.gz").table["b"].tolist() == ["2"]
    assert "cannot be unpacked" in problem(lambda: read(gzip.compress(b"a,b\n1,2\n")[:15], "cut.csv.gz")).message
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        archive.writestr("a.csv", "a,b\n1,2\n")
    assert read((tmp_path / "made.zip").read_bytes(), "data.csv.zip").rows == 1
    with zipfile.ZipFile(tmp_path / "made.zip", "a") as archive:
        archive.writestr("__MACOSX/._a.csv", "hidden")
        archive.writestr("folder/.DS_Store", "hidden")
    assert read((tmp_path / "made.zip").read_bytes(), "data.csv.zip").rows == 1
    with zipfile.ZipFile(tmp_path / "made.zip", "a") as archive:
        archive.writestr("b.csv", "a,b\n1,2\n")
    content = (tmp_path / "made.zip").read_bytes()
    assert (
        "expected one file in data.csv.zip, got 2 (a.csv, b.csv)"
        in problem(lambda: read(content, "data.csv.zip")).message
    )


def test_gaps_between_blanks(read):
    """Fields between blanks are found where each column has gaps, as in many files of the UCI repository."""
    text = "".join(f"{row} ? 3.5 a\n" if row % 3 else f"? {row} 7 b\n" for row in range(9))
    raw = read(text, header="none", target="column_4")
    assert raw.table.shape == (9, 4)
    raw = read(text.replace("?", "gone"), header="none", target="column_4", missing_values={"column_1": ["gone"]})
    assert raw.table.shape == (9, 4)


def test_single_quotes(read):
    """Quotes around all words are no part of them, whatever mark of quotes; an apostrophe is a letter."""
    raw = read("'a','b','c'\n1,'x, y',NA\n2,'z','it''s'\n")
    assert raw.table.columns.tolist() == ["a", "b", "c"]
    assert raw.table.to_numpy().tolist() == [["1", "x, y", "NA"], ["2", "z", "it's"]]
    assert raw.notes == ("fields of data.csv stand in single quotes, which are no part of them (data.quote)",)
    assert read("a,b\n'tis,x\nit's,y\nz,w\n").table["a"].tolist() == ["'tis", "it's", "z"]
    assert read("'a','b'\n'1','2'\n'3','4'\n", quote='"', header="first").table.columns.tolist() == ["'a'", "'b'"]
