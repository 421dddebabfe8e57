"""Scale of each window: a forecast moves with the level of its window and grows with its spread."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.prepared import Features, Task
from pipelines.models.build import build_hypermodel
from pipelines.models.context import ModelContext
from pipelines.spec.schema import TrainingSpec

SMALL = {"depth": 1, "units": 4, "dense_units": 3, "scaling": "window"}
ROWS = np.random.default_rng(0).normal(size=(6, 8, 3)).astype("float32")


def predict(given, series, past=(1,), **values):
    """Return the forecasts of two steps of each target, in units of its standard deviation."""
    outputs = 2 * max(1, len(past))
    names = tuple(f"y{place}" for place in range(outputs))
    task = Task("multi_output_regression", names, target_mean=(0.0,) * outputs, target_scale=(1.0,) * outputs)
    features = Features(series=(8, 3), past=past)
    model = build_hypermodel("series", ModelContext(features, task, TrainingSpec(), 64)).build(
        given(**{**SMALL, **values})
    )
    import keras

    chance = np.random.default_rng(1)
    model.set_weights([chance.normal(size=each.shape).astype("float32") for each in model.get_weights()])
    assert isinstance(model, keras.Model)
    return np.asarray(model({"series": series}))


@pytest.mark.parametrize("architecture", ["mlp", "conv", "gru", "transformer"])
@pytest.mark.parametrize("window", [0, 5])
def test_a_forecast_follows_its_window(given, architecture, window):
    """The past of the target times 3 plus 7 gives the forecast times 3 plus 7, also where a part of it is used."""
    shifted = ROWS.copy()
    shifted[..., 1] = 3 * shifted[..., 1] + 7
    values = {"architecture": architecture, "window": window}
    expected = 3 * predict(given, ROWS, **values) + 7
    np.testing.assert_allclose(predict(given, shifted, **values), expected, rtol=0.02, atol=0.02)


def test_other_channels_stay():
    """What is no past of a target is neither shifted nor divided."""
    from pipelines.models.encoders.window_scale import scale_windows

    scaled, restore = scale_windows(ROWS, (2, 0), 0)
    np.testing.assert_allclose(np.asarray(scaled)[..., 1], ROWS[..., 1], atol=1e-6)
    np.testing.assert_allclose(np.asarray(scaled)[..., 2].std(axis=1), 1, atol=0.01)
    level = ROWS.mean(axis=1)
    nothing = np.asarray(restore(np.zeros((6, 4), "float32")))
    np.testing.assert_allclose(nothing, level[:, [2, 2, 0, 0]], atol=1e-5)


def test_a_constant_window_is_finite(given):
    """Where nothing changes there is no spread to divide by."""
    assert np.isfinite(predict(given, np.full((2, 8, 3), 5.0, "float32"))).all()


def test_without_a_past_nothing_is_scaled(given):
    """Series of a loader have no channel that holds the target's past."""
    found = predict(given, ROWS, past=())
    np.testing.assert_array_equal(found, predict(given, ROWS, past=(), scaling="none"))
