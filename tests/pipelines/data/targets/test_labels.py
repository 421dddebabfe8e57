"""What is predicted, inferred and overridden, and targets that cannot be learnt."""

import numpy as np
import pandas as pd
import pytest

from pipelines.data.raw import Origin, RawData
from pipelines.data.targets.labels import read_labels, split_target
from pipelines.spec.data_spec import DataSpec


def spec(**keys) -> DataSpec:
    return DataSpec.model_validate({"source": "data.csv", **keys})


def labelled(**columns) -> RawData:
    table = pd.DataFrame(columns)
    origin = Origin("data.csv", "data.source", "line", range(2, len(table) + 2))
    return RawData((origin,), labels=table, array=np.zeros((len(table), 1)))


def labels_of(values, **keys):
    raw = labelled(t=values)
    return read_labels(raw.labels, raw, spec(**keys))


def complaint(values, problem, **keys):
    raw = labelled(t=values)
    return problem(read_labels, raw.labels, raw, spec(**keys))


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        (["no", "yes", "no"], "binary", ("no", "yes")),
        ([True, False, True], "binary", ("False", "True")),
        (["b", "a", "c"], "multiclass", ("a", "b", "c")),
        (["7", "3", "7"], "binary", ("3", "7")),
        ([0.0, 1.0, 1.0], "binary", ("0", "1")),
        (["NA", "None", "x"], "multiclass", ("NA", "None", "x")),
        (list(range(10)) * 5, "multiclass", tuple("0123456789")),
        ([str(value) for value in [1, 2, 3] * 5], "multiclass", ("1", "2", "3")),
        ([1, 2, 3, 5, 6, 7] * 6, "multiclass", ("1", "2", "3", "5", "6", "7")),
        ([10, 9, 8] * 5 + [0, 1, 2, 3, 4, 5, 6, 7] * 6, "multiclass", tuple(map(str, range(11)))),
    ],
)
def test_classes_inferred(values, kind, classes):
    """Words, booleans, two numbers and class numbers mean classification; classes are in order of value."""
    found = labels_of(values)
    assert (found.kind, found.classes) == (kind, classes)
    assert found.y.dtype == np.int32
    assert [classes[index] for index in found.y] == [str(value).removesuffix(".0") for value in values]


@pytest.mark.parametrize(
    "values",
    [
        [1.5, 2.0, 3.0] * 9,
        [3, 4, 5, 6, 7, 8] * 9,
        [0, 1, 2, 3, 4, 9] * 9,
        [0, 1] * 20 + [3],
        list(range(20)),
        ["1.5", "2", "3"] * 9,
    ],
)
def test_regression_inferred(values):
    """Fractions, scores that do not start at 0 or 1, counts that get rare, and numbers that are all different."""
    found = labels_of(values)
    assert (found.kind, found.classes) == ("regression", ())
    assert found.y.dtype == np.float32
    assert found.y.shape == (len(values), 1)


def test_several_targets():
    """Several target columns are a multi-output regression."""
    raw = labelled(a=["1.5", "2", "4"], b=[1, 0, 0])
    found = read_labels(raw.labels, raw, spec())
    assert (found.kind, found.targets, found.y.shape) == ("multi_output_regression", ("a", "b"), (3, 2))


def test_one_hot_rows():
    """An array of one-hot rows is a classification."""
    raw = labelled(target_0=[1, 0, 0], target_1=[0, 1, 0], target_2=[0, 0, 1])
    found = read_labels(raw.labels, raw, spec())
    assert (found.kind, found.classes, found.y.tolist()) == ("multiclass", ("0", "1", "2"), [0, 1, 2])


def test_task_overridden():
    """A declared task overrides the inferred one both ways."""
    assert labels_of([3, 4, 5, 4], task="multiclass").classes == ("3", "4", "5")
    assert labels_of([0, 1, 1], task="multiclass").kind == "multiclass"
    assert labels_of(list(range(3)) * 5, task="regression").kind == "regression"
    assert labels_of([True, False], task="regression").y.tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("values", "task", "expected"),
    [
        (["a", "b", "c"], "binary", "two classes, got 3: a, b, c"),
        (["1", "x", "2"], "regression", "'x' at line 3"),
    ],
)
def test_task_that_does_not_fit(problem, values, task, expected):
    """A declared task that the labels do not fit is an error."""
    assert expected in complaint(values, problem, task=task).message


def test_classification_of_several_targets(problem):
    """Classification takes one target column."""
    raw = labelled(a=[1, 2], b=[3, 4])
    assert problem(read_labels, raw.labels, raw, spec(task="binary")).path == "data.task"


@pytest.mark.parametrize(
    "values",
    [[1.5, None, 2.5], [1.5, np.inf, 2.5], ["1.5", "", "2.5"], ["1.5", "NA", "2.5"], ["a", "", "b"], ["a", "?", "b"]],
)
def test_missing_labels(problem, values):
    """A missing label is an error with its line: NaN, infinity, an empty field, NA among numbers, a declared word."""
    found = complaint(values, problem, missing_values={"t": ["?"]})
    assert found.path == "data.target"
    assert "missing or not finite in 1 row (line 3)" in found.message


def test_first_ten_missing_labels(problem):
    """Of many missing labels the first ten are named, and the rest counted."""
    message = complaint([1.5] + [np.nan] * 12, problem).message
    assert "line 12 and 2 more" in message
    assert "line 13" not in message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2.5, 2.5], "the same in every row (2.5)"),
        (["a", "a"], "'a' in every row"),
        ([1, 1], "in every row"),
        (["", ""], "no value in any row"),
        ([str(index) + "x" for index in range(200)], "200 classes in 200 rows"),
        ([str(index / 7) for index in range(50)] + ["x"], "mixes types: 'x' at line 52"),
        ([1e39, 1.5], "rescale"),
    ],
)
def test_targets_that_cannot_be_learnt(problem, values, expected):
    """A constant, an empty, an identifier-like and a mixed target are refused."""
    found = complaint(values, problem)
    assert found.path == "data.target"
    assert expected in found.message


def table_of(**columns) -> RawData:
    table = pd.DataFrame(columns)
    return RawData((Origin("f", "data.source", "row", range(1, len(table) + 1)),), table=table)


def test_target_is_taken_from_the_table():
    """The target leaves the features."""
    features, targets = split_target(table_of(a=[1], b=[2], t=[3]), spec(target=["t", "b"]))
    assert list(features.columns) == ["a"]
    assert list(targets.columns) == ["t", "b"]


@pytest.mark.parametrize(
    ("keys", "path", "expected"),
    [
        ({}, "data.target", "the columns are a, strength"),
        ({"target": "strenght"}, "data.target", 'did you mean "strength"'),
        ({"target": ["a", "a"]}, "data.target", "named twice"),
        ({"target": "a", "drop": ["a"]}, "data.drop", "is the target"),
        ({"target": "a", "columns": {"a": {"type": "string"}}}, "data.columns.a.type", "is the target"),
        ({"target": "a", "split": {"column": "a"}}, "data.split.column", "is the target"),
    ],
)
def test_targets_that_are_not_there(problem, keys, path, expected):
    """A target must be named, be there, and be nothing else."""
    found = problem(split_target, table_of(a=[1], strength=[2]), spec(**keys))
    assert found.path == path
    assert expected in found.message


def test_names_for_labels_beside_the_features():
    """Labels that come beside the features take the study file's name for the target."""
    raw = labelled(target=[0, 1])
    assert list(split_target(raw, spec(target="species"))[1].columns) == ["species"]


def test_whole_numbers_are_noted():
    """A target of few whole numbers gets a note on what they were taken for, with the other task."""
    assert "taken for classes; if they are amounts, set data.task: regression" in labels_of([1, 2, 4] * 9).notes[0]
    assert "taken for amounts; if they are classes, set data.task: multiclass" in labels_of([3, 4, 5] * 9).notes[0]
    assert labels_of([1, 2, 4] * 9, task="multiclass").notes == ()
    assert labels_of([0, 1, 1]).notes == ()


def test_lookalike_classes_are_noted():
    """Classes that differ in case or a dot alone are named, with the replacement that joins them."""
    found = labels_of(["<=50K", "<=50K.", ">50K", "Yes", "yes"])
    assert 'set data.columns.t.replace: {"<=50K.": "<=50K", "yes": "Yes"}' in found.notes[0]
    joined = labels_of(["no", "YES ", "yes"], columns={"t": {"replace": {"YES": "yes"}}})
    assert (joined.classes, joined.notes) == (("no", "yes"), ())


def test_targets_in_other_dress():
    """Amounts with a currency are a regression, noted; numbers with leading zeros are classes."""
    found = labels_of(["$1,234.50", "$88.20", "($7.00)"])
    assert (found.kind, found.y.ravel().tolist()) == ("regression", pytest.approx([1234.5, 88.2, -7]))
    assert "'$1,234.50', read as 1234.5" in found.notes[0]
    assert labels_of(["01", "02", "10"]).classes == ("01", "02", "10")


def test_a_doubtful_target(problem):
    """A target whose dots may be either mark is refused with the key."""
    assert 'set thousands: "."' in complaint(["1.203", "987", "5"], problem).message
    assert labels_of(["1.203", "987", "5"], thousands=".").y.ravel().tolist() == [1203, 987, 5]


def test_classes_that_differ_in_what_cannot_be_seen():
    """A no-break space and a zero-width one are shown, in a rule that a study file takes as it is."""
    notes = labels_of(["very good", "very\u00a0good", "bad", "bad\u200b", "very good"]).notes
    assert '"very good" and "very\\u00a0good"' in notes[0]
    assert '{"very\\u00a0good": "very good", "bad\\u200b": "bad"}' in notes[0]


def test_the_class_to_keep_has_no_dot():
    """Of classes that look alike those without punctuation are kept, so that all lose it."""
    values = ["no."] * 3 + ["no"] * 2 + ["yes", "yes.", "yes"]
    assert '{"no.": "no", "yes.": "yes"}' in labels_of(values).notes[0]


@pytest.mark.parametrize("word", ["?", "NaN", "NA"])
def test_a_class_that_means_missing(word):
    """It has a note with both keys, whether people or programs write it."""
    found = labels_of(["a", "b", word, "a"]).notes[0]
    assert f'data.missing_values: {{"t": ["{word}"]}} and data.drop_unlabelled: true' in found


def test_classes_that_are_several_labels_each():
    """Classes put together of others have a note with the task that learns each label; other marks have none."""
    words = ["a", "b", "a;b", "b;c", "c"]
    assert "to learn the 3 labels, set data.task: multi_label" in labels_of(words * 3).notes[0]
    assert labels_of(words * 3, task="multiclass").notes == ()
    assert labels_of(["Smith, J", "Doe, A", "Roe, B"] * 3).notes == ()


def test_gaps_in_joined_labels(problem):
    """A target of several labels a cell, some of them empty, is no column with gaps: the message names the task."""
    found = complaint(["red|blue", "", "red", "blue"], problem)
    assert "set data.task: multi_label" in found.message
    assert "multi_label" not in complaint(["red", "", "red", "blue"], problem).message


def test_names_below_a_merged_header(read, problem):
    """A target that stands in a row below is shown there, with the key that makes the row the header."""
    found = problem(lambda: split_target(read("size,,kind\na,b,t\n1,2,x\n3,4,y\n", header="first"), spec(target="t")))
    assert "it stands in line 2: if the names do, set data.skiprows: 1" in found.message
