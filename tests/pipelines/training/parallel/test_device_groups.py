"""Training over several devices: what it trains is what one device trains, on either backend.

No machine of ours has several GPUs: the devices are two parts of a CPU, by the same code.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import device_process
import numpy as np
import pytest

pytestmark = pytest.mark.long

TOLERANCE, WEIGHTS = 2e-5, 1e-5
EXACT = {"tensorflow": tuple(device_process.make_cases()), "jax": (*device_process.FOR_JAX, "dropout")}


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def found(backend, tmp_path_factory):
    results = tmp_path_factory.mktemp(backend) / "results.pickle"
    root = Path(__file__).parents[4]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests" / "support")])}
    done = subprocess.run(
        [sys.executable, device_process.__file__, backend, "2", str(results)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return pickle.loads(results.read_bytes())


def compare(one, several):
    """Return the largest difference of metrics, relative, and that of weights."""
    epochs = zip(one["history"], several["history"], strict=True)
    metrics = max(abs(a[name] - b[name]) / max(abs(a[name]), 0.01) for a, b in epochs for name in a)
    weights = zip(one["weights"], several["weights"], strict=True)
    return metrics, max(float(np.abs(a - b).max()) for a, b in weights)


def test_several_devices_train_what_one_trains(found, backend):
    """Clipped gradients, batch statistics, weights of rows and classes, partial batches: all of the whole batch."""
    for name in EXACT[backend]:
        one, several = found[name]
        assert one["best_epoch"] == several["best_epoch"], name
        metrics, weights = compare(one, several)
        assert metrics < TOLERANCE, (name, metrics)
        assert weights < WEIGHTS, (name, weights)


def test_a_paused_training_goes_on_as_if_it_had_not_been(found):
    """A checkpoint of several devices holds all of their state: the training that goes on from it is the same."""
    whole, resumed = found["resumed"]
    metrics, weights = compare(whole, resumed)
    assert (metrics, weights) == (0.0, 0.0)


def test_a_model_keeps_its_settings(found):
    """Batch normalisation is synchronised while devices train the model, and not in the model that is saved."""
    assert found["normalised"][1]["synchronized"] == [False]


def test_devices_draw_dropout_of_their_own(found, backend):
    """TensorFlow's devices would drop the same units of different rows; JAX draws as one device does."""
    if backend == "jax":
        pytest.skip("dropout is among the results that are equal")
    assert found["masks"] == [True, False]
    assert compare(*found["dropout"])[0] > TOLERANCE  # they draw other numbers than one device


def test_what_devices_cannot_share_has_a_reason(found, backend):
    """A step of a model's own may not divide its loss by the devices, and some losses are no mean over rows."""
    if backend == "jax":
        pytest.skip("one program over all devices trains any model")
    obstacles = found["obstacles"]
    assert obstacles["fine"] == obstacles["own function"] == ""
    assert "own train_step" in obstacles["own step"]
    assert "reduction sum" in obstacles["sum"]
    assert "mean_with_sample_weight" in obstacles["mean by weights"]
    assert obstacles["dice"] == obstacles["dice object"] == "dice is one number for a whole batch"
    assert obstacles["eager"] == "it runs eagerly"
