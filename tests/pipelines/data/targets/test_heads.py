"""Several targets of different tasks: what each is taken for, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.data.raw import Origin, RawData
from pipelines.data.series.windows import cut_windows
from pipelines.data.targets.heads import infer_tasks, read_targets
from pipelines.spec.data_spec import DataSpec

ROWS = 40
COLUMNS = {
    "price": [f"{10 + row * 0.25}" for row in range(ROWS)],
    "sold": ["yes", "no"] * (ROWS // 2),
    "grade": ["a", "b", "c", "d"] * (ROWS // 4),
}
FLAGS = {"red": ["1", "0"] * (ROWS // 2), "blue": ["0", "0", "1", "1"] * (ROWS // 4)}


def read(columns, function=read_targets, **keys):
    labels = pd.DataFrame(columns)
    raw = RawData((Origin("d.csv", "data.source", "line", range(2, len(labels) + 2)),), table=labels, text=True)
    spec = DataSpec.model_validate({"source": "d.csv", "target": list(labels.columns), **keys})
    return function(labels, raw, spec)


def test_each_target_has_the_task_that_it_has_alone():
    """A number, two words and four words are a regression, a binary and a multiclass head, and a note names them."""
    found = read(COLUMNS)
    assert [(head.output, head.kind, head.classes) for head in found.heads] == [
        ("price", "regression", ()),
        ("sold", "binary", ("no", "yes")),
        ("grade", "multiclass", ("a", "b", "c", "d")),
    ]
    assert (found.kind, found.classes, found.y.shape) == ("multi_task", (), (ROWS, 3))
    assert found.notes[0] == (
        'each target has a task and a head of the model: "price" regression, "sold" binary, "grade" multiclass '
        "(data.tasks changes a task)"
    )


def test_each_head_has_its_own_arrays():
    """Classes are indexes and numbers float32, in a file for each output."""
    arrays = read(COLUMNS).list_arrays()
    assert {name: (str(each.dtype), each.shape) for name, each in arrays.items()} == {
        "y.price": ("float32", (ROWS, 1)),
        "y.sold": ("int32", (ROWS,)),
        "y.grade": ("int32", (ROWS,)),
    }


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"price": COLUMNS["price"], "cost": COLUMNS["price"]}, "multi_output_regression"),
        (FLAGS, "multi_label"),
        ({"price": COLUMNS["price"], "red": FLAGS["red"]}, "multi_task"),
        ({"sold": COLUMNS["sold"], "grade": COLUMNS["grade"]}, "multi_task"),
    ],
)
def test_targets_of_one_task_stay_together(columns, kind):
    """Numbers are one regression and flags one multi-label task; anything else has heads."""
    assert read(columns).kind == kind


def test_a_declared_task_stands():
    """`data.task` gives all targets one task, and `data.tasks` gives them heads with the tasks that it names."""
    assert read({"price": COLUMNS["price"], "red": FLAGS["red"]}, task="multi_output_regression").heads == ()
    assert [head.kind for head in read(FLAGS, tasks={"red": "regression"}).heads] == ["regression", "binary"]


def test_a_note_on_one_of_several_names_the_key_of_several():
    """Whole numbers that are taken for classes are changed by `data.tasks`, since `data.task` is one for all."""
    notes = read({"price": COLUMNS["price"], "stars": ["1", "2", "3", "4", "5"] * (ROWS // 5)}).notes
    assert any("set data.tasks: {stars: regression}" in note for note in notes)


@pytest.mark.parametrize(
    ("columns", "keys", "path", "expected"),
    [
        ({"tags": ["a|b", "a"] * (ROWS // 2)}, {}, "data.target", "several labels in a cell, got 'a|b' at line 2"),
        ({"tags": ["a", "b"] * (ROWS // 2 - 1) + ["", "a"]}, {}, "data.target", 'the target "tags" is missing'),
        ({"sold": COLUMNS["grade"]}, {"tasks": {"sold": "binary"}}, "data.tasks.sold", "binary means two classes"),
        ({"sold": COLUMNS["sold"]}, {"tasks": {"sold": "regression"}}, "data.target", "a regression needs numbers"),
        ({"sold": COLUMNS["sold"]}, {"task": "multiclass"}, "data.task", "set data.tasks: {price: multiclass}"),
    ],
)
def test_targets_that_cannot_be_used(problem, columns, keys, path, expected):
    """The message names the column, its first place, and the key to write instead."""
    found = problem(lambda: read({"price": COLUMNS["price"], **columns}, **keys))
    assert (found.path, expected in found.message) == (path, True), found.message


def test_a_text_with_marks_may_be_declared_one_class():
    """`data.tasks` states that a text such as `a|b` is one class."""
    found = read({"price": COLUMNS["price"], "tags": ["a|b", "a"] * (ROWS // 2)}, tasks={"tags": "multiclass"})
    assert found.heads[1].classes == ("a", "a|b")


@pytest.mark.parametrize(
    ("columns", "keys", "tasks"),
    [
        (COLUMNS, {}, {"price": "regression", "sold": "binary", "grade": "multiclass"}),
        ({"price": COLUMNS["price"], "zero": ["0"] * ROWS}, {}, {}),
        (FLAGS, {}, {}),
        ({"price": COLUMNS["price"], "red": FLAGS["red"]}, {"task": "multi_output_regression"}, {}),
        ({"price": ["", *COLUMNS["price"][1:]], "red": FLAGS["red"]}, {}, {"price": "regression", "red": "binary"}),
    ],
)
def test_tasks_by_some_rows(columns, keys, tasks):
    """Rows that are streamed show in the first ones whether they have a task each; a constant shows nothing."""
    assert read(columns, infer_tasks, **keys) == tasks


def test_the_first_target_with_classes_is_stratified():
    """`strata` are the labels whose classes are spread evenly: of the first target that has any."""
    assert read(COLUMNS).strata.targets == ("sold",)
    assert read({"price": COLUMNS["price"], "cost": COLUMNS["price"]}).strata.kind == "multi_output_regression"


def test_a_user_model_gets_a_dict_by_output():
    """The targets of heads go to a model of yours by the names of their outputs."""
    given = read({"price": COLUMNS["price"], "is sold": COLUMNS["sold"]}).give()
    assert list(given) == ["price", "is_sold"]
    np.testing.assert_array_equal(given["is_sold"][:3], [1, 0, 1])


def test_windows_of_a_series_have_one_task(problem):
    """Several targets of windows are numbers; words among them are refused with what to do instead."""
    table = pd.DataFrame({"day": range(ROWS), "load": COLUMNS["price"], **COLUMNS, "cost": COLUMNS["price"]})
    raw = RawData((Origin("d.csv", "data.source", "line", range(2, ROWS + 2)),), table=table, text=True)

    def read_windows(*target):
        series = {"time": "day", "length": 3, "horizon": 0}
        made, left = cut_windows(
            raw, DataSpec.model_validate({"source": "d.csv", "target": list(target), "series": series})
        )
        return read_targets(made.labels, made, left)

    found = problem(lambda: read_windows("price", "sold"))
    assert (found.path, found.message.endswith("make a study for each target")) == ("data.target", True)
    assert read_windows("price", "cost").kind == "multi_output_regression"
