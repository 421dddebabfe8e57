"""What holds for every family: the data that it takes, its hyperparameters, and a file that needs no kerastudy."""

import json
import zipfile

import keras
import keras_tuner
import numpy as np
import pytest
from family_rows import make_inputs

from pipelines.data.prepared import Features
from pipelines.models.build import build_hypermodel
from pipelines.models.catalogue import FAMILIES, find_family
from pipelines.models.feature_check import note_idle_parameters
from pipelines.models.optimizer_catalogue import OPTIMIZER_PARAMETERS
from pipelines.models.schedule_catalogue import SCHEDULE_PARAMETERS
from search_spaces.errors import InputError

COLUMNS = Features(dense=5, codes=(("city", 4),))
TEXT = Features(dense=2, codes=(("city", 4),), text=(("text_1", 6, 9), ("text_2", 3, 5)))
SERIES = Features(dense=2, codes=(("site", 4),), series=(8, 3), past=(0,))
IMAGE = Features(image=(8, 8, 1))
ALL = Features(2, (("city", 4),), (8, 8, 3), (6, 2), (("text_1", 5, 9),))
DATA = {"mlp": TEXT, "tabular": TEXT, "cnn": IMAGE, "text": TEXT, "series": SERIES, "mixed": ALL}
SMALL = {"depth": 1, "units": 4, "dense_units": 3, "blocks": 1, "filters": 2, "heads": 2, "convolutions_per_block": 2}
SMALL |= {f"{part}_{name}": value for part in ("columns", "text", "series", "image") for name, value in SMALL.items()}
ARCH = "architecture"
ENDINGS = ("architecture", "pooling", "bidirectional", "number_embedding", "residual", "separable")
CHOICES = [
    (name, parameter.name, choice)
    for name in DATA
    for parameter in FAMILIES[name].parameters
    # The encoders of `mixed` are those of the other families.
    if parameter.name.endswith(ENDINGS if name != "mixed" else "architecture")
    for choice in parameter.choices
]


def built(name, context, given, features=None, kind="binary", **values):
    return build_hypermodel(name, context(kind, features or DATA[name])).build(given(**{**SMALL, **values}))


@pytest.mark.parametrize(("name", "parameter", "choice"), CHOICES)
def test_every_choice_predicts(name, parameter, choice, context, given):
    """Each choice of layers makes a probability for a row, and no part of it depends on the other rows."""
    others = {"bidirectional": {"architecture": "gru"}, "number_embedding": {"architecture": "transformer"}}
    model = built(name, context, given, **{**others.get(parameter, {}), parameter: choice})
    x = make_inputs(DATA[name], 9)
    together = np.asarray(model(x, training=False))
    assert together.shape == (9, 1)
    assert np.isfinite(together).all()
    alone = model({key: values[3:4] for key, values in x.items()}, training=False)
    assert np.asarray(alone) == pytest.approx(together[3:4], abs=1e-5)


@pytest.mark.parametrize("name", DATA)
def test_every_parameter_is_requested_by_some_build(name, context, given):
    """The catalogue lists what the family requests, and nothing else."""
    requested = set()
    builds = [{}, {"number_embedding": "periodic", "columns_number_embedding": "periodic"}]
    builds += [
        {parameter: choice} for family, parameter, choice in CHOICES if (family, parameter[-12:]) == (name, ARCH)
    ]
    for values in builds:
        hp = given(**{**SMALL, **values})
        build_hypermodel(name, context(features=DATA[name])).build(hp)
        requested |= {parameter.name for parameter in hp.space}
    declared = {parameter.name for parameter in find_family(name).parameters}
    shared = {parameter.name for parameter in (*OPTIMIZER_PARAMETERS, *SCHEDULE_PARAMETERS)}
    assert requested <= declared
    assert declared - shared <= requested


@pytest.mark.parametrize("name", DATA)
def test_it_builds_under_kerastuners_own_sampling(name, context):
    """With KerasTuner's hyperparameters and random values from the catalogue's ranges every build works."""
    hp = keras_tuner.HyperParameters()
    family_model = build_hypermodel(name, context(features=DATA[name]))
    family_model.build(hp)
    for seed in range(2):
        drawn = hp.copy()
        for position, parameter in enumerate(hp.space):
            if drawn.is_active(parameter):
                drawn.values[parameter.name] = parameter.random_sample(100 * seed + position)
        # An exponential of ones in three layers is infinite.
        drawn.values |= {"activation": "tanh", "kernel_initializer": "glorot_uniform"}
        assert np.isfinite(family_model.build(drawn)(make_inputs(DATA[name], 2))).all()


@pytest.mark.parametrize("name", ["series", "tabular", "mixed"])
def test_training_learns(name, context, given):
    """A family fits its training rows, whatever the task."""
    kind = "multiclass" if name == "mixed" else "multi_output_regression"
    x = make_inputs(DATA[name], 24)
    pattern = next(iter(x.values())).reshape(24, -1)[:, :1].astype("float32")
    y = np.arange(24) % 3 if kind == "multiclass" else np.concatenate([50 + 10 * pattern, 3 + pattern], 1)
    wide = {"units": 16, "filters": 8, "dense_units": 16, "global_pooling": "flatten"}
    hp = given(**{**SMALL, **wide}, learning_rate=0.02, epochs=12, batch_size=24)
    hypermodel = build_hypermodel(name, context(kind, DATA[name]))
    history = hypermodel.fit(hp, hypermodel.build(hp), x, y, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]


@pytest.mark.parametrize(
    ("name", "choice"),
    [(name, each) for name in DATA for each in [choice for *at, choice in CHOICES if at == [name, ARCH]] or [""]],
)
def test_a_file_needs_no_code_of_ours(name, choice, context, given, tmp_path):
    """The saved layers are Keras's own, and load to the same predictions."""
    model = built(name, context, given, **({ARCH: choice} if choice else {"residual": True, "separable": True}))
    bare = keras.Model(model.input, model.output)
    bare.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as files:
        config = json.dumps(json.loads(files.read("config.json")))
    assert "pipelines" not in config
    x = make_inputs(DATA[name], 4)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.asarray(loaded(x)) == pytest.approx(np.asarray(bare(x)), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "features", "message"),
    [
        ("cnn", COLUMNS, r'model: the data holds no images; use "mlp"'),
        ("cnn", Features(dense=2, image=(4, 4, 1)), r'model: "cnn" does not read the columns of numbers.*use "mlp"'),
        ("series", COLUMNS, r'model: the data holds no series; use "mlp"'),
        ("series", Features(series=(4, 1), text=(("text_1", 3, 9),)), r'"series" does not read the columns of text'),
        ("text", COLUMNS, r'model: the data holds no columns of text; use "mlp"'),
        ("text", Features(), "data: the data has no features left to learn from"),
    ],
)
def test_data_that_a_family_does_not_read_is_refused(name, features, message, context, given):
    """Nothing is left out in silence: the error names the families that read all of the data."""
    with pytest.raises(InputError, match=message):
        build_hypermodel(name, context(features=features)).build(given())


def test_a_window_beyond_the_series_is_refused(context, given):
    """The longest window is the length of the series; the layers get its last steps."""
    with pytest.raises(InputError, match=r"space.window: window expects at most the 8 steps of a row's series, got 9"):
        built("series", context, given, window=9)
    x = make_inputs(SERIES, 2)
    earlier = {**x, "series": np.concatenate([x["series"][:, :5] + 7, x["series"][:, 5:]], axis=1)}
    model = built("series", context, given, window=3)
    assert np.array_equal(model(x), model(earlier))
    assert not np.allclose(built("series", context, given)(x), built("series", context, given)(earlier))


def test_a_scale_of_windows_needs_the_past_of_the_target():
    """A searched hyperparameter that has nothing to act on is noted: a loader's series, or classes."""
    note = note_idle_parameters(find_family("series"), ["scaling", "units"], Features(series=(8, 3)))
    assert note[0].startswith("scaling: the data has nothing that they act on")
    assert not note_idle_parameters(find_family("series"), ["scaling", "units"], SERIES)


def test_convolutions_of_a_series_do_not_read_ahead(context, given):
    """A step's output depends on that step and earlier ones, each block over a longer time."""
    model = built("series", context, given, depth=2, kernel_size=2, dilation=3, pooling="last")
    steps = keras.Model(model.inputs, model.get_layer("series_residual_2").output)
    x = make_inputs(SERIES, 1)
    later = {**x, "series": np.concatenate([x["series"][:, :6], x["series"][:, 6:] + 5], axis=1)}
    before, after = np.asarray(steps(x)), np.asarray(steps(later))
    assert np.allclose(before[:, :6], after[:, :6])
    assert not np.allclose(before[:, 6:], after[:, 6:])
    assert model.get_layer("series_convolution_2_1").dilation_rate == (3,)


@pytest.mark.long
@pytest.mark.parametrize("architecture", ["bag", "conv", "gru", "transformer"])
def test_the_space_behind_a_text_changes_nothing(architecture, context, given):
    """A text in a longer row of words gives the same vector; an empty one is finite."""
    short, long = Features(text=(("text_1", 4, 9),)), Features(text=(("text_1", 7, 9),))
    words = np.array([[3, 5, 2, 0], [0, 0, 0, 0]], "int32")
    models = [built("text", context, given, features=each, architecture=architecture) for each in (short, long)]
    ours, theirs = (keras.Model(model.inputs, model.get_layer("head").input) for model in models)
    for one, other in zip(models[0].weights, models[1].weights, strict=True):
        # A position's vector is the same, whatever the length.
        other.assign(one if one.shape == other.shape else np.pad(one.numpy(), ((0, 3), (0, 0))))
    padded = np.pad(words, ((0, 0), (0, 3)))
    assert np.asarray(ours([words])) == pytest.approx(np.asarray(theirs([padded])), abs=1e-5)
    assert np.isfinite(np.asarray(ours([words]))).all()


@pytest.mark.parametrize("architecture", ["resnet", "transformer"])
def test_numbers_beyond_the_embedded_ones_count_too(architecture, context, given):
    """A table with more dense columns than are embedded by themselves still reads all of them."""
    wide = Features(dense=130)
    model = built("tabular", context, given, features=wide, architecture=architecture)
    x = make_inputs(wide, 3)
    moved = {"dense": x["dense"] + np.eye(130, dtype="float32")[129]}
    assert not np.allclose(model(x), model(moved))
    assert model.get_layer("number_frequencies").kernel.shape == (128, 16)


def test_frequencies_start_at_their_scale_under_every_initializer(context, given):
    """What a layer starts with by its own rule is not drawn anew with the trial's initializer."""
    from pipelines.models.initial_weights import set_initial_weights

    model = built("tabular", context, given, features=Features(dense=40), frequency_scale=0.5, frequencies=40)
    set_initial_weights(model, "glorot_uniform", seed=1)
    assert np.std(model.get_layer("number_frequencies").kernel) == pytest.approx(np.pi, rel=0.1)
    again = built("tabular", context, given, features=Features(dense=40), frequency_scale=0.5, frequencies=40)
    before = again.get_layer("column_inner_1").kernel.numpy()
    set_initial_weights(again, "glorot_uniform", seed=1)
    assert np.array_equal(model.get_layer("column_inner_1").kernel, again.get_layer("column_inner_1").kernel)
    assert not np.array_equal(before, again.get_layer("column_inner_1").kernel)


def test_hyperparameters_without_an_effect_are_noted():
    """Those of an encoder that the data does not need are named, with the space that leaves them out."""
    family, declared = (
        find_family("mixed"),
        ["units", "text_units", "series_window", "image_filters_2", "embedding_dim"],
    )
    (note,) = note_idle_parameters(family, declared, Features(dense=3, image=(4, 4, 1)))
    assert note.startswith("text_units, series_window, embedding_dim: the data has nothing that they act on")
    assert "space: {extends: mixed, drop: [text_units, series_window, embedding_dim]}" in note
    assert note_idle_parameters(family, declared, ALL) == ()
    assert note_idle_parameters(find_family("mlp"), ["units", "epochs"], COLUMNS) == ()


@pytest.mark.parametrize("name", DATA)
def test_every_family_has_a_head_for_each_target(name, context, given):
    """Targets of several tasks are outputs by name: probabilities of the classes, and values in the target's unit."""
    model = built(name, context, given, kind="multi_task")
    found = model(make_inputs(DATA[name], 9), training=False)
    assert {output: tuple(each.shape) for output, each in found.items()} == {"kind": (9, 3), "strength": (9, 1)}
    np.testing.assert_allclose(np.asarray(found["kind"]).sum(axis=1), 1.0, rtol=1e-5)
    assert {"prediction_kind", "prediction_strength"} <= {layer.name for layer in model.layers}
