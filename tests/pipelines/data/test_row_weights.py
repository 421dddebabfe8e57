"""Weights of rows: where they come from, which are refused, and what is said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.data.examples.examples import Examples
from pipelines.data.raw import Origin, RawData, combine
from pipelines.data.row_weights import RowWeights, read_example_weights, split_weight
from pipelines.data.splits.split import Split
from pipelines.spec.data_spec import DataSpec

ROWS = 4


def origin(name="data.csv", word="line", first=2, **keys):
    return Origin(name, "data.source", word, range(first, first + ROWS), **keys)


def table(**columns):
    return RawData((origin(),), table=pd.DataFrame({"x": range(ROWS), **columns}))


def weigh(raw, **keys):
    return split_weight(raw.table, raw, DataSpec.model_validate({"source": "data.csv", **keys}))


def examples(weights, y=None):
    x = np.zeros((ROWS, 2), "float32")
    return RawData((origin("l", "row", 1),), examples=Examples(x, y if y is not None else x, weights))


def test_a_column_of_weights_is_no_feature():
    """The named column leaves the features, and each row's number is its weight."""
    features, weights = weigh(table(w=["1", "0.5", "0", "2e1"]), weight="w")
    assert list(features.columns) == ["x"]
    assert weights.values.dtype == np.float32
    assert weights.values.tolist() == [1.0, 0.5, 0.0, 20.0]
    assert weigh(table())[1] is None


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, -2, 1, -3], 'expected column "w" to be finite numbers of at least 0, got -2.0 at line 3, line 5'),
        ([1, float("inf"), 1, 1], "got inf at line 3"),
        ([1, 1e300, 1, 1], "got inf at line 3"),
        (["1", "", "1", "1"], 'expected column "w" to be numbers of at least 0, got no value at line 3'),
        ([1.0, None, 1.0, 1.0], "got no value at line 3"),
        (["1", "1", "1,5", "1"], "got '1,5' at line 4"),
    ],
)
def test_weights_that_are_no_weights_are_named_by_line(column, message, problem):
    """Negative, missing and infinite weights are refused with their lines."""
    found = problem(weigh_by_w, column)
    assert message in found.message
    assert found.path == "data.weight"


def weigh_by_w(column):
    return weigh(table(w=column), weight="w")


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ({"weight": "w", "target": "w"}, "data.target"),
        ({"weight": "w", "drop": ["w"]}, "data.drop"),
        ({"weight": "w", "columns": {"w": {"type": "numeric"}}}, "data.columns.w"),
        ({"weight": "w", "split": {"column": "w"}}, "data.split.column"),
        ({"weight": "v"}, "data.weight"),
    ],
)
def test_a_column_of_weights_is_nothing_else(keys, path, problem):
    """A column that has two uses, or is not there, is refused at the key to change."""

    def read():
        return weigh(table(w=[1.0] * ROWS), **keys)

    assert problem(read).path == path


def test_two_weights_are_refused(problem):
    """A loader's weights and a column of them contradict each other."""
    raw = RawData((origin("l"),), table=pd.DataFrame({"w": [1.0] * ROWS}), weights=np.ones(ROWS))
    assert "gives sample_weight already" in problem(weigh_both, raw).message


def weigh_both(raw):
    return weigh(raw, weight="w")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            np.array([1.0, np.nan, 1.0, 1.0]),
            "the sample_weight of l to be finite numbers of at least 0, got nan at row 2",
        ),
        ({"a": np.ones(ROWS), "b": np.array([[1, 1], [1, 1], [1, -1], [1, 1]])}, "got -1 at row 3"),
        (np.array(["a"] * ROWS, dtype=object), "expected the sample_weight of l to be arrays of numbers"),
    ],
)
def test_weights_of_examples_are_checked(weights, message, problem):
    """Each array of a structure is checked, whatever its axes."""
    assert message in problem(read_example_weights, examples(weights)).message


def test_weights_of_examples_stay_as_they_were_given():
    """A structure of weights goes through; without any there are none."""
    given = {"a": np.arange(ROWS), "b": np.ones((ROWS, 2))}
    assert read_example_weights(examples(given)).values is given
    assert read_example_weights(examples(None)) is None
    assert read_example_weights(table()) is None


@pytest.mark.parametrize(
    ("weights", "parts", "message"),
    [
        ([1, 1, 0, 1], ["train", "train", "validation", "test"], 'every validation row weighs 0 by column "w"'),
        ([0, 0, 1, 1], ["train", "train", "validation", "test"], "every train row"),
        ([1, 1, 1, 0], ["train", "train", "validation", "test"], "every test row"),
        ({"a": np.array([1, 0, 0, 0]), "b": np.ones((ROWS, 3))}, ["train", "validation", "train", "train"], ""),
        ([1, 0, 1, 0], ["train", "validation", "train", "validation"], "every validation row"),
    ],
)
def test_a_part_without_weight_is_refused(weights, parts, message, problem):
    """The loss of such a part would be 0 for every model; one output's weights may be."""
    values = weights if isinstance(weights, dict) else np.array(weights, "float32")
    split = Split(np.array(parts, dtype="<U10"), np.full(ROWS, -1), 1)
    weighting = RowWeights(values, 'column "w"', "data.weight")
    if not message:
        weighting.check_parts(split)
        return
    found = problem(weighting.check_parts, split)
    assert message in found.message
    assert found.path == "data.weight"


def test_a_fold_without_weight_is_refused(problem):
    """The fold is named, and the key that asked for it."""
    split = Split(np.full(ROWS, "train"), np.array([0, 1, 0, 1]), 2)
    weighting = RowWeights(np.array([1, 0, 1, 0], "float32"), 'column "w"', "data.weight")
    found = problem(weighting.check_parts, split, "selection.folds")
    assert "every train row of fold 0 weighs 0" in found.message
    assert found.path == "selection.folds"


@pytest.mark.parametrize("is_table", [True, False])
def test_a_part_that_gives_no_weights_weighs_1(is_table):
    """As in Keras, validation rows may come without weights; it is said."""
    if is_table:
        first, second = (RawData((origin(name),), table=pd.DataFrame({"x": [0] * ROWS})) for name in ("all", "later"))
        raw = combine([RawData(first.origins, table=first.table, weights=np.full(ROWS, 3.0)), second])
        weights = split_weight(raw.table, raw, DataSpec(source="all"))[1]
    else:
        held_out = RawData((origin("later"),), examples=examples(None).examples)
        raw = combine([held_out, examples({"a": np.full((ROWS, 1), 3.0), "b": np.full(ROWS, 3.0)})])
        weights = read_example_weights(raw)
        assert weights.values["a"].ravel().tolist() == [1.0] * ROWS + [3.0] * ROWS
    assert weights.describe(raw) == (
        f"rows are weighted by the sample_weight of {'all' if is_table else 'l'} (1 to 3, mean 2) in the loss and in "
        "weighted metrics; rows of later have none and weigh 1"
    )
