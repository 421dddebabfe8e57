"""Layout of weights in a fleet's vector."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.prepared import Features, Task
from pipelines.models.build import build_hypermodel
from pipelines.models.context import ModelContext
from pipelines.models.initial_weights import set_initial_weights
from pipelines.spec.schema import TrainingSpec
from pipelines.training.fleet.envelope import find_envelope
from pipelines.training.fleet.member import build_member
from pipelines.training.fleet.weight_layout import Layout
from search_spaces.hyperparameters import TrialHyperParameters

FEATURES = Features(dense=3, codes=(("city", 7),))
TASK = Task("multiclass", ("y",), classes=("a", "b", "c"))
TRIALS = {
    "narrow": {"depth": 1, "units": 4, "embedding_dim": 2, "batch_normalization": True},
    "deep": {"depth": 3, "units": 8, "use_bias": False},
    "linear": {"depth": 0},
}


def stock_model(values):
    context = ModelContext(FEATURES, TASK, TrainingSpec(), train_rows=64)
    model = build_hypermodel("mlp", context).build(TrialHyperParameters(values))
    set_initial_weights(model, "glorot_uniform", 5)
    return model


@pytest.mark.parametrize("name", TRIALS)
def test_initial_weights_are_those_of_the_stock_model(name):
    """In a program wider and deeper than the trial, and in the order of the model's weights."""
    layout = Layout(find_envelope([build_member(values, frozenset()) for values in TRIALS.values()]), FEATURES, TASK)
    member, model = build_member(TRIALS[name], frozenset()), stock_model(TRIALS[name])
    moving = np.stack([np.zeros((3, 8), np.float32), np.ones((3, 8), np.float32)])
    found = layout.extract(member, layout.initialize(member, 5), moving)
    expected = model.get_weights()
    assert [array.shape for array in found] == [array.shape for array in expected]
    assert all(np.array_equal(one, two) for one, two in zip(found, expected, strict=True))
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert layout.count_parameters(member) == (trainable, model.count_params())


BLOCKS = {"one": {"blocks": 1, "filters": 3}, "two": {"blocks": 2, "filters": 5, "batch_normalization": True}}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("pooling", ["average", "flatten"])
def test_initial_weights_of_convolutions_are_those_of_the_stock_model(name, pooling):
    """Also where the vector behind the last block is shorter than that of another trial."""
    features, shared = Features(image=(5, 6, 2)), {"global_pooling": pooling, "kernel_size": 2, "dense_units": 0}
    members = {key: build_member({**values, **shared}, frozenset(), "cnn") for key, values in BLOCKS.items()}
    layout = Layout(find_envelope(members.values()), features, TASK)
    context = ModelContext(features, TASK, TrainingSpec(), train_rows=64)
    model = build_hypermodel("cnn", context).build(TrialHyperParameters({**BLOCKS[name], **shared}))
    set_initial_weights(model, "glorot_uniform", 5)
    moving = np.stack([np.zeros((2, 5), np.float32), np.ones((2, 5), np.float32)])
    found = layout.extract(members[name], layout.initialize(members[name], 5), moving)
    assert [array.shape for array in found] == [weight.shape for weight in model.get_weights()]
    assert all(np.array_equal(one, two) for one, two in zip(found, model.get_weights(), strict=True))


def test_an_array_of_weights_does_not_hold_the_vector():
    """The arrays of a trial are copies, since a view would keep the vector in memory."""
    member = build_member(TRIALS["deep"], frozenset())
    layout = Layout(find_envelope([member]), FEATURES, TASK)
    flat = layout.initialize(member, 5)
    assert all(array.base is None for array in layout.extract(member, flat, np.zeros((2, 3, 8), np.float32)))
