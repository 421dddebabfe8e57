"""The mlp family: each declared value is seen in the built model or in the training it causes."""

import keras
import keras_tuner
import numpy as np
import pytest

from pipelines.data.prepared import Features
from pipelines.models.catalogue import ACTIVATIONS, KERNEL_INITIALIZERS, find_family
from pipelines.models.catalogue.encoders import calculate_embedding_width
from pipelines.models.mlp import Mlp
from pipelines.models.objectives import list_reported_metrics
from search_spaces.errors import InputError


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def hidden(model):
    return [layer for layer in layers_of(model, keras.layers.Dense) if layer.name.startswith("dense_")]


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_depth_is_the_number_of_hidden_layers(depth, context, given):
    """Depth counts dense layers before the prediction; 0 leaves the prediction alone."""
    assert len(hidden(Mlp(context()).build(given(depth=depth)))) == depth


@pytest.mark.long
def test_depth_zero_is_a_linear_regression(context, given, rows):
    """At depth 0 training by SGD reaches the least-squares solution."""
    x, y = rows("regression")
    values = {"depth": 0, "optimizer": "sgd", "learning_rate": 0.1, "batch_size": 64, "epochs": 60}
    hp = given(**values)
    family_model = Mlp(context("regression"))
    model = family_model.build(hp)
    family_model.fit(hp, model, {"dense": x}, y, verbose=0)
    design = np.c_[x, np.ones(len(x))]
    best = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    assert model.predict({"dense": x}, verbose=0) == pytest.approx(best, abs=0.5)


def test_units_are_the_width_of_each_layer(context, given):
    """Shared units hold for all layers; units declared per layer go to their layer."""
    assert [layer.units for layer in hidden(Mlp(context()).build(given(depth=2, units=7)))] == [7, 7]
    hp = given(depth=2, units_1=9, units_2=4)
    assert [layer.units for layer in hidden(Mlp(context(per_layer=["units"])).build(hp))] == [9, 4]
    assert "units" not in hp.values


def test_dropout_and_activation_can_be_declared_per_layer(context, given):
    """Every parameter that the catalogue calls per layer is requested by layer if the space declares it by layer."""
    hp = given(depth=2, dropout_1=0.1, dropout_2=0.4, activation_1="tanh", activation_2="elu")
    model = Mlp(context(per_layer=["dropout", "activation"])).build(hp)
    assert [layer.rate for layer in layers_of(model, keras.layers.Dropout)] == [0.1, 0.4]
    found = [layer.activation.__name__ for layer in layers_of(model, keras.layers.Activation)]
    assert found == ["tanh", "elu"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_activation_is_applied_after_the_kernel(activation, context, given):
    """A hidden layer computes Keras's activation of its kernel's output."""
    model = Mlp(context()).build(given(depth=1, units=4, activation=activation))
    x = np.random.default_rng(2).normal(size=(6, 5)).astype("float32")
    layer = model.get_layer("dense_1")
    activated = keras.Model(model.inputs, model.get_layer("dense_1_activation").output)
    expected = keras.activations.get(activation)(keras.ops.convert_to_tensor(x @ layer.kernel.numpy()))
    assert np.asarray(activated([x])) == pytest.approx(np.asarray(expected), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("use_bias", [True, False])
def test_use_bias_gives_hidden_layers_a_bias(use_bias, context, given):
    """Hidden layers have a bias or none; the prediction always has one."""
    model = Mlp(context()).build(given(depth=1, use_bias=use_bias))
    assert (model.get_layer("dense_1").bias is not None) == use_bias
    assert model.get_layer("prediction").bias is not None


@pytest.mark.parametrize("name", KERNEL_INITIALIZERS)
def test_kernels_start_as_the_initializer_has_it(name, context, given):
    """Every kernel is made by the declared initializer."""
    model = Mlp(context()).build(given(depth=1, units=200, kernel_initializer=name))
    initializer = model.get_layer("dense_1").kernel_initializer
    expected = keras.initializers.get(name)
    assert type(initializer) is type(expected)
    assert type(model.get_layer("prediction").kernel_initializer) is type(expected)
    spread = float(np.std(np.asarray(expected((5, 200)))))
    assert float(np.std(model.get_layer("dense_1").kernel.numpy())) == pytest.approx(spread, rel=0.15, abs=1e-6)


def test_batch_normalization_stands_between_kernel_and_activation(context, given):
    """With batch normalisation a layer's activation sees columns of mean 0 and deviation 1 in training."""
    model = Mlp(context()).build(given(depth=1, batch_normalization=True))
    names = [layer.name for layer in model.layers]
    assert names[1:4] == ["dense_1", "dense_1_normalization", "dense_1_activation"]
    normalised = keras.Model(model.inputs, model.get_layer("dense_1_normalization").output)
    x = np.random.default_rng(2).normal(3.0, 2.0, size=(256, 5)).astype("float32")
    out = np.asarray(normalised([x], training=True))
    assert out.mean(axis=0) == pytest.approx(np.zeros(64), abs=1e-3)
    assert out.std(axis=0) == pytest.approx(np.ones(64), abs=2e-2)
    assert not layers_of(Mlp(context()).build(given(depth=1)), keras.layers.BatchNormalization)


@pytest.mark.parametrize(("l1", "l2"), [(0.01, 0.0), (0.0, 0.02), (0.01, 0.02)])
def test_regularisation_adds_what_hand_computation_gives(l1, l2, context, given):
    """The model's extra loss is l1 x sum |w| + l2 x sum w^2 over all kernels, the prediction's included."""
    model = Mlp(context()).build(given(depth=2, units=3, l1=l1, l2=l2))
    kernels = [layer.kernel.numpy() for layer in layers_of(model, keras.layers.Dense)]
    expected = sum(l1 * np.abs(k).sum() + l2 * (k**2).sum() for k in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_every_coded_column_has_its_embedding(context, given):
    """A coded column becomes an embedding of the declared width, joined with the dense columns."""
    features = Features(dense=2, codes=(("city", 30), ("job", 4)))
    model = Mlp(context(features=features)).build(given(depth=0, embedding_dim=3))
    embeddings = layers_of(model, keras.layers.Embedding)
    assert [(e.input_dim, e.output_dim) for e in embeddings] == [(30, 3), (4, 3)]
    assert model.get_layer("prediction").kernel.shape[0] == 2 + 3 + 3
    joined = keras.Model(model.inputs, model.get_layer("features").output)
    out = np.asarray(joined({"dense": np.array([[7.0, 8.0]]), "codes": np.array([[29, 1]])}))[0]
    expected = [[7.0, 8.0], embeddings[0].embeddings.numpy()[29], embeddings[1].embeddings.numpy()[1]]
    assert out == pytest.approx(np.concatenate(expected))


def test_embedding_width_follows_the_rule_of_thumb(context, given):
    """Without a declared width it grows with the number of codes and stays within 1 and 50."""
    assert [calculate_embedding_width(n) for n in (1, 2, 10, 100, 10**6)] == [2, 2, 6, 21, 50]
    model = Mlp(context(features=Features(codes=(("city", 100),)))).build(given(depth=0))
    assert layers_of(model, keras.layers.Embedding)[0].output_dim == 21


def test_images_are_flattened(context, given):
    """The mlp takes images as the row of their pixels."""
    model = Mlp(context(features=Features(image=(4, 3, 2)))).build(given(depth=1))
    assert model.get_layer("dense_1").kernel.shape[0] == 24
    assert model({"image": np.zeros((2, 4, 3, 2))}).shape == (2, 1)


def test_data_without_features_is_refused(context, given):
    """There is nothing to build on no features."""
    with pytest.raises(InputError, match="no features"):
        Mlp(context(features=Features())).build(given())


def test_an_unusable_value_is_refused_under_its_name(context, given):
    """A value that a parameter cannot take names its place in the space."""
    with pytest.raises(InputError, match=r"space.units_2: units expects a whole number from 1 to 1e\+06, got 0"):
        Mlp(context(per_layer=["units"])).build(given(units_1=4, units_2=0))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "multi_output_regression"])
def test_training_learns_and_reports_the_announced_metrics(kind, context, given, rows):
    """On every task the loss falls and an epoch reports what the supervisor expects by name."""
    x, y = rows(kind)
    hp = given(epochs=12, learning_rate=0.02, batch_size=16)
    study = context(kind)
    family_model = Mlp(study)
    model = family_model.build(hp)
    history = family_model.fit(hp, model, {"dense": x}, y, validation_data=({"dense": x}, y), verbose=0).history
    assert set(history) == set(list_reported_metrics(kind, study.training))
    assert len(history["loss"]) == 12
    assert history["val_loss"][-1] < 0.8 * history["val_loss"][0]


def test_a_build_asks_for_nothing_outside_the_catalogue(context, given):
    """The catalogue lists every name that the family requests."""
    hp = given()
    Mlp(context(features=Features(dense=2, codes=(("city", 9),)))).build(hp)
    assert [name for name in hp.values if not find_family("mlp").has_parameter(name)] == []


def test_every_catalogue_parameter_is_requested_for_by_some_build(context, given):
    """The catalogue lists no name that the family never requests."""
    from pipelines.models.optimizer_catalogue import OPTIMIZERS
    from pipelines.models.schedule_catalogue import SCHEDULES

    requested = set()
    features = Features(dense=2, codes=(("city", 9),))
    for optimizer in OPTIMIZERS:
        hp = given(optimizer=optimizer, depth=1, clip="norm", use_ema=True)
        Mlp(context(features=features)).build(hp)
        requested |= set(hp.values)
    for schedule in SCHEDULES:
        hp = given(schedule=schedule, depth=1)
        Mlp(context(features=features)).build(hp)
        requested |= set(hp.values)
    assert requested == {parameter.name for parameter in find_family("mlp").parameters}


def test_it_builds_under_kerastuners_own_sampling(context):
    """With KerasTuner's hyperparameters and random values from the catalogue's ranges every build works."""
    hp = keras_tuner.HyperParameters()
    family_model = Mlp(context())
    family_model.build(hp)
    for seed in range(8):
        drawn = hp.copy()
        for position, parameter in enumerate(hp.space):
            if drawn.is_active(parameter):
                drawn.values[parameter.name] = parameter.random_sample(100 * seed + position)
        model = family_model.build(drawn)
        assert np.isfinite(model({"dense": np.zeros((1, 5))})).all()


def test_kerastuner_sees_conditions_between_parameters(context, given):
    """The parameters of an optimizer are conditional in KerasTuner's space, so its tuners leave them out elsewhere."""
    hp = given(optimizer="sgd")
    Mlp(context()).build(hp)
    momentum = next(parameter for parameter in hp.space if parameter.name == "momentum")
    assert hp.is_active(momentum)
    hp.values["optimizer"] = "adam"
    assert not hp.is_active(momentum)


@pytest.mark.long
# KerasTuner 1.4.8 uses the old names of Python's threading functions.
@pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning")
def test_kerastuners_own_oracle_drives_it(context, rows, tmp_path, capsys):
    """Stock KerasTuner searches the family without our service.

    Its `search()` would import tensorboard, which nothing else here needs; these are the steps that it takes.
    """
    x, y = rows("binary")
    tuner = keras_tuner.RandomSearch(Mlp(context()), "val_accuracy", max_trials=2, directory=tmp_path, seed=1)
    data = {"x": {"dense": x}, "y": y, "validation_data": ({"dense": x}, y)}
    for _ in range(2):
        trial = tuner.oracle.create_trial("here")
        model = tuner.hypermodel.build(trial.hyperparameters)
        history = tuner.hypermodel.fit(trial.hyperparameters, model, **data, epochs=1, verbose=0)
        tuner.oracle.update_trial(trial.trial_id, {"val_accuracy": history.history["val_accuracy"][0]})
        trial.status = "COMPLETED"
        tuner.oracle.end_trial(trial)
    first, second = (trial.hyperparameters.values for trial in tuner.oracle.get_best_trials(2))
    assert first != second
    assert {"optimizer", "learning_rate", "batch_size"} <= set(first)
