"""Longitudes that go round the earth."""

import numpy as np
import pandas as pd
import pytest

from pipelines.data.columns.places import find_longitudes
from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_part
from pipelines.spec.data_spec import DataSpec

WORLD = {"lat": (-60.0, 70.0), "lon": (-179.0, 178.0)}


@pytest.mark.parametrize(
    ("ranges", "found"),
    [
        (WORLD, {"lon": "lat"}),
        ({"from_latitude": (0, 5), "to_lng": (0, 300)}, {}),
        ({"pickupLatitude": (0, 5), "pickupLongitude": (-90, 90)}, {"pickupLongitude": "pickupLatitude"}),
        ({"lat": (48.0, 48.4), "lon": (11.3, 11.9)}, {}),
        ({"lat": (-60.0, 700.0), "lon": (-179.0, 178.0)}, {}),
        ({"lat": (-60.0, 70.0), "lon": (-1790.0, 1780.0)}, {}),
        ({"long": (0, 200), "wide": (0, 80)}, {}),
    ],
)
def test_names_and_ranges_decide(ranges, found):
    """A longitude has a latitude of its name, both in degrees, and spans much of the earth."""
    assert find_longitudes(ranges) == found


def make(folder, streams):
    random = np.random.default_rng(0)
    rows = 400
    table = pd.DataFrame(
        {"lat": random.uniform(-60, 70, rows), "lon": random.uniform(-180, 180, rows), "y": range(rows)}
    )
    table.loc[0, "lon"], table.loc[1, "lon"] = -179.999, 179.999
    table.to_csv(folder / "d.csv", index=False)
    return {"source": "d.csv", "target": "y", "task": "regression", "streaming": streams}


@pytest.mark.parametrize("streams", [False, True])
def test_both_sides_of_the_date_line_are_near(tmp_path, streams):
    """The sine and cosine of a longitude are features, with a note; rows in memory and in files have the same."""
    keys = make(tmp_path, streams)
    summary = prepare(DataSpec.model_validate(keys), tmp_path, tmp_path / "ready", "dense")
    assert summary.features.dense == 4
    assert "with its place in the circle" in summary.encodings["lon"]
    assert [note for note in summary.notes if "longitudes from all over the earth" in note]
    x = load_part(tmp_path / "ready", "train").x["dense"]
    assert np.allclose(np.hypot(x[:, 2], x[:, 3]), 1, atol=1e-5)


def test_a_declared_number_is_one(tmp_path):
    """`type: numeric` leaves a longitude as it is."""
    keys = {**make(tmp_path, False), "columns": {"lon": {"type": "numeric"}}}
    assert prepare(DataSpec.model_validate(keys), tmp_path, tmp_path / "ready", "dense").features.dense == 2
