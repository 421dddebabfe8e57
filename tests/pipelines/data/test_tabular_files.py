"""CSV and Parquet files, with the traps of reading them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.data.tabular_files import read_csv, read_parquet


def write(folder: Path, content: str | bytes, name="data.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv_cells_stay_text(tmp_path):
    """A CSV's cells are kept as written, so that a class called NA is not lost."""
    raw = read_csv(write(tmp_path, "a,b\n01,NA\n 2 ,\n"), "data.csv", "data.source")
    assert raw.text
    assert raw.table.to_numpy().tolist() == [["01", "NA"], [" 2 ", ""]]


def test_rows_know_their_lines(tmp_path):
    """A row's place is its first line in an editor, with blank lines and quoted line breaks counted."""
    raw = read_csv(write(tmp_path, 'a,b\n\n1,"x\ny"\n2,z\n'), "data.csv", "data.source")
    assert [raw.format_place(row) for row in range(raw.rows)] == ["line 3", "line 5"]
    assert raw.table["b"].tolist() == ["x\ny", "z"]


@pytest.mark.parametrize(("row", "fields"), [("1,2,3", 3), ("1", 1)])
def test_row_that_does_not_fit_the_header(tmp_path, problem, row, fields):
    """A row with a field too many or too few is refused with its line instead of shifting columns."""
    found = problem(read_csv, write(tmp_path, f"a,b\n5,6\n{row}\n"), "data.csv", "data.source")
    assert found.path == "data.source"
    assert f"line 3 of data.csv has {fields} fields, expected 2" in found.message


def test_every_row_with_a_field_too_many(tmp_path, problem):
    """Rows that all have one more field than the header do not make the first column an index."""
    assert "line 2" in problem(read_csv, write(tmp_path, "a,b\n1,2,3\n4,5,6\n"), "data.csv", "data.source").message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", "no rows below its header"),
        ("a,a\n1,2\n", 'the column "a" more than once'),
        (b"a,b\n\xff\xfe,1\n", "not UTF-8"),
    ],
)
def test_unusable_csv(tmp_path, problem, content, expected):
    """An empty file, a header alone, a doubled column and a wrong encoding are refused in words."""
    found = problem(read_csv, write(tmp_path, content), "data.csv", "data.source")
    assert found.path == "data.source"
    assert expected in found.message


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_delimiters(tmp_path, mark):
    """The delimiter is the one that the header uses."""
    raw = read_csv(write(tmp_path, f"a{mark}b c\n1{mark}2\n"), "data.csv", "data.source")
    assert list(raw.table.columns) == ["a", "b c"]


def test_byte_order_mark_is_no_part_of_the_name(tmp_path):
    """A byte order mark, as spreadsheets write it, does not become part of the first column's name."""
    raw = read_csv(write(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n"), "data.csv", "data.source")
    assert list(raw.table.columns) == ["a", "b"]


def test_parquet_keeps_types(tmp_path):
    """Parquet columns keep their types, and rows are counted from 1."""
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", None], "c": [True, False]})
    frame.to_parquet(tmp_path / "data.parquet")
    raw = read_parquet(tmp_path / "data.parquet", "data.parquet", "data.source")
    assert not raw.text
    assert raw.table.dtypes["a"] == np.float64
    assert raw.format_place(1) == "row 2"


def test_broken_parquet(tmp_path, problem):
    """A file that is not Parquet is refused in one line."""
    path = write(tmp_path, "no parquet at all", "data.parquet")
    found = problem(read_parquet, path, "data.parquet", "data.source")
    assert "cannot be read as Parquet" in found.message
    assert "\n" not in found.message
