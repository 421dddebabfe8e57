"""Whether a first row holds names or values."""

from __future__ import annotations

import pytest

from pipelines.data.reading.heading import read_heading
from pipelines.data.reading.source_file import SourceFile
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError


def judge(text: str, **keys):
    rows = [line.split(",") for line in text.splitlines()]
    spec = DataSpec.model_validate({"source": "d.csv", **keys})
    return read_heading(rows[0], rows[1:], "line 1 of d.csv", SourceFile(None, "d.csv", "data.source", spec))  # type: ignore[arg-type]


FLOWERS = "5.1,3.5,setosa\n4.9,3.0,setosa\n6.2,2.9,virginica\n5.9,3.0,virginica"
WORDS = "p,x,brown\ne,x,yellow\ne,b,white\np,y,white\ne,x,brown"


@pytest.mark.parametrize(
    "text",
    [FLOWERS, WORDS, "30,64,1,1\n31,62,3,1\n32,65,0,2", "39, State-gov,<=50K\n50, Private,<=50K\n?, State-gov,>50K"],
)
def test_a_row_of_values_is_no_header(text):
    """Numbers above numbers, and words that are found again below, are a row; a note names both keys."""
    last = f"column_{text.splitlines()[0].count(',') + 1}"
    found = judge(text, target=last)
    assert found.is_row
    assert found.names[-1] == last
    assert "data.header, data.names" in found.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2",
        "name,city\nAnn,Rome\nBo,Oslo",
        "0,1,2,y\n0.5,0.7,0.1,1\n0.2,0.3,0.9,0",
        "country,1990,1991,2000\nFrance,58.2,58.5,60.9\nChad,5.9,6.1,8.3\nPeru,22.1,22.5,26.6",
        "1990,1995,2000\n3.5,4.5,1.2\n2.2,1.1,0.4",
        "class,colour\n" + "\n".join(["p,red", "e,blue"] * 15),
        "id,when\n1,2020-01-01\n2,2020-01-02",
        "name,50%,speed\nx,3.5,2\nz,4.5,7",
        "land,1/22/20,1/23/20\nChina,548,643\nPeru,0,2",
    ],
)
def test_names_are_a_header(text):
    """Words above numbers or categories, numbers that count up, and years are names; of numbers a note says so."""
    found = judge(text)
    assert not found.is_row
    assert found.names == text.splitlines()[0].split(",")
    assert bool(found.notes) == text.splitlines()[0].startswith(("0,1", "1990", "country,1990"))


def test_a_study_that_names_a_value_as_its_column():
    """Who names a cell of the first row takes it for a header; that is asked, with what to write instead."""
    with pytest.raises(InputError, match=r'the study names the column "setosa" by it; set header: none') as refused:
        judge(FLOWERS, target="setosa")
    assert refused.value.problems[0].path == "data.header"
    with pytest.raises(
        InputError, match=r"the columns are column_1 to column_3: expected one of these as the target, got"
    ):
        judge(FLOWERS, target="species")


def test_a_row_that_may_be_either():
    """A word above numbers beside numbers above numbers is refused, unless the study names a column of it."""
    text = "id,0.1,0.5\n1,0.3,0.2\n2,0.8,0.1"
    with pytest.raises(InputError, match=r"may hold names or a row: id, 0\.1, 0\.5; set data\.header") as refused:
        judge(text)
    assert refused.value.problems[0].path == "data.header"
    assert judge(text, target="id").notes == (
        "line 1 of d.csv is taken for the names of the columns: id, 0.1, 0.5 (data.header)",
    )
    assert judge(text, header="first").names == ["id", "0.1", "0.5"]
    assert judge(text, header="none", target="column_1").is_row


def test_numbers_that_count_up_by_chance():
    """Who names a column by its place takes the first row for a row."""
    text = "1,2,3\n2,5,1\n4,1,1\n3,3,2"
    assert not judge(text, target="3").is_row
    assert judge(text, target="column_3").is_row


def test_a_file_without_a_header_behind_one_that_has_one():
    """Its columns are those of the file before, with a note."""
    spec = DataSpec.model_validate({"source": "d.csv", "target": "kind"})
    rows = [line.split(",") for line in FLOWERS.splitlines()]
    file = SourceFile(None, "e.csv", "data.source", spec, columns=("a", "b", "kind"))  # type: ignore[arg-type]
    found = read_heading(rows[0], rows[1:], "line 1 of e.csv", file)
    assert (found.names, found.is_row) == (["a", "b", "kind"], True)
    assert found.notes == ("line 1 of e.csv looks like a row, so the names are those of the file before",)


def test_rows_to_predict():
    """They may lack the target; a header is one that names a column of the model."""
    rows = [line.rpartition(",")[0].split(",") for line in FLOWERS.splitlines()]
    spec = DataSpec.model_validate({"source": "new.csv", "target": "kind"})

    def read(first, spec=spec, columns=("a", "b")):
        file = SourceFile(None, "new.csv", "FILE", spec, columns=columns, is_new=True)  # type: ignore[arg-type]
        return read_heading(first, rows[1:], "line 1 of new.csv", file)

    assert read(["a", "b"]).names == ["a", "b"]
    assert not read(["0.1", "b"]).is_row
    assert (read(rows[0]).names, read(rows[0]).is_row) == (["a", "b"], True)
    assert read(rows[0], spec.model_copy(update={"names": ["a", "b", "kind"]})).names == ["a", "b"]
    assert read(rows[0], columns=("a", "b", "c")).names == ["column_1", "column_2"]


def test_given_names():
    """`data.names` stand in place of a header, are compared with the columns' number, and are no row themselves."""
    assert judge(FLOWERS, names=["a", "b", "kind"]).is_row
    found = judge("x,y\n1,2", names=["a", "b"])
    assert (found.names, found.is_row) == (["a", "b"], False)
    assert "is taken for the names of the columns, in whose place data.names stand" in found.notes[0]
    assert judge("x,y\nu,v", names=["x", "y"]).notes == ()
    with pytest.raises(InputError, match="expected 3 names, got 2"):
        judge(FLOWERS, names=["a", "b"])
