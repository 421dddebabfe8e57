"""Models with structures at their ends, loaded for the export and written in every format."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_channel import FakeChannel
from inline_engine import InlineEngine

from pipelines.export import parity as parity_module
from pipelines.export.compare_models import ComparisonJob, compare_models
from pipelines.export.ensemble import evaluate_ensemble
from pipelines.export.export import ExportError, ExportSource, export_trial
from pipelines.export.jobs import EnsembleJob
from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import PastTrial, TrialJob, UserModel
from pipelines.training.trial import train_trial

CODE = """
import keras
import numpy as np
from keras import layers

def load():
    chance = np.random.default_rng(0)
    x = {"Meta": chance.normal(size=(40, 3)), "tokens": chance.integers(1, 9, (40, 5))}
    y = [(x["Meta"][:, :1] > 0).astype("int32"), x["tokens"] % 3]
    return x, y

def load_noise():
    return np.random.default_rng(0).normal(size=(40, 3)).astype("float32"), np.zeros((40, 1), "float32")

def build(hp):
    meta, tokens = keras.Input((3,), name="Meta"), keras.Input((None,), dtype="int64", name="tokens")
    sequence = layers.GRU(4, return_sequences=True)(layers.Embedding(9, 3, mask_zero=True)(tokens))
    both = layers.concatenate([layers.GlobalAveragePooling1D()(sequence), meta])
    heads = [layers.Dense(1, "sigmoid", name="zeta")(both), layers.Dense(3, name="alpha")(sequence)]
    model = keras.Model({"Meta": meta, "tokens": tokens}, heads)
    losses = ["binary_crossentropy", keras.losses.SparseCategoricalCrossentropy(from_logits=True)]
    model.compile("adam", losses, metrics=[["accuracy"], ["accuracy"]])
    return model

class Noise(layers.Layer):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.seed = keras.random.SeedGenerator(1)
    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seed)

def build_noise(hp):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1), Noise()])
    model.compile("adam", "mse")
    return model
"""


@pytest.fixture(autouse=True)
def _few_calls(monkeypatch):
    monkeypatch.setattr(parity_module, "_FEWEST_CALLS", 2)
    monkeypatch.setattr(parity_module, "_CALLS_S", 0.0)


@pytest.fixture
def train(tmp_path, prepare_data):
    """Return a function that trains a model of `CODE` and returns its location."""
    (tmp_path / "code.py").write_text(CODE)

    def make(loader, build):
        source, split = str(tmp_path / f"code.py:{loader}"), {"validation": 0.2, "test": 0.3, "seed": 1}
        data = prepare_data("any", source=source, split=split)
        job = TrialJob(
            "it", 0, {"epochs": 1, "batch_size": 16}, frozenset(), 3, f"code.py:{build}", TrainingSpec(), str(data),
            str(tmp_path / "trial"), "val_loss", "minimize", frozenset(),
            user_model=UserModel(str(tmp_path), frozenset({"epochs", "batch_size"}), frozenset(), searches=False),
        )  # fmt: skip
        assert train_trial(job, FakeChannel()).result is not None
        return PastTrial(job.folder, job.data)

    yield make
    for name in [name for name in sys.modules if name.startswith("kerastudy_user_")]:
        del sys.modules[name]


def export(trial, formats, target):
    """Export a trial in this process."""
    return export_trial(ExportSource("it", 0, trial), formats, target, InlineEngine())


@pytest.mark.long
def test_inputs_and_outputs_keep_their_names_and_order(train, tmp_path):
    """A dict of numbers and masked tokens, and a list of heads, one a sequence: equal in each format, by name."""
    trial = train("load", "build")
    parities = export(trial, ["keras", "saved_model", "litert", "onnx"], tmp_path / "out")
    assert all(parity.largest_difference < 1e-5 and parity.agreement == 1.0 for parity in parities)
    assert {parity.metric for parity in parities} == {"loss"}
    assert len({round(parity.score, 5) for parity in parities}) == 1
    assert "it takes one row at a time" in parities[2].note and "tokens [5]" in parities[2].note
    signature = json.loads((tmp_path / "out" / "signature.json").read_text())
    assert [(each["name"], each["dtype"]) for each in signature["inputs"]] == [("Meta", "float32"), ("tokens", "int64")]
    assert [(each["name"], each["shape"]) for each in signature["outputs"]] == [("zeta", [1]), ("alpha", [5, 3])] or [
        (each["name"], each["shape"]) for each in signature["outputs"]
    ] == [("zeta", [1]), ("alpha", [None, 3])]
    assert [each["meaning"] for each in signature["outputs"]] == [
        "probability of the second class", "logit of each class",
    ]  # fmt: skip
    assert 'model({"Meta": tensors["Meta"], "tokens": tensors["tokens"]}' in (tmp_path / "out" / "SERVE.md").read_text()
    itself = compare_models(ComparisonJob(trial, None, str(Path(trial.folder) / "model.keras")), FakeChannel())
    assert itself.scores == itself.rival_scores and itself.is_as_good
    mean = evaluate_ensemble(EnsembleJob((trial, trial), 0, str(tmp_path / "mean")), FakeChannel())
    assert mean == (pytest.approx(mean[1], rel=1e-5), mean[1], "loss")


@pytest.mark.long
def test_a_model_that_draws_random_numbers_is_compared_with_itself_first(train, tmp_path):
    """Its files pass where they differ as much as it does from itself, which their note says; others name the layer."""
    trial = train("load_noise", "build_noise")
    [parity] = export(trial, ["saved_model"], tmp_path / "out")
    assert "draws random numbers" in parity.note and parity.agreement is None
    with pytest.raises(ExportError, match=r'layer "noise\w*" \(Noise\) has no LiteRT form: LiteRT has no'):
        export(trial, ["litert"], tmp_path / "other")
    assert Path(tmp_path / "out" / "saved_model").is_dir()


def test_a_model_that_cannot_be_traced_is_exported_by_keras_alone(train, tmp_path, monkeypatch):
    """The reason is that of the trace, and not of a format."""
    trial = train("load_noise", "build_noise")

    def refuse(*given):
        raise TypeError("no graph")

    monkeypatch.setattr("pipelines.export.source_model.make_symbolic_inputs", refuse)
    [parity] = export(trial, ["keras"], tmp_path / "out")
    assert parity.largest_difference < 1e-6 or parity.note
    with pytest.raises(ExportError, match="saved_model: the model cannot be traced: TypeError: no graph"):
        export(trial, ["saved_model"], tmp_path / "other")


def test_random_numbers_do_not_hide_another_model():
    """A difference is held against the noise of the same output."""
    expected = (np.zeros((50, 1)), np.zeros((50, 1)))
    outputs = [parity_module.OutputTensor(name, (1,), "float32") for name in ("loud", "quiet")]
    got = (np.ones((50, 1)), np.ones((50, 1)))
    tolerance = parity_module.Tolerance(difference=1e-6)
    assert parity_module.find_violation(got, expected, outputs, tolerance, noise=(1.0, 1.0)) == ""
    reason = parity_module.find_violation(got, expected, outputs, tolerance, noise=(1.0, 0.1))
    assert "(output quiet)" in reason
