"""Files of the families' networks: every kind of layer has a form in each format, and predicts as in Keras."""

import keras
import keras_tuner
import numpy as np
import pytest
from family_rows import make_inputs

from pipelines.data.prepared import Features, Task
from pipelines.export.base import SourceModel
from pipelines.export.export import FORMATS
from pipelines.models.build import build_hypermodel
from pipelines.models.catalogue import find_family
from pipelines.models.context import ModelContext
from pipelines.spec.schema import TrainingSpec

FEATURES = {
    "text": Features(dense=2, codes=(("city", 4),), text=(("text_1", 6, 9),)),
    "series": Features(dense=2, series=(8, 3)),
    "tabular": Features(dense=5, codes=(("city", 4),)),
    "cnn": Features(image=(8, 8, 1)),
}
SMALL = {"units": 6, "depth": 1, "dense_units": 4, "blocks": 1, "filters": 3, "heads": 2, "residual": True}
NETWORKS = [
    (family, architecture)
    for family in ("text", "series", "tabular")
    for architecture in find_family(family).find("architecture").choices
]
QUICK = [("text", "conv", "onnx"), ("series", "conv", "litert"), ("tabular", "resnet", "onnx")]
ALL = [(*network, name) for network in NETWORKS for name in ("saved_model", "litert", "onnx", "openvino")]
ALL += [("cnn", "", name) for name in ("litert", "onnx")]


def assert_parity(family, architecture, name, folder):
    keras.utils.set_random_seed(2)
    features = FEATURES[family]
    task = Task("binary", ("y",), classes=("no", "yes"), class_counts=(5, 5))
    hp = keras_tuner.HyperParameters()
    hp.values |= {**SMALL, **({"architecture": architecture} if architecture else {"separable": True})}
    core = build_hypermodel(family, ModelContext(features, task, TrainingSpec(), 32)).build(hp)
    bare = keras.Model({taken.name: taken for taken in core.inputs}, core.outputs[0], name="trained")
    rows = make_inputs(features, 9)
    written = FORMATS[name].write(SourceModel(bare, None, bare, None, rows), folder)
    (got,) = FORMATS[name].load(folder, written)(rows)
    assert np.asarray(got) == pytest.approx(np.asarray(bare(rows, training=False)), abs=1e-5)


@pytest.mark.parametrize(("family", "architecture", "name"), QUICK)
def test_a_file_predicts_as_keras_does(family, architecture, name, tmp_path):
    """Texts with and without words, series and columns give the same probabilities."""
    assert_parity(family, architecture, name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "architecture", "name"), [each for each in ALL if each not in QUICK])
def test_every_architecture_has_every_format(family, architecture, name, tmp_path):
    """The same for each choice of layers and each format; recurrent layers take one row at a time in LiteRT."""
    assert_parity(family, architecture, name, tmp_path)
