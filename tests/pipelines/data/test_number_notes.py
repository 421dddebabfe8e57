"""Columns of whole numbers that may be dates or codes, and ordinary ones that are neither."""

import numpy as np
import pytest

from pipelines.data.columns.columns import Column
from pipelines.data.number_notes import explain_numbers

ROWS = 200
RANDOM = np.random.default_rng(0)
SECONDS = 1_577_836_800 + 9_000 * np.arange(ROWS)


def column(name, values, **keys) -> Column:
    return Column(name, name, "numeric", np.asarray(values, dtype=np.float64), **keys)


@pytest.mark.parametrize(
    ("name", "values", "key"),
    [
        ("created_at", SECONDS, "data.columns.created_at.unit: s"),
        ("timestamp", SECONDS * 1000, "data.columns.timestamp.unit: ms"),
        ("eventTime", SECONDS * 1e9, "data.columns.eventTime.unit: ns"),
        ("Order Date", 43_831 + np.arange(ROWS) / 4, "data.columns.Order Date.unit: excel"),
        ("d", [20200115, 20200201, 20191231, 20200630, 20201111] * 40, 'data.columns.d.format: "%Y%m%d"'),
        ("period", [202001, 202012, 201907] * 40, 'data.columns.period.format: "%Y%m"'),
        ("zip", 10_115 + 71 * RANDOM.integers(0, 20, ROWS), "data.columns.zip.type: string"),
        ("product_id", RANDOM.integers(100, 140, ROWS), "data.columns.product_id.type: string"),
        ("storeNumber", RANDOM.integers(1, 9, ROWS), "data.columns.storeNumber.type: string"),
        ("month", 1 + np.arange(ROWS) % 12, "data.columns.month.type: string"),
        ("day_of_week", np.arange(ROWS) % 7, "data.columns.day_of_week.type: string"),
        ("hour", np.arange(ROWS) % 24, "data.columns.hour.type: string"),
    ],
)
def test_what_is_noted(name, values, key):
    """A name and values that are those of dates or codes have a note with the key that reads them so."""
    assert key in explain_numbers(column(name, values))
    assert explain_numbers(column(name, values, why="data.columns")) == ""


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("age", RANDOM.integers(18, 90, ROWS)),
        ("visits", RANDOM.poisson(3, ROWS)),
        ("population", RANDOM.integers(1_577_836_800, 1_600_000_000, ROWS)),
        ("price", RANDOM.integers(20_000, 70_000, ROWS)),
        ("days", RANDOM.integers(20_000, 70_000, ROWS)),
        ("year", RANDOM.integers(1950, 2020, ROWS)),
        ("store_count", RANDOM.integers(1, 9, ROWS)),
        ("number_of_states", RANDOM.integers(1, 9, ROWS)),
        ("months", RANDOM.integers(1, 72, ROWS)),
        ("sex", RANDOM.integers(0, 2, ROWS)),
        ("zip_distance", RANDOM.uniform(0, 9, ROWS)),
        ("serial", RANDOM.integers(20_200_115, 20_300_115, ROWS)),
    ],
)
def test_ordinary_numbers(name, values):
    """Counts, ages, years, amounts and their like have no note."""
    assert explain_numbers(column(name, values)) == ""
