"""Rows of a source and their places."""

import numpy as np
import pandas as pd
import pytest

from pipelines.data.raw import Origin, RawData, combine
from search_spaces.errors import InputError


def rows(name, numbers, part=None, columns=("a", "b")):
    table = pd.DataFrame({column: range(len(numbers)) for column in columns})
    return RawData((Origin(name, "data.source", "line", numbers, part),), table=table)


def test_the_place_of_a_row_has_its_file_where_there_are_several():
    """With one source a row's place is its line; with several it has the file's name too."""
    first, test = rows("a.csv", [2, 3]), rows("b.csv", [2, 5], "test")
    assert first.format_place(1) == "line 3"
    assert combine([first, test]).format_places([1, 3]) == "line 3 of a.csv, line 5 of b.csv"
    assert first.format_places([0, 1], most=1) == "line 2 and 1 more"


def test_rows_given_for_a_part_are_marked():
    """Rows of a separate file belong to its part; all others are still to be split."""
    both = combine([rows("a.csv", [2, 3]), rows("b.csv", [2], "test")])
    assert both.given.tolist() == ["", "", "test"]
    assert both.rows == 3
    assert both.table is not None
    assert np.array_equal(both.table["a"], [0, 1, 0])


def test_sources_with_other_columns_are_refused():
    """Rows can be combined only if their columns are the same, in any order."""
    combine([rows("a.csv", [2]), rows("b.csv", [2], "test", ("b", "a"))])
    with pytest.raises(InputError, match=r'b\.csv must have the columns of a\.csv; missing: "b"; unexpected: "c"'):
        combine([rows("a.csv", [2]), rows("b.csv", [2], "test", ("a", "c"))])
