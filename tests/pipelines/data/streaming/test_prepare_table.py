"""A table that is read in pieces, held to the same table in memory: arrays, statistics, split, task and notes."""

import functools

import numpy as np
import pandas as pd
import pytest

from pipelines.data import prepare as prepare_module
from pipelines.data import scratch
from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_part, load_raw, load_summary
from pipelines.data.raw import PARTS
from pipelines.data.reading import csv_files
from pipelines.data.splits.division import Division
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError

ROWS = 900


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(scratch, "CHUNK_ROWS", 100)
    monkeypatch.setattr(csv_files, "ROWS", 50)  # the first piece has twice as many
    prepare_table = functools.partial(prepare_module.prepare_table, cells=900)
    monkeypatch.setattr(prepare_module, "prepare_table", prepare_table)


def make_table():
    """Return a table with a column of every kind, with gaps, a long tail, and targets of every task."""
    random = np.random.default_rng(0)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 800, ROWS), unit="D")
    words = ["the", "cat", "sat", "on", "mat", "dog", "ran", "far", "away", "now"]
    table = pd.DataFrame(
        {
            "plain": random.normal(size=ROWS),
            "tail": random.lognormal(0, 2, ROWS),
            "letter": random.choice(list("xyz"), ROWS),
            "code": [f"k{number}" for number in random.integers(0, 120, ROWS)],
            "many": [f"m{number}" for number in range(ROWS)],
            "day": days,
            "at": days + pd.to_timedelta(random.integers(0, 86_400, ROWS), unit="s"),
            "flag": random.choice([True, False], ROWS),
            "text": [f"{' '.join(random.choice(words, 7))} w{number}" for number in range(ROWS)],
            "pair": [f"[{one:.2f}, {other:.2f}]" for one, other in random.normal(size=(ROWS, 2))],
            "took": [f"{number // 60}h {number % 60}m" for number in random.integers(60, 900, ROWS)],
            "quarter": [f"{year}Q{1 + year % 4}" for year in random.integers(1990, 2020, ROWS)],
            "stamp": 1_577_836_800 + 3_600 * random.integers(0, 9_000, ROWS),
            "weight": random.uniform(0.5, 2, ROWS),
            "same": 1.5,
        }
    )
    table.loc[::7, ["plain", "day"]] = None
    table.loc[::11, "letter"] = None
    table["number"] = table["plain"].fillna(0) + random.normal(size=ROWS)
    table["grade"] = random.choice(["no", "yes", "maybe"], ROWS)
    table["won"] = random.integers(0, 2, ROWS)
    table["lost"] = random.integers(0, 2, ROWS)
    return table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the table in several forms."""
    folder, table = tmp_path_factory.mktemp("streaming"), make_table()
    table.to_csv(folder / "rows.csv", index=False)
    table.to_parquet(folder / "rows.parquet", index=False, row_group_size=150)
    table.to_feather(folder / "rows.feather", chunksize=150)
    for number in range(3):
        table.iloc[number * 300 : (number + 1) * 300].to_csv(folder / f"part-{number}.csv", index=False)
    return folder


def read(folder, keys, **arguments):
    """Return the summaries of the rows in memory and of the rows in pieces, each with its folder."""
    targets = [keys["target"]] if isinstance(keys["target"], str) else keys["target"]
    others = [name for name in ("number", "grade", "won", "lost") if name not in targets]
    drop = [*others, *([] if "weight" in keys else ["weight"]), *keys.pop("drop", [])]
    found = []
    for streaming in (False, True):
        spec = DataSpec.model_validate({**keys, "drop": drop, "streaming": streaming})
        found.append(prepare(spec, folder, folder / f"ready-{streaming}", "dense", **arguments))
    return found


def assert_equal(folder, memory, streamed):
    """Assert that both have the same rows, and features equal but for the rounding of sums in another order."""
    assert streamed.features == memory.features
    assert streamed.raw == memory.raw
    assert streamed.rows == memory.rows
    assert streamed.encodings == memory.encodings
    assert streamed.report == memory.report
    assert [note for note in sorted(streamed.notes) if "(data.streaming)" not in note] == sorted(memory.notes)
    assert streamed.task.classes == memory.task.classes
    assert streamed.task.class_counts == memory.task.class_counts
    np.testing.assert_allclose(streamed.task.target_mean, memory.task.target_mean, rtol=1e-12)
    np.testing.assert_allclose(streamed.task.target_scale, memory.task.target_scale, rtol=1e-12)
    for fold in range(memory.folds):
        for part in PARTS:
            ours, theirs = (load_part(folder / f"ready-{streaming}", part, fold) for streaming in (True, False))
            assert ours.x.keys() == theirs.x.keys()
            np.testing.assert_array_equal(ours.y, theirs.y)
            if theirs.sample_weight is not None:
                np.testing.assert_array_equal(ours.sample_weight, theirs.sample_weight)
            for name, values in theirs.x.items():
                np.testing.assert_allclose(ours.x[name], values, rtol=1e-6, atol=1e-6)
            if part != "train":
                raw = load_raw(folder / "ready-True", part, fold)
                for name, values in load_raw(folder / "ready-False", part, fold).items():
                    np.testing.assert_array_equal(raw[name], values)


SOURCES = ["rows.csv", "rows.parquet", "rows.feather", "part-*.csv"]


@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_column_is_prepared_as_in_memory(folder, source):
    """Numbers, tails, categories, codes, hashes, dates, times, Booleans, text and lists, with their gaps."""
    drop = ["pair"] if source == "rows.parquet" else []
    assert_equal(folder, *read(folder, {"source": source, "target": "number", "drop": drop}))


@pytest.mark.parametrize("source", ["rows.csv", "rows.parquet"])
def test_numbers_that_are_dates_are_prepared_as_in_memory(folder, source):
    """A unit makes dates of the numbers of a text file and of those of a typed one."""
    columns = {"stamp": {"unit": "s"}}
    drop = ["pair", "text", "many", "code"]
    memory, streamed = read(folder, {"source": source, "target": "number", "drop": drop, "columns": columns})
    assert_equal(folder, memory, streamed)
    assert {column.column for column in memory.raw if column.kind == "date"} == {"day", "at", "quarter", "stamp"}


@pytest.mark.parametrize(
    "keys",
    [
        {"target": "grade", "split": {"seed": 4}},
        {"target": "won", "weight": "weight"},
        {"target": ["won", "lost"]},
        {"target": ["number", "plain"]},
        {"target": "grade", "split": {"folds": 3}},
        {"target": "number", "split": {"validation": 0.3, "test": 0}},
        {"target": "grade", "columns": {"code": {"encoding": "hash"}, "text": {"length": 3, "vocabulary": 50}}},
    ],
)
def test_every_task_and_split_is_prepared_as_in_memory(folder, keys):
    """Classes, labels, numbers, weights and folds."""
    if keys["target"] == ["number", "plain"]:
        keys = {**keys, "drop_unlabelled": True}
    assert_equal(folder, *read(folder, {"source": "rows.csv", **keys}))


@pytest.mark.parametrize("division", [Division(4), Division(1), Division(1, holds_out=True)])
def test_rows_are_divided_again_as_in_memory(folder, division):
    """The folds of finalists, and the rows of a refit."""
    assert_equal(folder, *read(folder, {"source": "rows.csv", "target": "number"}, division=division))


def test_separate_files_keep_their_part(folder):
    """Validation and test rows of files of their own."""
    keys = {"source": "part-0.csv", "validation_source": "part-1.csv", "test_source": "part-2.csv", "target": "number"}
    assert_equal(folder, *read(folder, keys))


def write_late(tmp_path, late):
    """Write a column of numbers whose last rows are others, and return the keys of a study."""
    cells = [str(number) for number in range(ROWS - len(late))] + late
    table = pd.DataFrame({"x": cells, "z": np.arange(ROWS) % 7, "y": np.arange(ROWS) % 3})
    table.to_csv(tmp_path / "late.csv", index=False)
    return {"source": "late.csv", "target": "y", "streaming": True}


def test_later_rows_may_change_the_type_of_a_column(tmp_path):
    """A column of whole numbers with "$5" in its last row is one of numbers in that dress, as in memory."""
    spec = DataSpec.model_validate(write_late(tmp_path, ["$5"]))
    column = prepare(spec, tmp_path, tmp_path / "ready", "dense").report.columns[0]
    assert (column.kind, column.low, column.high) == ("numeric", 0, ROWS - 2)


def test_a_later_row_that_is_no_number_is_named_with_its_line(tmp_path):
    """Rows are never read otherwise than the rest, and the line is the file's."""
    with pytest.raises(InputError, match=rf"mixes types: .*line {ROWS + 1} of late.csv is not"):
        prepare(DataSpec.model_validate(write_late(tmp_path, ["five"])), tmp_path, tmp_path / "ready", "dense")
    assert [file.name for file in tmp_path.iterdir()] == ["late.csv"]


def test_streaming_is_chosen_by_the_limit_of_memory(folder):
    """A table that would not fit is read in pieces, with a line that names both keys; trials go on as they began."""
    keys = {"source": "rows.csv", "target": "number", "drop": ["grade", "won", "lost", "weight"]}
    spec, ready = DataSpec.model_validate(keys), folder / "ready-auto"
    assert prepare(spec, folder, ready, "dense", memory_bytes=10**9).digest == load_summary(ready).digest
    summary = prepare(DataSpec.model_validate({**keys, "skiprows": 0, "split": {"seed": 1}}), folder, ready, "dense")
    assert not summary.digest.startswith("streamed-")
    few = DataSpec.model_validate({**keys, "split": {"seed": 2}})
    streamed = prepare(few, folder, ready, "dense", memory_bytes=200_000)
    assert streamed.digest.startswith("streamed-")
    assert streamed.streaming == "rows"
    assert "limits.memory" in streamed.notes[0] and "data.streaming" in streamed.notes[0]
    again = prepare(few, folder, folder / "ready-again", "dense", streamed.digest, memory_bytes=10**9)
    assert again.digest == streamed.digest


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"split": {"order": "day"}}, "data.split.order"),
        ({"split": {"group": "letter"}}, "data.split.group"),
        ({"drop_duplicates": True}, "data.drop_duplicates"),
    ],
)
def test_what_needs_all_rows_in_memory_is_refused(folder, keys, key):
    """The line names the key that sets it and the one that streams."""
    spec = DataSpec.model_validate({"source": "rows.csv", "target": "number", "streaming": True, **keys})
    with pytest.raises(InputError, match=r"data\.streaming") as caught:
        prepare(spec, folder, folder / "ready-refused", "dense")
    assert caught.value.problems[0].path == key
