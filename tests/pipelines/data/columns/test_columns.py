"""What each column of a table holds, and the complaints about those that are unclear."""

import datetime
import keyword
import re

import numpy as np
import pandas as pd
import pytest

from pipelines.data.columns.columns import leave_out_idle, read_columns
from pipelines.data.columns.input_names import make_input_names
from pipelines.data.raw import Origin, RawData
from pipelines.data.reading.tabular_files import convert_frame
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError


def spec(**keys) -> DataSpec:
    return DataSpec.model_validate({"source": "data.csv", **keys})


def csv_of(**columns) -> RawData:
    table = pd.DataFrame(columns, dtype=object)
    return RawData((Origin("data.csv", "data.source", "line", range(2, len(table) + 2)),), table=table, text=True)


def column(raw: RawData, **keys):
    columns, _ = read_columns(raw.table, raw, spec(**keys))
    return columns[0]


def complaint(raw: RawData, problem, **keys):
    return problem(read_columns, raw.table, raw, spec(**keys))


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", " 2.5 ", "-3e2"], "numeric", [1, 2.5, -300]),
        (["1", "", "NA"], "numeric", [1, np.nan, np.nan]),
        (["1", "inf", "1e300"], "numeric", [1, np.nan, np.nan]),
        (["true", "False", ""], "boolean", [1, 0, np.nan]),
        (["2024-01-02", "1970-01-01", "nan"], "date", [19724, 0, np.nan]),
        (["2024-01-02T12:00:00Z", "2024-01-02 01:00+01:00", "2024/01/02"], "date", [19724.5, 19724, 19724]),
    ],
)
def test_types_inferred_from_text(cells, kind, values):
    """Numbers, booleans and ISO dates are distinguished; NA, infinity and beyond float32 are missing among them."""
    found = column(csv_of(a=cells))
    assert found.kind == kind
    assert np.array_equal(found.values, np.array(values, dtype=np.float64), equal_nan=True)


def test_strings():
    """Words are strings; there the empty field alone is missing, and NA is a word."""
    found = column(csv_of(a=[" x ", "NA", "", "None"]))
    assert found.kind == "string"
    assert found.values.tolist() == ["x", "NA", "", "None"]


def test_further_missing_values():
    """Strings that the study file calls missing are missing in columns of any type."""
    raw = csv_of(a=["1", "?"], b=["x", " ? "])
    columns, _ = read_columns(raw.table, raw, spec(missing_values=["?"]))
    assert np.isnan(columns[0].values[1])
    assert columns[1].values[1] == ""


@pytest.mark.parametrize(
    ("cells", "good", "bad"),
    [
        (["1", "2", "abc", "4"], "'1' at line 2", "'abc' at line 4"),
        (["x"] * 9 + ["7"], "'7' at line 11", "'x' at line 2"),
        (["2024-01-01", "soon"], "'2024-01-01' at line 2", "'soon' at line 3"),
    ],
)
def test_mixed_types(problem, cells, good, bad):
    """Numbers or dates among words are refused, with an example of each, its line, and what to do."""
    found = complaint(csv_of(a=cells), problem)
    assert found.path == "data.source"
    for expected in ('column "a" mixes types', good, bad, "data.missing_values", "data.columns.a.type"):
        assert expected in found.message


def test_few_numbers_among_words_are_words():
    """A column of words in which fewer than one in ten is a number is a column of strings."""
    assert column(csv_of(a=["x"] * 10 + ["7"])).kind == "string"


def test_numbers_with_a_comma():
    """Numbers with a decimal comma are numbers, and a note shows how they are read."""
    raw = csv_of(a=["1,5", "2,25", "1.234,5"])
    columns, notes = read_columns(raw.table, raw, spec())
    assert columns[0].values.tolist() == [1.5, 2.25, 1234.5]
    assert "data.columns.a.type" in notes[0]


def test_declared_types():
    """A declared type overrides the inferred one: codes stay text with their zeros, 0 and 1 become booleans."""
    assert column(csv_of(a=["01", "2", "x"]), columns={"a": {"type": "string"}}).values.tolist() == ["01", "2", "x"]
    assert column(csv_of(a=["1", "0", "no"]), columns={"a": {"type": "boolean"}}).values.tolist() == [1, 0, 0]
    typed = convert_frame(pd.DataFrame({"a": [1.0, np.nan, 2.5]}), "f", "data.source")
    assert column(typed, columns={"a": {"type": "string"}}).values.tolist() == ["1", "", "2.5"]


def test_value_that_does_not_fit_the_declared_type(problem):
    """A value that is not of the declared type is named with its line."""
    found = complaint(csv_of(a=["1", "x", "y"]), problem, columns={"a": {"type": "numeric"}})
    assert found.path == "data.columns.a.type"
    assert "expected a number, got 'x' at line 3 (2 such values, at line 3, line 4)" in found.message


@pytest.mark.parametrize(
    ("series", "kind", "values"),
    [
        (pd.Series([1, 2], dtype="int8"), "numeric", [1, 2]),
        (pd.Series([1, None], dtype="Int64"), "numeric", [1, np.nan]),
        (pd.Series([True, None], dtype="boolean"), "boolean", [1, np.nan]),
        (pd.Series([True, None], dtype=object), "boolean", [1, np.nan]),
        (pd.Series(["x", None]), "string", ["x", ""]),
        (pd.Series(["1", "2"]), "string", ["1", "2"]),
        (pd.Series([3, 4]).astype("category"), "string", ["3", "4"]),
        (pd.Series(pd.to_datetime(["1970-01-02", None])), "date", [1, np.nan]),
        (pd.Series([datetime.date(1970, 1, 3)]), "date", [2]),
    ],
)
def test_types_of_typed_columns(series, kind, values):
    """Where the source has types, they are kept."""
    found = column(convert_frame(pd.DataFrame({"a": series}), "f", "data.source"))
    assert found.kind == kind
    assert found.values.tolist() == values or np.array_equal(found.values, np.array(values, float), equal_nan=True)


def test_python_objects(problem):
    """A column of objects names the two types that it mixes, or the one that is of no use."""
    mixed = convert_frame(pd.DataFrame({"a": pd.Series([1, "x"], dtype=object)}), "f", "data.source")
    assert "1 (numeric, row 1) and 'x' (string, row 2)" in complaint(mixed, problem).message
    records = convert_frame(pd.DataFrame({"a": [{"x": 1}, {"x": 2}]}), "f", "data.source")
    assert "values of type dict" in complaint(records, problem).message


def test_column_without_values():
    """A column with no value in any row is left out, and a note reports it."""
    raw = csv_of(a=["1", "2"], b=["", "NA"])
    columns, notes = read_columns(raw.table, raw, spec())
    assert [found.name for found in columns] == ["a"]
    assert notes == ['column "b" is left out: it has no value in any row']


def test_columns_that_training_cannot_learn_from():
    """A column that is empty or constant in the training rows is left out with a note; settings keep a constant."""
    raw = csv_of(a=["1", "2", "3"], same=["5", "5", "6"], none=["", "NA", "7"], gap=["x", "", "x"])
    columns, _ = read_columns(raw.table, raw, spec())
    kept, notes = leave_out_idle(columns, np.array([0, 1]), spec())
    assert [found.name for found in kept] == ["a", "gap"]
    assert 'column "same" is left out: it is 5 in every training row' in notes[0]
    assert 'column "none" is left out: it has no value in any training row' in notes[1]
    chosen = spec(columns={"same": {"type": "numeric"}})
    assert [found.name for found in leave_out_idle(columns, np.array([0, 1]), chosen)[0]] == ["a", "same", "gap"]
    with pytest.raises(InputError, match="no column has two values"):
        leave_out_idle(columns[1:2], np.array([0, 1]), spec())


def test_unknown_names():
    """Every unknown name under drop and columns is reported at once, with the nearest column."""
    raw = csv_of(age=["1"], name=["x"])
    with pytest.raises(InputError) as caught:
        read_columns(raw.table, raw, spec(drop=["nam"], columns={"agee": {"type": "numeric"}}))
    assert [found.path for found in caught.value.problems] == ["data.drop", "data.columns.agee"]
    assert 'did you mean "name"' in str(caught.value)


def test_dropped_columns(problem):
    """Dropped columns are gone; dropping all of them is an error."""
    raw = csv_of(a=["1"], b=["mixed"])
    columns, _ = read_columns(raw.table, raw, spec(drop=["b"]))
    assert [found.name for found in columns] == ["a"]
    assert "no feature column" in complaint(raw, problem, drop=["a", "b"]).message


def test_encoding_of_numbers(problem):
    """An encoding for a column of numbers is an error."""
    found = complaint(csv_of(a=["1", "2"]), problem, columns={"a": {"encoding": "one_hot"}})
    assert found.path == "data.columns.a.encoding"


def test_input_names():
    """Plain names stay; others become unique names that TensorFlow's signatures take, whatever the case."""
    names = make_input_names(["a b", "a_b", "A_B", "x/y", "", "größe", "1st", "self", "dense"])
    assert names["a_b"] == "a_b"
    assert names["dense"] == "dense"
    assert all(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) and name != "self" for name in names.values())
    assert len({name.lower() for name in names.values()}) == 9


def test_a_column_may_be_called_by_a_keyword_of_python():
    """The inputs of a signature are parameters of a function, which no keyword can be; other names stay."""
    names = make_input_names(["class", "column_class", "lambda", "None", "Class", "kind"])
    assert [names[name] for name in ("column_class", "kind")] == ["column_class", "kind"]
    assert not any(keyword.iskeyword(name) for name in names.values())
    assert len({name.lower() for name in names.values()}) == 6


def test_whole_numbers_that_float32_makes_equal():
    """They are noted with what they become, in text and in typed sources; smaller ones are not."""
    huge = [str(10**12 + number) for number in range(4)]
    for raw in (csv_of(a=huge), convert_frame(pd.DataFrame({"a": [int(word) for word in huge]}), "f", "data.source")):
        _, notes = read_columns(raw.table, raw, spec())
        assert "4 whole numbers are 1 in the model" in notes[0]
    raw = csv_of(a=["16777215", "16777214"])
    assert read_columns(raw.table, raw, spec())[1] == []


@pytest.mark.parametrize(
    ("rows", "advice"),
    [
        (["(mm)", *map(str, range(9))], "if line 2 belongs to the header, set data.skiprows: 2 and data.names"),
        ([*map(str, range(9)), "9 in all"], "if that row is none, set data.skipfooter: 1"),
    ],
)
def test_a_word_at_an_end_of_numbers(read, problem, rows, advice):
    """Units below the names, and a remark below the table, have advice of their own."""
    raw = read("a,b\n" + "".join(f"{cell},x\n" for cell in rows))
    found = problem(lambda: read_columns(raw.table, raw, DataSpec(source="data.csv")))
    assert found.message.endswith(advice)
    assert "name them in data.missing_values" in found.message
