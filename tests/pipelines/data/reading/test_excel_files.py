"""Sheets of Excel files."""

from __future__ import annotations

import datetime
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest

from pipelines.data.reading.excel_files import read_excel
from pipelines.data.reading.source_file import SourceFile
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError


@pytest.fixture
def read(tmp_path):
    """Return a function that writes sheets of rows and reads the file."""

    def write_and_read(sheets: dict[str, list[list[object]]], **keys: object):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for name, rows in sheets.items():
            sheet = book.create_sheet(name)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / "d.xlsx")
        spec = DataSpec.model_validate({"source": "d.xlsx", **keys})
        return read_excel(SourceFile(tmp_path / "d.xlsx", "d.xlsx", "data.source", spec))

    return write_and_read


ROWS = [["a ", "day", "kind"], [1, datetime.datetime(2024, 5, 1), "NA"], [], [2.5, datetime.datetime(2024, 5, 2), None]]


def test_a_sheet_is_a_table(read):
    """Cells keep their types, "NA" is a word, empty rows are none, and rows have the sheet's numbers."""
    raw = read({"Sales": ROWS})
    assert raw.table["a"].tolist() == [1, 2.5]
    assert str(raw.table["day"].dtype).startswith("datetime64")
    assert raw.table["kind"].tolist()[0] == "NA"
    assert raw.format_place(1) == "row 4"
    assert dict(raw.headers) == {"a": "a "}
    assert raw.notes == ()


def test_one_of_several_sheets(read, problem):
    """The first sheet is read and the others are named; `data.sheet` names another."""
    sheets = {"One": ROWS, "Two": [["x"], [1]]}
    assert read(sheets).notes == ('the sheet "One" of d.xlsx is read, not "Two" (data.sheet)',)
    assert read(sheets, sheet="Two").table["x"].tolist() == [1]
    found = problem(lambda: read(sheets, sheet="two"))
    assert (found.path, 'did you mean "Two"?' in found.message) == ("data.sheet", True)


def test_a_sheet_without_a_header(read):
    """Whether the first row holds names is decided as for text files."""
    raw = read({"One": [[1, 2.5, "x"], [3, 4.5, "y"], [4, 1.5, "x"]]}, target="column_3")
    assert raw.rows == 3
    assert "row 1 of the sheet" in raw.notes[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        ([["a", "b"]], "has no rows below its header"),
        ([["Sales of March"], ["a", "b"], [1, 2]], 'holds a title alone: "Sales of March"; remove what'),
        ([["a", "a"], [1, 2]], 'the column "a" more than once (columns 1 and 2)'),
    ],
)
def test_sheets_that_are_no_table(read, problem, rows, message):
    """They are refused in words."""
    assert message in problem(read, {"One": rows}).message


def test_a_broken_file(tmp_path, problem):
    """A file that only has the name of an Excel file is refused with what to do."""
    (tmp_path / "d.xlsx").write_bytes(b"PK\x03\x04" + b"0" * 200)
    file = SourceFile(tmp_path / "d.xlsx", "d.xlsx", "data.source", DataSpec(source="d.xlsx"))
    assert "cannot be read as an Excel file" in problem(read_excel, file).message


# Ten entities of ten each: a short text of 10,000,000,000 letters.
LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (number, b"&l%d;" % (number - 1) * 10) for number in range(1, 11))
ENTITIES = b'<!DOCTYPE a [<!ENTITY l0 "l">%s]><worksheet x="&l10;"' % LAUGHS


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("xl/worksheets/sheet1.xml", b"</row>", b""),  # XML that is not closed
        ("xl/worksheets/sheet1.xml", b'r="A1"', b'r="1A"'),
        ("xl/worksheets/sheet1.xml", b"<worksheet", ENTITIES),
        ("xl/worksheets/sheet1.xml", b"</worksheet>", b'<mergeCells><mergeCell ref="?"/></mergeCells></worksheet>'),
        ("xl/styles.xml", b"<cellXfs", b"<cellXf"),
        ("xl/workbook.xml", b'sheetId="1"', b'sheetId="x"'),
    ],
)
def test_a_damaged_sheet(read, tmp_path, problem, part, old, new):
    """Whatever openpyxl raises at it, the file is refused with what to do."""
    read({"One": [["name", "x"], ["a", 1], ["b", 2]]})
    with ZipFile(tmp_path / "d.xlsx") as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    assert old in parts[part]
    with ZipFile(tmp_path / "d.xlsx", "w", ZIP_DEFLATED) as damaged:
        for name, content in parts.items():
            damaged.writestr(name, content.replace(old, new, 1) if name == part else content)
    file = SourceFile(tmp_path / "d.xlsx", "d.xlsx", "data.source", DataSpec(source="d.xlsx"))
    assert "d.xlsx cannot be read as an Excel file" in problem(read_excel, file).message


def test_totals_and_other_sheets(read):
    """A sheet's last row of totals is refused as a text file's is; a sheet of remarks names the others."""
    rows = [["shop", "sold"], ["a", 1], ["b", 2], ["Total", 3]]
    with pytest.raises(InputError, match=r'row 4 of the sheet "Sales" of d\.xlsx, the last, looks like totals'):
        read({"Sales": rows})
    assert read({"Sales": rows}, skipfooter=1).rows == 2
    with pytest.raises(InputError, match=r'no rows below its header; .* is read, not "Sales" \(data.sheet\)'):
        read({"Readme": [["The rows are in the second sheet"]], "Sales": rows})


def test_merged_cells(tmp_path):
    """The value of cells merged over rows is that of each of these, with a note; those of the header stay."""
    book = openpyxl.Workbook()
    for row in [["name", None, "n"], ["a", 1, 1], [None, 2, 2], ["b", 3, 3], [None, None, 4]]:
        book.active.append(row)
    for place in ("A1:B1", "A2:A3", "A4:A5", "B4:B5"):
        book.active.merge_cells(place)
    book.save(tmp_path / "d.xlsx")
    spec = DataSpec.model_validate({"source": "d.xlsx", "header": "first"})
    raw = read_excel(SourceFile(tmp_path / "d.xlsx", "d.xlsx", "data.source", spec))
    assert raw.table.iloc[:, 0].tolist() == ["a", "a", "b", "b"]
    assert raw.table.iloc[:, 1].tolist() == [1, 2, 3, 3]
    assert "merged cells (A2:A3 and 2 more)" in raw.notes[0]
