"""The transfer family: a backbone from a file, its own preprocessing, frozen layers."""

import keras
import numpy as np
import pytest

from pipelines.data.prepared import Features
from pipelines.models import backbones
from pipelines.models.backbones import BACKBONES, Backbone
from pipelines.models.transfer import Transfer
from search_spaces.errors import InputError

COLOUR = Features(image=(32, 32, 3))


def build_small(include_top, weights, input_shape):
    """Return a backbone as `keras.applications` makes it, with two layers."""
    assert not include_top and weights is None
    taken = keras.Input(input_shape)
    x = keras.layers.Conv2D(2, 3, strides=8, name="first")(taken)
    x = keras.layers.BatchNormalization(name="normalised")(x)
    return keras.Model(taken, keras.layers.Conv2D(3, 1, name="last")(x), name="small")


@pytest.fixture
def build(context, given, monkeypatch):
    """Return a function that builds a model with a small backbone."""
    small = Backbone(build_small, keras.applications.mobilenet_v2.preprocess_input)
    monkeypatch.setitem(backbones.BACKBONES, "mobilenet_v2", small)

    def make(features=COLOUR, weights=None, **values):
        return Transfer(context("multiclass", features, weights=weights)).build(given(**values))

    return make


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Return the backbone of a file of weights, and a function that writes the file."""
    folder = tmp_path_factory.mktemp("weights")
    keras.utils.set_random_seed(9)
    model = build_small(include_top=False, weights=None, input_shape=(48, 48, 3))

    def write(name):
        (model.save if name.endswith(".keras") else model.save_weights)(folder / name)
        return str(folder / name)

    return model, write


def backbone_of(model):
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


@pytest.mark.parametrize("name", ["a.weights.h5", "a.keras"])
def test_weights_come_from_a_file(name, build, pretrained):
    """Files of weights and of models are read; the model's own answer is that of the pretrained one."""
    model, write = pretrained
    built = build(weights=write(name))
    for ours, theirs in zip(backbone_of(built).get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    vector = keras.Model(built.inputs, built.get_layer("global_pooling").output)
    same = build_small(include_top=False, weights=None, input_shape=(32, 32, 3))
    same.set_weights(model.get_weights())
    image = np.asarray(same(pixels / 127.5 - 1, training=False))
    assert np.asarray(vector([pixels])) == pytest.approx(image.mean(axis=(1, 2)), abs=1e-5)


def test_a_file_of_another_model_is_refused(build, tmp_path):
    """The error names the key, the file and the backbone."""
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    other.save(tmp_path / "other.keras")
    other.save_weights(tmp_path / "other.weights.h5")
    (tmp_path / "broken.h5").write_bytes(b"none")
    for name in ("other.keras", "other.weights.h5", "broken.h5"):
        with pytest.raises(InputError, match=rf'training.weights: {name} gives no weights for the backbone "mobilenet'):
            build(weights=str(tmp_path / name))


def test_grey_and_small_pictures_fit_a_backbone(build):
    """Grey becomes three equal channels, and a side below 32 pixels is enlarged in proportion."""
    model = build(features=Features(image=(16, 24, 1)))
    assert model({"image": np.zeros((2, 16, 24, 1))}).shape == (2, 3)
    assert backbone_of(model).input_shape == (None, 32, 48, 3)
    assert backbone_of(build(input_size=40)).input_shape == (None, 40, 40, 3)
    with pytest.raises(InputError, match="got 4 channels"):
        build(features=Features(image=(32, 32, 4)))


@pytest.mark.parametrize(("share", "names"), [(0.0, []), (0.3, ["last"]), (1.0, ["first", "last"])])
def test_the_last_layers_learn(share, names, build):
    """A share of the layers, from the end, has weights that the optimizer may move."""
    learning = backbone_of(build(unfreeze_share=share)).trainable_variables
    assert list(dict.fromkeys(variable.path.split("/")[-2] for variable in learning)) == names


@pytest.mark.long
def test_the_backbone_moves_after_its_frozen_epochs(context, given, build):
    """In one training, its weights stay for the first epochs; its moments of batches never move."""
    x = {"image": np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3)).astype("float32")}
    y = np.arange(8, dtype="int32") % 3
    values = {"frozen_epochs": 1, "batch_size": 4, "learning_rate": 0.1, "dense_units": 4}
    family = Transfer(context("multiclass", COLOUR, train_rows=8))
    model = build()
    for epochs, moved in ((1, False), (2, True)):
        hp = given(**values, epochs=epochs)
        model = family.build(hp)
        before = backbone_of(model).get_weights()
        family.fit(hp, model, x, y, verbose=0)
        after = backbone_of(model).get_weights()
        same = [np.array_equal(ours, theirs) for ours, theirs in zip(before, after, strict=True)]
        assert (not same[0]) == moved
        # Those of the batch normalisation.
        assert all(same[2:6])


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_is_kerass(name, context, given, tmp_path):
    """Each name builds, predicts and loads from a file without our code."""
    model = Transfer(context("multiclass", COLOUR)).build(given(backbone=name))
    bare = keras.Model(model.input, model.output)
    bare.save(tmp_path / "model.keras")
    x = {"image": np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")}
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.asarray(loaded(x)) == pytest.approx(np.asarray(bare(x)), abs=1e-6)
