"""Rows below a table: totals are refused, and left out or kept as the study file states."""

from __future__ import annotations

import pytest

from pipelines.data.reading.csv_files import iterate_csv
from pipelines.data.reading.source_file import SourceFile
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError

ROWS = "shop,sold\n" + "".join(f"s{row},{row}\n" for row in range(30))


@pytest.mark.parametrize("last", ["Total,435", " Summe: ,435", "GRAND TOTAL,"])
def test_totals_are_no_row(read, problem, last):
    """A last row of totals would be learnt from: it is refused with its line and the key, which leaves it out."""
    found = problem(lambda: read(f"{ROWS}{last}\n"))
    assert "line 32 of data.csv, the last, looks like totals" in found.message
    assert "data.skipfooter: 1" in found.message
    assert read(f"{ROWS}{last}\n", skipfooter=1).rows == 30
    assert read(f"{ROWS}{last}\n", skipfooter=0).rows == 31


def test_a_category_that_is_called_total(read):
    """A word for totals that other rows have too is a category."""
    assert read("kind,sold\ntotal,1\npart,2\ntotal,3\n").rows == 3


def test_lines_below_the_table(read, problem):
    """A remark below the table is refused with the number of lines to leave out."""
    text = f"{ROWS}\nSource: our shops, 2024, corrected\nPrinted\n"
    assert "if the table ends above, set data.skipfooter: 2" in problem(lambda: read(text)).message
    assert read(text, skipfooter=2).rows == 30


def test_rows_that_are_read_in_pieces(tmp_path):
    """The last row of a file in pieces is compared with all pieces."""
    path = tmp_path / "data.csv"
    path.write_text("kind,sold\n" + "total,1\n" * 3 + "part,2\n" * 9000 + "total,3\n")
    file = SourceFile(path, "data.csv", "data.source", DataSpec(source="data.csv"))
    assert sum(piece.rows for piece in iterate_csv(file, 1000)) == 9004
    path.write_text("kind,sold\n" + "part,2\n" * 9000 + "total,3\n")
    with pytest.raises(InputError, match=r"line 9002 of data\.csv, the last, looks like totals"):
        list(iterate_csv(file, 1000))
