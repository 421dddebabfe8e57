"""Notes on rows in time or in groups that are split at random."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.columns.columns import Column
from pipelines.data.raw import Origin, RawData
from pipelines.data.splits.split_notes import note_random_split
from pipelines.spec.data_spec import DataSpec
from tracking.mlflow.cell_values import CellForm


def note(*columns, given=None, **split):
    rows = len(columns[0].values)
    origins = (Origin("d.csv", "data.source", "line", range(rows), given),)
    return list(note_random_split(columns, RawData(origins), DataSpec.model_validate({"source": "d", "split": split})))


DAYS = Column("day", "day", "date", np.arange(60.0))
PATIENTS = Column("patientId", "patient", "string", np.array([f"p{row // 2}" for row in range(60)], object))


def test_dates_and_groups_are_named_with_their_keys():
    notes = note(DAYS, PATIENTS)
    assert ["data.split.order: day" in notes[0], "data.split.group: patientId" in notes[1]] == [True, True]


@pytest.mark.parametrize(
    ("columns", "split"),
    [
        ((DAYS, PATIENTS), {"order": "day"}),
        ((DAYS, PATIENTS), {"group": "patientId"}),
        ((DAYS, PATIENTS), {"column": "part"}),
        ((Column("born", "born", "date", np.arange(60.0) % 7),), {}),
        ((Column("patient", "p", "string", np.array([f"p{row}" for row in range(60)], object)),), {}),
        ((Column("shop", "s", "string", np.array(["a", "b"] * 30, object)),), {}),
        ((Column("colour", "c", "string", np.array([f"p{row // 2}" for row in range(60)], object)),), {}),
    ],
)
def test_other_rows_have_no_note(columns, split):
    """Rows that are divided so already, few distinct dates, and columns without repeated groups."""
    assert note(*columns, **split) == []


def test_times_of_day_are_no_order():
    """Rows with a time of day alone, such as a duration, are not in time."""
    clock = Column("took", "took", "date", np.arange(60.0) / 60, form=CellForm(date_format="%H:%M"))
    assert note(clock) == []
