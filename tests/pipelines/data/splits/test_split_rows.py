"""Every way of dividing rows, and its errors."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.raw import PARTS, Origin, RawData
from pipelines.data.splits.division import Division
from pipelines.data.splits.split_rows import divide_again, split_rows
from pipelines.data.targets.labels import Labels
from pipelines.spec.data_spec import DataSpec


def spec(**split) -> DataSpec:
    return DataSpec.model_validate({"source": "data.csv", "split": split})


def rows_of(count, given_parts=()) -> RawData:
    origins = [Origin("data.csv", "data.source", "line", range(2, count + 2))]
    origins += [Origin(part, "data.source", "line", range(2, rows + 2), part) for part, rows in given_parts]
    return RawData(tuple(origins), array=np.zeros((count + sum(rows for _, rows in given_parts), 1)))


def classes(*counts) -> Labels:
    y = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    return Labels("multiclass", ("t",), tuple(f"c{index}" for index in range(len(counts))), y)


def numbers(count) -> Labels:
    return Labels("regression", ("t",), (), np.arange(count, dtype=np.float32)[:, None])


def sizes(split, fold=0):
    return [len(split.select_rows(part, fold)) for part in PARTS]


def test_shares():
    """Parts have the declared shares; the defaults are 0.2 and 0.1."""
    assert sizes(split_rows(rows_of(100), numbers(100), spec())) == [70, 20, 10]
    assert sizes(split_rows(rows_of(100), numbers(100), spec(validation=0.5, test=0.0))) == [50, 50, 0]


def test_seed():
    """The same seed gives the same rows, another one others."""
    first, again, other = (split_rows(rows_of(100), numbers(100), spec(seed=seed)).part for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_rows_are_shuffled():
    """Rows that lie together do not end in the same part."""
    split = split_rows(rows_of(300), numbers(300), spec())
    assert 50 < np.mean(split.select_rows("test")) < 250
    assert len(set(np.diff(split.select_rows("test")))) > 3


def test_stratified():
    """A class's share of every part is its share of all rows, to within a row."""
    labels = classes(700, 200, 100)
    split = split_rows(rows_of(1000), labels, spec())
    for part, share in zip(PARTS, (0.7, 0.2, 0.1), strict=True):
        counts = np.bincount(labels.y[split.select_rows(part)], minlength=3)
        assert np.abs(counts - share * np.array([700, 200, 100])).max() <= 1


def test_not_stratified():
    """Without stratification parts are drawn from all rows alike."""
    labels = classes(500, 500)
    counts = [
        np.bincount(labels.y[split_rows(rows_of(1000), labels, spec(seed=seed, stratify=False)).select_rows("test")])[0]
        for seed in range(20)
    ]
    assert max(counts) - min(counts) > 5


@pytest.mark.parametrize("seed", range(20))
def test_rare_classes_stay_in_training(seed):
    """A class of few rows is never missing from the training rows; a single row is noted."""
    labels = classes(100, 1, 2, 3)
    split = split_rows(rows_of(106), labels, spec(seed=seed, validation=0.4, test=0.4))
    assert set(labels.y[split.select_rows("train")]) == {0, 1, 2, 3}
    assert split.notes == ('classes with a single row, kept for training: "c1"',)


def test_given_parts():
    """Rows given for a part stay there, and no others join them; the rest is divided by the other share."""
    split = split_rows(rows_of(100, [("test", 7)]), numbers(107), spec())
    assert sizes(split) == [80, 20, 7]
    assert split.select_rows("test").tolist() == list(range(100, 107))
    both = split_rows(rows_of(10, [("validation", 3), ("test", 2)]), numbers(15), spec())
    assert sizes(both) == [10, 3, 2]


def table(words) -> RawData:
    origin = Origin("data.csv", "data.source", "line", range(2, len(words) + 2))
    return RawData((origin,), table=pd.DataFrame({"part": words}), text=True)


def test_column():
    """A column of the table holds each row's part."""
    split = split_rows(table(["train", " Test ", "validation", "train"]), numbers(4), spec(column="part"))
    assert [split.select_rows(part).tolist() for part in PARTS] == [[0, 3], [2], [1]]


@pytest.mark.parametrize(
    ("raw", "column", "path", "expected"),
    [
        (table(["train", "dev"]), "part", "data.split.column", "got 'dev' at line 3"),
        (table(["train", "test"]), "part", "data.split", "no validation rows"),
        (table(["validation", "test"]), "part", "data.split", "no train rows"),
        (table(["train", "test"]), "prt", "data.split.column", 'did you mean "part"'),
        (rows_of(2), "part", "data.split.column", "no columns"),
    ],
)
def test_unusable_columns(problem, raw, column, path, expected):
    """A split column must be there, hold the three words only, and give training and validation rows."""
    found = problem(split_rows, raw, numbers(2), spec(column=column))
    assert found.path == path
    assert expected in found.message


def test_class_without_training_rows(problem):
    """A class that a split column leaves out of training is an error."""
    words = ["train", "train", "validation"]
    assert 'class "c1" does not occur' in problem(split_rows, table(words), classes(2, 1), spec(column="part")).message


def test_folds():
    """With folds, test rows are held out first, and every other row validates exactly one fold."""
    labels = classes(60, 40)
    split = split_rows(rows_of(100), labels, spec(folds=4, test=0.2))
    assert [sizes(split, fold) for fold in range(4)] == [[60, 20, 20]] * 4
    validating = np.concatenate([split.select_rows("validation", fold) for fold in range(4)])
    assert sorted([*validating, *split.select_rows("test")]) == list(range(100))
    for fold in range(4):
        assert not set(split.select_rows("train", fold)) & set(split.select_rows("validation", fold))
        assert np.bincount(labels.y[split.select_rows("validation", fold)]).tolist() == [12, 8]


def test_folds_beside_given_test_rows():
    """Given test rows replace the test share of folds."""
    assert sizes(split_rows(rows_of(10, [("test", 3)]), numbers(13), spec(folds=5))) == [8, 2, 3]


@pytest.mark.parametrize(
    ("labels", "folds", "expected"),
    [
        (numbers(10), 11, "11 folds need at least 11 rows"),
        (classes(30, 4), 5, 'class "c1" has'),
    ],
)
def test_more_folds_than_rows(problem, labels, folds, expected):
    """More folds than rows, or than rows of the rarest class, is an error."""
    found = problem(split_rows, rows_of(len(labels.y)), labels, spec(folds=folds))
    assert found.path == "data.split.folds"
    assert expected in found.message


def test_too_few_rows(problem):
    """Too few rows for a share name the share."""
    assert problem(split_rows, rows_of(2), numbers(2), spec()).path == "data.split.validation"


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    validation=st.floats(0.05, 0.4),
    test=st.floats(0.0, 0.4),
    seed=st.integers(0, 2**32 - 1),
)
def test_parts_of_any_data(counts, validation, test, seed):
    """Every row lies in one part, parts have their size, and every class is trained on."""
    labels = classes(*(count + 8 for count in counts))
    total = len(labels.y)
    split = split_rows(rows_of(total), labels, spec(validation=validation, test=test, seed=seed))
    assert sorted(np.concatenate([split.select_rows(part) for part in PARTS])) == list(range(total))
    assert len(split.select_rows("validation")) == max(1, round(validation * total))
    assert len(split.select_rows("test")) == (max(1, round(test * total)) if test else 0)
    assert set(labels.y[split.select_rows("train")]) == set(range(len(counts)))


@pytest.mark.parametrize("own_folds", [None, 3])
@pytest.mark.parametrize("folds", [1, 2, 5])
def test_divided_again(own_folds, folds):
    """The test rows stay; of all others each validates one fold, or all of them are trained on."""
    declared, labels = spec(seed=4, folds=own_folds), classes(60, 40)
    split = split_rows(rows_of(100), labels, declared)
    again = divide_again(split, rows_of(len(labels.y)), labels, declared, Division(folds))
    others = np.flatnonzero(split.part != "test")
    assert (again.select_rows("test") == split.select_rows("test")).all()
    assert again.folds == folds
    if folds == 1:
        assert (again.select_rows("train") == others).all()
        assert (again.select_rows("validation") == split.select_rows("validation")).all()
        return
    validated = np.concatenate([again.select_rows("validation", fold) for fold in range(folds)])
    assert (np.sort(validated) == others).all()
    for fold in range(folds):
        both = np.concatenate([again.select_rows("train", fold), again.select_rows("validation", fold)])
        assert (np.sort(both) == others).all()


def test_too_many_folds_again_are_refused(problem):
    """The key to blame is that of the selection."""
    labels = classes(60, 3)
    split = split_rows(rows_of(63), labels, spec(test=0.0))
    assert (
        problem(lambda: divide_again(split, rows_of(63), labels, spec(test=0.0), Division(5))).path == "selection.folds"
    )


@pytest.mark.parametrize("folds", [None, 3])
@pytest.mark.parametrize("labels", [classes(60, 40), numbers(100)])
def test_rows_held_out_to_compare_a_refit(folds, labels):
    """Both divisions test on the same half of the validation rows; one of them trains on the other half too."""
    declared = spec(seed=4, folds=folds)
    split = split_rows(rows_of(100), labels, declared)
    own = divide_again(split, rows_of(len(labels.y)), labels, declared, Division(holds_out=True))
    refit = divide_again(split, rows_of(len(labels.y)), labels, declared, Division(1, holds_out=True))
    assert (own.folds, refit.folds) == (1, 1)
    held_out, validation = own.select_rows("test"), own.select_rows("validation")
    assert len(held_out) == len(split.select_rows("validation")) // 2
    assert (np.sort([*held_out, *validation]) == split.select_rows("validation")).all()
    assert (own.select_rows("train") == split.select_rows("train")).all()
    assert (refit.select_rows("test") == held_out).all()
    assert (refit.select_rows("train") == np.sort([*own.select_rows("train"), *validation])).all()
    used = {*held_out, *refit.select_rows("train"), *refit.select_rows("validation")}
    assert used.isdisjoint(split.select_rows("test")), "the test rows compare nothing"
    if labels.classes:
        differences = np.bincount(labels.y[held_out]) - np.bincount(labels.y[validation])
        assert np.abs(differences).max() <= 2, "either half has its share of each class"


def test_a_single_validation_row_cannot_be_held_out(problem):
    """Without rows for it there is no comparison, and the error names the setting."""
    labels, declared = numbers(8), spec(test=0.0, validation=0.1)
    split = split_rows(rows_of(8), labels, declared)
    assert (
        problem(lambda: divide_again(split, rows_of(len(labels.y)), labels, declared, Division(holds_out=True))).path
        == "selection.refit"
    )


def in_time(periods, **columns) -> RawData:
    """Return a table of text with the column `day`, as of a CSV file."""
    table = pd.DataFrame({"day": [str(period) for period in periods], **columns})
    return RawData((Origin("d.csv", "data.source", "line", range(2, len(table) + 2)),), table=table, text=True)


def test_rows_in_an_order():
    """The last rows are for the test, those before them for validation, and a gap belongs to no part."""
    days = np.random.default_rng(3).permutation(100)
    split = split_rows(in_time(days), numbers(100), spec(order="day", gap=2))
    rows = {part: days[split.select_rows(part)] for part in PARTS}
    assert (rows["test"].min(), rows["test"].max()) == (90, 99)
    assert (rows["validation"].min(), rows["validation"].max()) == (68, 87)
    assert (rows["train"].min(), rows["train"].max()) == (0, 65)
    assert any("data.split.order" in note for note in split.notes)


def test_rows_of_one_time_are_not_divided():
    """Several rows of a day, such as those of several shops, are in one part."""
    days = np.repeat(np.arange(10), [1, 1, 1, 1, 1, 1, 1, 1, 1, 11])
    split = split_rows(in_time(days), numbers(20), spec(order="day"))
    assert set(days[split.select_rows("test")]) == {9}


def test_folds_in_an_order():
    """Each fold is trained on rows before those that it validates; the first block is validated by none."""
    days = np.random.default_rng(4).permutation(120)
    declared = spec(order="day", folds=3, test=0.1, gap=1)
    split = split_rows(in_time(days), numbers(120), declared)
    for fold in range(3):
        train, validation = days[split.select_rows("train", fold)], days[split.select_rows("validation", fold)]
        assert train.max() == validation.min() - 2 and train.min() == 0
    validated = np.concatenate([days[split.select_rows("validation", fold)] for fold in range(3)])
    assert (len(set(validated)), len(validated), validated.max()) == (80, 80, 106)
    held = divide_again(split, in_time(days), numbers(120), declared, Division(holds_out=True))
    parts = [days[held.select_rows(part)] for part in PARTS]
    assert parts[0].max() < parts[1].min() <= parts[1].max() < parts[2].min() <= parts[2].max() == 106


@pytest.mark.parametrize("kind", ["shares", "folds", "again"])
def test_a_group_is_in_one_part(kind):
    """Classes are spread over the parts nevertheless."""
    groups = np.repeat(np.arange(40), 5)
    labels = Labels("binary", ("t",), ("a", "b"), np.tile(np.repeat([0, 1], 5), 20).astype(np.int32))
    raw = in_time(range(200), patient=[f"p{group}" for group in groups])
    declared = spec(group="patient", **({"folds": 4} if kind == "folds" else {}))
    split = split_rows(raw, labels, declared)
    if kind == "again":
        split = divide_again(split, raw, labels, declared, Division(4))
    for fold in range(split.folds):
        found = [set(groups[split.select_rows(part, fold)]) for part in PARTS]
        assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]
        assert all(abs(labels.y[split.select_rows(part, fold)].mean() - 0.5) < 0.1 for part in PARTS)
    assert 15 <= len(split.select_rows("test")) <= 25


@pytest.mark.parametrize(
    ("raw", "split", "path", "expected"),
    [
        (in_time(range(20), name=["b"] * 20), {"order": "name"}, "data.split.order", "expected numbers or dates"),
        (in_time([*range(19), ""]), {"order": "day"}, "data.split.order", "no value in 1 row, at line 21"),
        (in_time([*range(19), ""]), {"group": "day"}, "data.split.group", "no value in 1 row, at line 21"),
        (in_time([1] * 20), {"order": "day"}, "data.split.test", "all have one value"),
        (in_time([1] * 20), {"group": "day"}, "data.split.test", "all are of one group"),
        (in_time([1, 2] * 10), {"group": "day", "folds": 3, "test": 0.0}, "data.split.folds", "at least 3 groups"),
        (in_time([1, 2] * 10), {"order": "day", "folds": 3, "test": 0.0}, "data.split.folds", "4 periods"),
        (in_time(range(20)), {"order": "days"}, "data.split.order", "there is no column"),
        (rows_of(20), {"group": "day"}, "data.split.group", "has no columns"),
    ],
)
def test_orders_and_groups_that_cannot_be_used(problem, raw, split, path, expected):
    found = problem(split_rows, raw, numbers(20), spec(**split))
    assert (found.path, expected in found.message) == (path, True), found.message


def test_a_class_of_the_test_file_alone(problem):
    """It is named with its rows, the file's key and the class that it looks like."""
    labels = Labels("multiclass", ("t",), ("<=50K", "<=50K.", ">50K"), np.array([0, 2] * 20 + [1], dtype=np.int32))
    origins = (
        Origin("a.csv", "data.source", "line", range(2, 42)),
        Origin("b.csv", "data.test_source", "line", [2], "test"),
    )
    raw = RawData(origins, array=np.zeros((41, 1)))
    found = problem(split_rows, raw, labels, spec())
    assert found.path == "data.test_source"
    assert 'only in 1 row (line 2 of b.csv); did you mean "<=50K"?' in found.message
    assert 'data.columns.t.replace: {"<=50K.": "<=50K"}' in found.message


def heads(*labels) -> Labels:
    parts = tuple(replace(each, targets=(f"t{place}",), output=f"t{place}") for place, each in enumerate(labels))
    y = np.stack([each.y.reshape(-1) for each in parts], axis=1).astype(np.float64)
    return Labels("multi_task", tuple(f"t{place}" for place in range(len(parts))), (), y, heads=parts)


def test_the_first_target_with_classes_is_stratified():
    """Of several targets its classes have equal shares in every part, and a note names it."""
    second = classes(50, 50)
    shuffled = replace(second, y=np.random.default_rng(1).permutation(second.y))
    split = split_rows(rows_of(100), heads(numbers(100), classes(80, 20), shuffled), spec(validation=0.2, test=0.1))
    first = classes(80, 20).y
    assert [np.bincount(first[split.select_rows(part)]).tolist() for part in PARTS] == [[56, 14], [16, 4], [8, 2]]
    assert any('the classes of "t1", the first target with classes' in note for note in split.notes)


def test_training_keeps_a_row_of_every_targets_rare_classes():
    """A class of the second target that one row has is a training row, whatever the seed."""
    rare = replace(classes(99, 1), y=np.roll(classes(99, 1).y, 50))
    for seed in range(5):
        split = split_rows(rows_of(100), heads(classes(80, 20), rare), spec(validation=0.4, test=0.4, seed=seed))
        assert split.part[np.flatnonzero(rare.y)[0]] == "train"
    assert any('classes of "t1" with a single row, kept for training: "c1"' in note for note in split.notes)
