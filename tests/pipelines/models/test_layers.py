"""The shared layers: regularisers, dropout, batch normalisation, and predictions in the unit of the target."""

import keras
import numpy as np
import pytest

from pipelines.models.layers import KernelOptions, apply_dropout, predict, read_kernel_options

PLAIN = KernelOptions("glorot_uniform", None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, None),
        ({"l1": 0.01}, (0.01, None)),
        ({"l2": 0.02}, (None, 0.02)),
        ({"l1": 0.01, "l2": 0.02}, (0.01, 0.02)),
    ],
)
def test_l1_and_l2_are_kerass_regularizers(values, expected, requests):
    """l1 alone is L1, l2 alone is L2, both are L1L2, and 0 is none."""
    found = read_kernel_options(requests(**values)).regularizer
    if expected is None:
        assert found is None
    else:
        strengths = tuple(None if s is None else float(s) for s in (getattr(found, k, None) for k in ("l1", "l2")))
        assert strengths == pytest.approx(expected)


def test_dropout_drops_its_share_in_training_only(requests):
    """About the declared share of outputs is 0 in training; inference passes all on."""
    source = keras.Input((1000,))
    model = keras.Model(source, apply_dropout(requests(dropout=0.3), 1, source))
    ones = np.ones((20, 1000), dtype="float32")
    assert np.mean(np.asarray(model(ones, training=True)) == 0) == pytest.approx(0.3, abs=0.02)
    assert np.array_equal(model(ones, training=False), ones)


def test_a_dropout_of_zero_adds_no_layer(requests):
    """Nothing is added where nothing is dropped."""
    source = keras.Input((4,))
    assert apply_dropout(requests(dropout=0.0), 1, source) is source


@pytest.mark.parametrize(("kind", "outputs"), [("binary", 1), ("multiclass", 3)])
def test_classes_are_predicted_as_probabilities(kind, outputs, tasks):
    """Binary is one sigmoid unit, multiclass a softmax whose row sums to 1; the layer is called `prediction`."""
    source = keras.Input((4,))
    model = keras.Model(source, predict(tasks[kind], "unused", PLAIN, source))
    predicted = np.asarray(model(np.random.default_rng(0).normal(size=(5, 4)) * 9))
    assert predicted.shape == (5, outputs)
    assert ((predicted >= 0) & (predicted <= 1)).all()
    if kind == "multiclass":
        assert predicted.sum(axis=1) == pytest.approx(np.ones(5), rel=1e-5)
    assert model.layers[-1].name == "prediction"


def test_regressions_predict_in_the_targets_own_units(tasks):
    """A standardised 0 is the target's mean and a standardised 1 one deviation more, per output."""
    source = keras.Input((4,))
    model = keras.Model(source, predict(tasks["multi_output_regression"], "mean_squared_error", PLAIN, source))
    dense = model.get_layer("standardised_prediction")
    dense.set_weights([np.zeros((4, 2)), np.array([0.0, 1.0])])
    assert np.asarray(model(np.ones((1, 4)))) == pytest.approx(np.array([[50.0, 5.0]]))
    assert type(model.layers[-1]) is keras.layers.Rescaling
    assert model.layers[-1].name == "prediction"


@pytest.mark.parametrize("loss", ["poisson", "mean_squared_logarithmic_error"])
def test_losses_of_positive_values_predict_positive_values(loss, tasks):
    """Where a loss is defined above 0 only, no prediction is below, and far above 0 nothing changes."""
    source = keras.Input((1,))
    model = keras.Model(source, predict(tasks["regression"], loss, PLAIN, source))
    model.get_layer("standardised_prediction").set_weights([np.ones((1, 1)), np.zeros(1)])
    predicted = np.asarray(model(np.array([[-50.0], [20.0]])))[:, 0]
    assert predicted[0] >= 0
    assert predicted[1] == pytest.approx(50 + 20 * 10, rel=1e-5)
