"""What looks wrong in a table, with the key that mends it."""

import numpy as np
import pytest

from pipelines.data.columns.columns import Column
from pipelines.data.data_notes import note_classes, note_columns, note_drift, note_overlap
from pipelines.data.make_report import make_report
from pipelines.data.prepared import Task
from pipelines.data.splits.split import Split
from pipelines.data.targets.labels import Labels

ROWS = 200
RANDOM = np.random.default_rng(0)
CLASSES = Labels("binary", ("t",), ("no", "yes"), RANDOM.integers(0, 2, ROWS).astype(np.int32))
AMOUNTS = Labels("regression", ("t",), (), RANDOM.normal(size=(ROWS, 1)).astype(np.float32))


def column(values, name="a", **keys) -> Column:
    values = np.asarray(values, dtype=object if isinstance(values[0], str) else np.float64)
    return Column(name, name, "string" if values.dtype == object else "numeric", values, **keys)


def notes_on(found, labels=CLASSES) -> list[str]:
    return list(note_columns([found], labels, np.arange(ROWS)))


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        (np.arange(ROWS), "", 'column "" counts the rows; if it is an identifier, set data.drop: [""]'),
        (RANDOM.permutation(ROWS) + 1000.0, "x", "counts the rows"),
        (RANDOM.permutation(9 * ROWS)[:ROWS], "customer_id", "another whole number in nearly every row"),
        (np.cumsum(RANDOM.integers(1, 9, ROWS)), "x", "another whole number in nearly every row"),
        ([f"cust-{row}" for row in range(ROWS)], "x", "differs in nearly every row"),
    ],
)
def test_identifiers(values, name, expected):
    """Row numbers, numeric identifiers and names that differ in nearly every row."""
    assert expected in notes_on(column(values, name))[0]


def test_measurements_in_another_form_are_no_identifiers():
    """They differ in every row, and have a note that states how to write them."""
    assert notes_on(column([f"{row}±{row % 7}" for row in range(ROWS)], "x")) == []


def test_very_many_columns_have_endless_combinations():
    """The number of their combinations is no number any more, which is no warning either."""
    y = Labels("regression", ("t",), (), np.arange(ROWS, dtype=np.float32).reshape(-1, 1))
    columns = [column(np.arange(ROWS) * 1.0, f"c{index}") for index in range(200)]
    split = Split(np.array(["train"] * 150 + ["validation"] * 50), np.full(ROWS, -1), 1)
    assert list(note_overlap(make_report(columns, y, split))) == []


@pytest.mark.parametrize(
    "values",
    [RANDOM.normal(size=ROWS), RANDOM.integers(0, 90, ROWS), RANDOM.permutation(9 * ROWS)[:ROWS], ["x", "y"] * 100],
)
def test_ordinary_columns(values):
    """Measures, counts, prices and categories have no note."""
    assert notes_on(column(values, "price")) == []


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (CLASSES.y, CLASSES),
        (CLASSES.y * 3.0 + RANDOM.uniform(0, 1, ROWS), CLASSES),
        (np.where(CLASSES.y == 1, 1, -1) * RANDOM.exponential(size=ROWS), CLASSES),
        (["won" if label else "lost" for label in CLASSES.y], CLASSES),
        (AMOUNTS.y[:, 0] * 1.19 + 3, AMOUNTS),
        (np.exp(AMOUNTS.y[:, 0]), AMOUNTS),
    ],
)
def test_leaks(values, labels):
    """A column that alone gives the target is named: equal, beyond a threshold, a word a class, in proportion."""
    assert 'column "a" alone gives the ' in notes_on(column(values), labels)[0]
    assert 'set data.drop: ["a"]' in notes_on(column(values), labels)[0]


def test_totals_in_the_last_row():
    """A last value that is the sum of all others is named with the key that leaves its row out."""
    sold = RANDOM.integers(1, 90, ROWS).astype(float)
    sold[-1] = sold[:-1].sum()
    assert "has the sum of all other rows in the last one" in notes_on(column(sold))[0]
    assert "data.skipfooter: 1" in notes_on(column(sold))[0]
    sold[-1] += 1
    assert not any("sum of all" in note for note in notes_on(column(sold)))
    assert not any("sum of all" in note for note in notes_on(column(np.zeros(ROWS))))


def test_a_useful_column_is_no_leak():
    """A column that helps much, and is wrong at times, has no note."""
    flips = np.where(np.arange(ROWS) % 20 == 0, 1 - CLASSES.y, CLASSES.y)
    assert notes_on(column(flips)) == []
    assert notes_on(column(AMOUNTS.y[:, 0] + RANDOM.normal(0, 0.2, ROWS)), AMOUNTS) == []


def test_values_outside_all_others():
    """One value far outside, and a repeated mark such as -999, are named with the key that makes them missing."""
    far = RANDOM.normal(size=ROWS)
    far[7] = 1e9
    assert "1000000000 in 1 training row lies far outside" in notes_on(column(far))[0]
    marks = RANDOM.uniform(0, 50, ROWS)
    marks[::10] = -999
    assert 'data.missing_values: {a: ["-999"]}' in notes_on(column(marks))[0]


def test_infinities_and_lookalikes():
    """Infinite values are counted; categories that differ in case alone are joined by a replacement."""
    assert "3 values are infinite" in notes_on(column(RANDOM.normal(size=ROWS), unrepresentable=3))[0]
    words = (["Blue", "blue", "Blue", "red"] * ROWS)[:ROWS]
    assert 'set data.columns.a.replace: {"blue": "Blue"}' in notes_on(column(words))[0]
    assert notes_on(column((["A", "A-", "A+", "B"] * ROWS)[:ROWS])) == []  # grades


def test_rare_classes():
    """A rare class is noted with the counts; many classes of equal size are not."""
    rare = Task("binary", ("t",), ("never", "fraud"), class_counts=(990, 10))
    (found,) = note_classes(rare)
    assert 'class "fraud" is 1.0% of the training rows ("never" 990, "fraud" 10)' in found
    assert "training.class_weight: balanced" in found
    assert list(note_classes(Task("multiclass", ("t",), tuple(map(str, range(40))), class_counts=(10,) * 40))) == []


def test_equal_rows_across_parts():
    """Validation rows that training has too are counted; equal rows of a table of few combinations are not."""
    split = Split(np.array(["train"] * 150 + ["validation"] * 50), np.full(ROWS, -1), 1)
    values = RANDOM.normal(size=ROWS)
    values[150:160] = values[:10]
    labels = Labels("regression", ("t",), (), np.zeros((ROWS, 1), np.float32))
    (found,) = note_overlap(make_report([column(values)], labels, split))
    assert "10 of 50 validation rows are equal to a training row" in found
    assert "data.drop_duplicates: true" in found
    assert list(note_overlap(make_report([column(np.arange(ROWS) % 5)], labels, split))) == []


def test_drift():
    """A column whose validation rows are others is named with its distance; a random part has no note."""
    split = Split(np.array(["train"] * 100 + ["validation"] * 100), np.full(ROWS, -1), 1)
    later = column(np.arange(ROWS) + 0.5)
    assert '"a" (validation 1.00)' in next(note_drift(make_report([later], CLASSES, split)))
    assert list(note_drift(make_report([column(RANDOM.normal(size=ROWS))], CLASSES, split))) == []


def test_copies_of_the_target_with_changes():
    """A number that equals the target in most rows is named, and so is a column of another model's answers."""
    values = AMOUNTS.y[:, 0].astype(np.float64)
    values[::4] += RANDOM.normal(0, 3, len(values[::4]))
    assert "is equal to the target in 7" in notes_on(column(values), AMOUNTS)[0]
    kinds = Labels("multiclass", ("t",), ("cat", "cow", "dog"), RANDOM.integers(0, 3, ROWS).astype(np.int32))
    words = ["Dog" if row % 9 == 0 else kinds.classes[kind] for row, kind in enumerate(kinds.y)]
    assert 'column "a" alone holds the very class in 9' in notes_on(column(words), kinds)[0]


def test_equal_numbers_that_say_nothing():
    """Amounts that are mostly zero are equal by chance, and so are answers of yes and no."""
    rain = np.where(RANDOM.random(ROWS) < 0.7, 0, RANDOM.exponential(size=ROWS))
    labels = Labels("regression", ("t",), (), rain[:, None].astype(np.float32))
    assert notes_on(column(np.where(rain > 0, RANDOM.exponential(size=ROWS), 0)), labels) == []
    flips = np.where(np.arange(ROWS) % 20 == 0, 1 - CLASSES.y, CLASSES.y)
    assert notes_on(column([CLASSES.classes[label] for label in flips])) == []


def test_zeros_that_stand_for_missing():
    """Zeros far below all measurements are named; amounts and grades that come close to zero are not."""
    pressure = RANDOM.normal(72, 8, ROWS).round()
    pressure[::20] = 0
    (found,) = notes_on(column(pressure))
    assert "0 in 10 training rows lies apart from the others" in found
    assert 'data.missing_values: {a: ["0"]}' in found
    for values in (np.where(pressure > 0, RANDOM.exponential(9, ROWS), 0), RANDOM.integers(0, 40, ROWS)):
        assert notes_on(column(values)) == []


def test_copied_rows_with_numbers_of_their_own():
    """A row number does not hide that rows are equal."""
    split = Split(np.array(["train"] * 150 + ["validation"] * 50), np.full(ROWS, -1), 1)
    values = RANDOM.normal(size=ROWS)
    values[150:160] = values[:10]
    labels = Labels("regression", ("t",), (), np.zeros((ROWS, 1), np.float32))
    columns = [column(np.arange(ROWS), "row"), column(values)]
    assert "10 of 50 validation rows" in next(note_overlap(make_report(columns, labels, split)))


def test_telephone_numbers():
    """They are no amounts."""
    numbers = RANDOM.integers(10**9, 10**10, ROWS)
    assert "is another whole number in nearly every row" in notes_on(column(numbers, "home phone"))[0]
