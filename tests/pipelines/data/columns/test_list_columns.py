"""Columns of lists: numbers of one length are features each, words are features of zeros and ones."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipelines.data.columns.columns import read_columns
from pipelines.data.columns.list_columns import list_commonest, plan_word_list
from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_examples_part, load_part, load_raw
from pipelines.data.reading.sources import load
from pipelines.data.stored_preprocessing import load_preprocessing
from pipelines.spec.data_spec import DataSpec
from tracking.mlflow.list_values import join_words, list_words

DECLARED = {"columns": {"v": {"type": "list"}}}


def read_csv(folder, cells, **keys):
    """Return the only feature column of a CSV with these cells, and the notes."""
    pd.DataFrame({"v": cells, "t": range(len(cells))}).to_csv(folder / "data.csv", index=False)
    spec = DataSpec.model_validate({"source": "data.csv", "target": "t", **keys})
    raw = load(spec, folder, "dense")
    columns, notes = read_columns(raw.table[["v"]], raw, spec)
    return columns[0], notes


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        (["[1, 2.5]", "[3, 4]"], {}),
        (["[1, 2.5]", "[3, 4]"], DECLARED),
        (["1 2.5", "3  4"], DECLARED),
        (["1;2.5", "3;4"], DECLARED),
        (["1,5;2,5", "3;4"], DECLARED),
        (["(1 | 2.5)", "(3|4)"], DECLARED),
    ],
)
def test_numbers_in_text(tmp_path, cells, keys):
    """Text in brackets is found by itself; declared, the mark is what all cells agree on."""
    column, notes = read_csv(tmp_path, cells, **keys)
    first = 1.5 if "1,5" in cells[0] else 1.0
    assert (column.kind, column.values.tolist()) == ("number_list", [[first, 2.5], [3, 4]])
    assert "lists of 2 numbers" in notes[0]


def test_gaps_in_lists_of_numbers(tmp_path):
    """A missing cell lacks each number; a missing entry that one."""
    column, _ = read_csv(tmp_path, ["[1, NA]", "", "[3, 4]"], **DECLARED)
    assert np.array_equal(column.values, [[1, np.nan], [np.nan, np.nan], [3, 4]], equal_nan=True)
    assert column.known.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1 2", "1 2 3", "4 5", ""], "expected lists of 2 numbers as in most rows, got 3 at line 3; give all one"),
        (["[]", "[]"], "expected lists of 0 numbers"),
    ],
)
def test_other_lengths_are_refused_with_the_line(tmp_path, cells, message, problem):
    found = problem(lambda: read_csv(tmp_path, cells, **DECLARED))
    assert (message in found.message, found.path) == (True, "data.columns.v")


def test_numbers_that_are_categories(tmp_path):
    """`encoding: one_hot` makes words of numbers, whose lists may differ in length."""
    keys = {"columns": {"v": {"type": "list", "encoding": "one_hot"}}}
    column, _ = read_csv(tmp_path, ["12|7", "7", ""], **keys)
    assert (column.kind, column.values.tolist()) == ("word_list", ["12 7", "7", ""])


def test_words_in_text(tmp_path):
    column, notes = read_csv(tmp_path, ["red | New York", "'red'", ""], **DECLARED)
    assert (column.kind, column.values.tolist()) == ("word_list", ["red New\u00a0York", "red", ""])
    assert list_words(column.values[0]) == ["red", "New York"]
    assert 'lists of words with "|" between' in notes[0]
    # As a deployed model reads the same cell.
    assert join_words(["red", "New York"], column.form) == join_words(" red|New  York", column.form) == column.values[0]


def write_lists(folder):
    """Write a file of typed lists, and return its rows."""
    random = np.random.default_rng(3)
    rows = [
        {"v": random.normal(5, 2, 3).tolist(), "w": random.choice(["a", "b c", "d"], row % 3).tolist(), "t": row / 7}
        for row in range(40)
    ]
    rows[4]["v"][1] = None
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return rows


def test_typed_lists_are_prepared(tmp_path):
    """Numbers are standardised and their gaps marked; a word unknown from training sets nothing."""
    write_lists(tmp_path)
    ready = tmp_path / "ready"
    spec = DataSpec.model_validate({"source": "data.jsonl", "target": "t"})
    summary = prepare(spec, tmp_path, ready, "dense")
    assert summary.features.dense == 3 + 1 + 3
    assert "[1.0" not in json.dumps(dict(summary.encodings))
    train = np.asarray(load_part(ready, "train").x["dense"])
    assert np.allclose(train[:, :3].mean(axis=0), 0, atol=1e-5)
    assert set(np.unique(train[:, 4:])) == {0.0, 1.0}
    raw = load_raw(ready, "test")
    assert (raw["v"].shape[1:], raw["w"].dtype) == ((3,), object)
    import tensorflow as tf

    rows = {"v": tf.constant(raw["v"][:1].repeat(2, axis=0)), "w": tf.constant(["b\u00a0c nowhere a a", "c"])}
    found = load_preprocessing(ready)(rows)["dense"].numpy()[:, 4:]
    assert found.sum(axis=1).tolist() == [2.0, 0.0]


def test_a_user_model_gets_lists_unchanged(tmp_path):
    write_lists(tmp_path)
    spec = DataSpec.model_validate({"source": "data.jsonl", "target": "t", "preprocess": "none"})
    prepare(spec, tmp_path, tmp_path / "ready", "any")
    x = load_examples_part(tmp_path / "ready", "train").x
    assert (x["v"].dtype, x["v"].shape[1:], x["w"].dtype) == (np.float64, (3,), object)


def test_lists_of_parquet(tmp_path, problem):
    """Arrow's lists are arrays; what is no list among them is named."""
    table = pd.DataFrame({"v": [np.array([1.0, 2.0]), np.array([3.0, 4.0])], "t": [0, 1]})
    table.to_parquet(tmp_path / "data.parquet")
    spec = DataSpec.model_validate({"source": "data.parquet", "target": "t"})
    raw = load(spec, tmp_path, "dense")
    assert read_columns(raw.table[["v"]], raw, spec)[0][0].values.tolist() == [[1, 2], [3, 4]]
    (tmp_path / "data.jsonl").write_text('{"v": [1], "t": 1}\n{"v": 5, "t": 2}\n')
    spec = DataSpec.model_validate({"source": "data.jsonl", "target": "t", **DECLARED})
    raw = load(spec, tmp_path, "dense")
    assert "expected a list, got 5 at line 2" in problem(read_columns, raw.table[["v"]], raw, spec).message


def test_only_the_commonest_words_are_told_apart(monkeypatch):
    monkeypatch.setattr("pipelines.data.columns.list_columns.MOST_WORDS", 2)
    values = np.array(["a b", "b", "c b", "c d"], dtype=object)
    plan = plan_word_list(0, values, [np.arange(4)])
    assert (plan.codes, plan.found, list_commonest(values)) == (3, 4, ["b", "c"])
