"""The cnn family: each declared value is seen in the built model, on images of any size."""

import keras
import numpy as np
import pytest

from pipelines.data.prepared import Features
from pipelines.models.catalogue import find_family
from pipelines.models.cnn import Cnn
from search_spaces.errors import InputError


@pytest.fixture
def build(context, given):
    """Return a function that builds a cnn for 8x8 images."""

    def make(image=(8, 8, 1), per_layer=(), **values):
        return Cnn(context("multiclass", Features(image=image), per_layer=per_layer)).build(given(**values))

    return make


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def convolutions(model):
    return layers_of(model, keras.layers.Conv2D)


def test_blocks_and_convolutions_multiply(build):
    """Every block has its convolutions and one pooling."""
    model = build(blocks=3, convolutions_per_block=2)
    assert len(convolutions(model)) == 6
    assert len(layers_of(model, keras.layers.MaxPooling2D)) == 3


def test_filters_and_kernel_size_reach_the_convolutions(build):
    """Shared values hold for all blocks; values declared per block go to their block."""
    model = build(filters=6, kernel_size=5)
    assert [(layer.filters, layer.kernel_size) for layer in convolutions(model)] == [(6, (5, 5))] * 2
    model = build(per_layer=["filters", "kernel_size"], filters_1=4, filters_2=9, kernel_size_1=1, kernel_size_2=3)
    assert [(layer.filters, layer.kernel_size) for layer in convolutions(model)] == [(4, (1, 1)), (9, (3, 3))]


@pytest.mark.parametrize(
    ("pooling", "kind", "poolings", "strides"),
    [
        ("max", keras.layers.MaxPooling2D, 2, [(1, 1), (1, 1)]),
        ("average", keras.layers.AveragePooling2D, 2, [(1, 1), (1, 1)]),
        ("stride", keras.layers.MaxPooling2D, 0, [(2, 2), (2, 2)]),
    ],
)
def test_each_way_of_pooling_halves_the_image(pooling, kind, poolings, strides, build):
    """Pooling layers or strides halve 8x8 to 2x2 in two blocks."""
    model = build(pooling=pooling, global_pooling="flatten", filters=3)
    assert len(layers_of(model, kind)) == poolings
    assert [layer.strides for layer in convolutions(model)] == strides
    assert model.get_layer("global_pooling").output.shape[1] == 2 * 2 * 3


@pytest.mark.parametrize(
    ("name", "kind", "width"),
    [
        ("average", keras.layers.GlobalAveragePooling2D, 3),
        ("max", keras.layers.GlobalMaxPooling2D, 3),
        ("flatten", keras.layers.Flatten, 12),
    ],
)
def test_global_pooling_makes_a_vector(name, kind, width, build):
    """The last image becomes one value per filter, or all of its values."""
    layer = build(global_pooling=name, filters=3).get_layer("global_pooling")
    assert isinstance(layer, kind)
    assert layer.output.shape[1] == width


@pytest.mark.parametrize("pooling", ["max", "average", "stride"])
@pytest.mark.parametrize("image", [(8, 8, 1), (1, 1, 3), (1, 9, 1), (5, 2, 4), (28, 28, 1)])
def test_no_image_is_too_small(image, pooling, build):
    """Pooling stops along a side of 1, so that any number of blocks builds and predicts."""
    model = build(image=image, blocks=6, filters=2, pooling=pooling)
    assert model({"image": np.zeros((2, *image))}).shape == (2, 3)


@pytest.mark.parametrize("separable", [True, False])
@pytest.mark.parametrize("pooling", ["max", "stride"])
@pytest.mark.parametrize("image", [(1, 9, 1), (5, 2, 4), (8, 8, 3)])
def test_a_residual_block_adds_its_input(image, pooling, separable, build):
    """A block whose convolutions give nothing passes its input on, whatever its shape."""
    model = build(image=image, residual=True, separable=separable, pooling=pooling, filters=3, global_pooling="max")
    x = np.random.default_rng(0).uniform(0.1, 1, (2, *image)).astype("float32")
    before = np.asarray(model({"image": x}))
    for layer in convolutions(model) + layers_of(model, keras.layers.SeparableConv2D):
        if layer.name.startswith("convolution"):
            layer.set_weights([0 * weight for weight in layer.get_weights()])
    vector = keras.Model(model.inputs, model.get_layer("global_pooling").output)
    assert np.abs(np.asarray(vector([x]))).min() > 0
    assert not np.allclose(before, np.asarray(model({"image": x})))


def test_separable_convolutions_have_fewer_weights(build):
    """The kernel is divided in two, both regularised."""
    whole, divided = (build(filters=16, kernel_size=3, separable=each, l2=0.01) for each in (False, True))
    assert divided.count_params() < whole.count_params() / 3
    assert len(layers_of(divided, keras.layers.SeparableConv2D)) == 2
    assert len(divided.losses) == 5


@pytest.mark.parametrize("units", [0, 7])
def test_dense_units_add_a_layer_before_the_prediction(units, build):
    """0 means none."""
    dense = layers_of(build(dense_units=units, dropout=0.2), keras.layers.Dense)
    assert [layer.units for layer in dense] == ([units, 3] if units else [3])


def test_dropout_follows_each_block_and_the_dense_layer(build):
    """Dropout has its block's rate; the dense layer has the values of the last block."""
    model = build(per_layer=["dropout"], dense_units=4, dropout_1=0.1, dropout_2=0.3)
    assert [layer.rate for layer in layers_of(model, keras.layers.Dropout)] == [0.1, 0.3, 0.3]


def test_bias_activation_initializer_and_normalisation_reach_the_convolutions(build):
    """What holds for hidden layers of the mlp holds for convolutions."""
    model = build(use_bias=False, activation="tanh", kernel_initializer="he_normal", batch_normalization=True)
    for layer in convolutions(model):
        assert not layer.use_bias
        assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
        assert model.get_layer(f"{layer.name}_activation").activation is keras.activations.tanh
    assert len(layers_of(model, keras.layers.BatchNormalization)) == 2


def test_regularisation_covers_convolutions(build):
    """The extra loss is l1 x sum |w| + l2 x sum w^2 over all kernels."""
    model = build(l1=0.01, l2=0.02, dense_units=4)
    kernels = [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]
    expected = sum(0.01 * np.abs(k).sum() + 0.02 * (k**2).sum() for k in kernels)
    assert len(kernels) == 4
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_augmentation_changes_training_and_not_inference(build):
    """The model's output varies between training passes and stays put in inference."""
    model = build(rotation=0.2, translation=0.2, zoom=0.3, flip="both", global_pooling="flatten")
    kinds = (keras.layers.RandomFlip, keras.layers.RandomRotation)
    kinds += (keras.layers.RandomTranslation, keras.layers.RandomZoom)
    assert [type(layer) for layer in model.layers[1:5]] == list(kinds)
    image = {"image": np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype("float32")}
    assert np.array_equal(model(image, training=False), model(image, training=False))
    assert not np.allclose(model(image, training=True), model(image, training=True))


def test_training_learns(context, given):
    """A cnn with augmentation learns which side of an image is bright."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 64).astype("int32")
    images = rng.uniform(0, 0.3, size=(64, 8, 8, 1)).astype("float32")
    images[labels == 1, :, :4] += 0.7
    images[labels == 0, :, 4:] += 0.7
    hp = given(epochs=8, learning_rate=0.02, filters=8, batch_size=16, translation=0.1, global_pooling="flatten")
    family_model = Cnn(context("binary", Features(image=(8, 8, 1))))
    history = family_model.fit(hp, family_model.build(hp), {"image": images}, labels, verbose=0).history
    assert history["accuracy"][-1] > 0.9


def test_tables_are_refused(context, given):
    """A table has no pixels; the error names the family that fits."""
    with pytest.raises(InputError, match=r'model: the data holds no images; use "mlp"'):
        Cnn(context()).build(given())


def test_every_catalogue_parameter_is_asked_for_and_nothing_else(context, given):
    """A build with everything turned on requests all parameters that are not the optimizer's."""
    from pipelines.models.optimizer_catalogue import OPTIMIZER_PARAMETERS
    from pipelines.models.schedule_catalogue import SCHEDULE_PARAMETERS

    hp = given(dense_units=4)
    Cnn(context("multiclass", Features(image=(8, 8, 1)))).build(hp)
    shared = {parameter.name for parameter in (*OPTIMIZER_PARAMETERS, *SCHEDULE_PARAMETERS)}
    declared = {parameter.name for parameter in find_family("cnn").parameters} - shared
    assert declared <= set(hp.values)
    assert [name for name in hp.values if not find_family("cnn").has_parameter(name)] == []
