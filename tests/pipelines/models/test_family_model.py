"""Fitting a family's model: batch size, epochs and class weights reach Keras."""

import numpy as np
import pytest

from pipelines.models.mlp import Mlp


@pytest.mark.parametrize(("batch_size", "steps"), [(64, 1), (16, 4), (10, 7)])
def test_batch_size_sets_the_steps_of_an_epoch(batch_size, steps, context, given, rows):
    """An epoch over 64 rows takes ceil(64 / batch size) steps, as the context counts them."""
    x, y = rows("binary")
    hp = given(batch_size=batch_size, epochs=2, depth=0)
    study = context()
    model = Mlp(study).build(hp)
    Mlp(study).fit(hp, model, {"dense": x}, y, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 2 * steps
    assert study.steps_per_epoch(batch_size) == steps


def test_what_the_caller_passes_to_fit_wins(context, given, rows):
    """KerasTuner's Hyperband sets the epochs itself."""
    x, y = rows("binary")
    hp = given(batch_size=64, epochs=9, depth=0)
    family_model = Mlp(context())
    history = family_model.fit(hp, family_model.build(hp), {"dense": x}, y, epochs=1, verbose=0).history
    assert len(history["loss"]) == 1


@pytest.mark.long
@pytest.mark.parametrize(("weights", "share"), [(None, 0.25), ("balanced", 0.5), ({"yes": 9.0}, 0.75)])
def test_class_weights_move_the_fitted_bias(weights, share, context, given):
    """On features without information, the fitted probability is the class's share of the weights.

    There are 48 rows of `no` and 16 of `yes`: unweighted 16/64, balanced 1/2, and 9 x 16 / (48 + 9 x 16) = 0.75.
    """
    x, y = np.zeros((64, 5), dtype="float32"), np.repeat(np.int32([0, 1]), [48, 16])
    hp = given(depth=0, optimizer="sgd", learning_rate=1.0, batch_size=64, epochs=60)
    family_model = Mlp(context(class_weight=weights))
    model = family_model.build(hp)
    family_model.fit(hp, model, {"dense": x}, y, verbose=0)
    assert float(np.asarray(model({"dense": x[:1]}))[0, 0]) == pytest.approx(share, abs=0.01)


@pytest.mark.long
def test_label_smoothing_pulls_the_fitted_probability_in(context, given):
    """With one class only, smoothing s holds the fitted probability at 1 - s / 2."""
    x, y = np.zeros((64, 5), dtype="float32"), np.ones(64, dtype="int32")
    hp = given(depth=0, optimizer="sgd", learning_rate=2.0, batch_size=64, epochs=80, label_smoothing=0.2)
    family_model = Mlp(context())
    model = family_model.build(hp)
    family_model.fit(hp, model, {"dense": x}, y, verbose=0)
    assert float(np.asarray(model({"dense": x[:1]}))[0, 0]) == pytest.approx(0.9, abs=0.01)
