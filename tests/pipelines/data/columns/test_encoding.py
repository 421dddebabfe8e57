"""How columns are encoded: decided from training rows, alike for all folds."""

import numpy as np
import pytest

from pipelines.data.columns.columns import Column
from pipelines.data.columns.encoding import (
    EMBEDDING_MOST,
    HASH_CODES,
    ONE_HOT_MOST,
    describe_encodings,
    plan_table,
)
from pipelines.spec.data_spec import DataSpec


def numbers(values, kind="numeric") -> Column:
    return Column("a", "a", kind, np.array(values, dtype=np.float64))


def strings(values) -> Column:
    return Column("a", "a", "string", np.array(values, dtype=object))


def plan_of(column, training=None, **keys):
    spec = DataSpec.model_validate({"source": "data.csv", **keys})
    return plan_table([column], training or [np.arange(len(column.values))], spec)


@pytest.mark.parametrize(
    ("count", "encoding", "codes"),
    [
        (ONE_HOT_MOST, "one_hot", ONE_HOT_MOST + 1),
        (ONE_HOT_MOST + 1, "embedding", ONE_HOT_MOST + 2),
        (EMBEDDING_MOST, "embedding", EMBEDDING_MOST + 1),
        (EMBEDDING_MOST + 1, "hash", HASH_CODES),
    ],
)
def test_encoding_by_number_of_categories(count, encoding, codes):
    """Few categories become one-hot, more an embedding, many a hash; a missing string is no category."""
    (string,) = plan_of(strings([f"c{index}" for index in range(count)] + [""])).strings
    assert (string.encoding, string.codes) == (encoding, codes)


def test_chosen_encoding():
    """The study file's encoding overrides the number of categories."""
    (string,) = plan_of(strings(["x", "y"]), columns={"a": {"encoding": "embedding"}}).strings
    assert (string.encoding, string.codes) == ("embedding", 3)


def test_only_training_rows_count():
    """Categories, missing values and skewness of rows that are never trained on decide nothing."""
    (string,) = plan_of(strings(["x", "y", "z"]), [np.array([0, 1])]).strings
    assert string.codes == 3
    values = [*np.linspace(0, 1, 30), np.nan, 1e6]
    (number,) = plan_of(numbers(values), [np.arange(30)]).numbers
    assert not number.marks_missing
    assert number.log_unit is None


def test_folds_share_one_shape():
    """A column that one fold's training rows lack a value in is marked in all; categories are as many as the most."""
    folds = [np.array([0, 1]), np.array([1, 2])]
    assert plan_of(numbers([1, 2, np.nan]), folds).numbers[0].marks_missing
    assert plan_of(strings(["x", "x", "y"]), folds).strings[0].codes == 3


def test_heavy_tails():
    """A heavy-tailed number gets a logarithmic copy; an even one, a flag and a short column do not."""
    assert plan_of(numbers(np.exp(np.linspace(0, 10, 50)))).numbers[0].log_unit is not None
    assert plan_of(numbers(np.linspace(0, 10, 50))).numbers[0].log_unit is None
    assert plan_of(numbers([0] * 50 + [1])).numbers[0].log_unit is None


def test_log_unit_follows_the_column():
    """The logarithmic copy does not depend on the unit that the column is written in."""
    values = np.exp(np.linspace(0, 10, 50))
    units = [plan_of(numbers(values * factor)).numbers[0].log_unit for factor in (1.0, 1e-6)]
    assert units[1] == pytest.approx(units[0] * 1e-6)


def test_cycles_of_dates():
    """Dates bring year and week, and the day where they have times."""
    assert plan_of(numbers([1, 2], "date")).numbers[0].cycles == (365.2425, 7.0)
    assert plan_of(numbers([1, 2.5], "date")).numbers[0].cycles == (365.2425, 7.0, 1.0)


def test_width():
    """The dense width counts values, marks, logarithms, cycles and categories."""
    columns = [
        numbers([1, np.nan, 3]),
        numbers([1, 2, 3.5], "date"),
        strings(["x", "y", ""]),
    ]
    plan = plan_table(columns, [np.arange(3)], DataSpec(source="data.csv"))
    assert plan.dense == 2 + 7 + 2


def test_descriptions():
    """Every column is described in words."""
    column = strings([f"c{index}" for index in range(60)])
    assert describe_encodings(plan_of(column), [column]) == {"a": "string: embedding of 60 categories"}
    date = numbers([1.5, np.nan], "date")
    words = "date: standardised, missing filled with the median and marked, with its place in the year, week, day"
    assert describe_encodings(plan_of(date), [date]) == {"a": words}
