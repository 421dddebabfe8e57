"""KerasTuner's hypermodels from a study file, through the real command, and its applications on small pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import guides
import pytest
from command import kerastudy, kerastudy_here
from mlflow import MlflowClient

from pipelines.workspace.home import Home
from tracking.mlflow import urls

STUDY = """
study: it
data: {{source: "sklearn:digits", split: {{validation: 0.1, test: 0.1, seed: 1}}}}
model: guides.py:{model}
space: {space}
objective: {objective}
search: {{sampler: random, pruner: none, seed: 3}}
budget: {{trials: {trials}}}
resources: {{workers: 2}}
limits: {{stall: 10m}}
"""
SHORT = "{epochs: 1, batch_size: 128}"
LOSS = "{metric: val_loss}"
APPLICATIONS = """
import keras_tuner

resnet = keras_tuner.applications.HyperResNet(input_shape=(8, 8, 1), classes=10)
xception = keras_tuner.applications.HyperXception(input_shape=(8, 8, 1), classes=10)


def augmented(hp):
    augment = keras_tuner.applications.HyperImageAugment(input_shape=(8, 8, 1), augment_layers=0)
    model = keras.Sequential([augment.build(hp), layers.Flatten(), layers.Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class WithoutDownload(keras_tuner.applications.HyperEfficientNet):
    # KerasTuner has no option for these: weights that are not downloaded, and small pictures.
    def build(self, hp):
        import functools
        from keras_tuner.src.applications import efficientnet

        if not isinstance(efficientnet.EFFICIENTNET_MODELS["B0"], functools.partial):
            known = efficientnet.EFFICIENTNET_MODELS.items()
            efficientnet.EFFICIENTNET_MODELS = {name: functools.partial(model, weights=None) for name, model in known}
            efficientnet.EFFICIENTNET_IMG_SIZE = dict.fromkeys(efficientnet.EFFICIENTNET_IMG_SIZE, 32)
        return super().build(hp)


efficientnet = WithoutDownload(input_shape=(8, 8, 1), classes=10)
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a study of a guide's model and returns its trials as `trials --json` has them."""

    def make(model, space=SHORT, objective=LOSS, trials=2, timeout_s=300):
        text = Path(guides.__file__).read_text() + APPLICATIONS
        (tmp_path / "guides.py").write_text(text)
        file = tmp_path / "study.yaml"
        file.write_text(STUDY.format(model=model, space=space, objective=objective, trials=trials))
        home = ("--home", str(tmp_path / "home"))
        done = kerastudy(*home, "run", file, cwd=tmp_path, timeout_s=timeout_s)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(kerastudy(*home, "trials", "it", "--json", cwd=tmp_path).stdout)

    return make


def params(trials):
    return [set(trial["params"]) for trial in trials]


@pytest.mark.slow
def test_conditional_architecture(run, tmp_path):
    """Declared, undeclared and conditional: the code's defaults come first, and MLflow shows what is active."""
    trials = run(
        "conditional_architecture", "{epochs: 1, batch_size: 128, units_1: [4, 12], dense_layers: 2}", trials=3
    )
    first = trials[0]["params"]
    assert {name: first[name] for name in ("model_type", "dense_layers", "units_0")} == {
        "model_type": "mlp",
        "dense_layers": 2,
        "units_0": 8,
    }
    mlp = {"epochs", "batch_size", "model_type", "dense_layers", "units_0", "units_1"}
    kinds = {"mlp": mlp, "cnn": {"epochs", "batch_size", "model_type", "filters"}}
    assert all(set(trial["params"]) == kinds[trial["params"]["model_type"]] for trial in trials)
    assert all(trial["params"].get("units_1", 4) in (4, 12) for trial in trials)
    client = MlflowClient(urls.make_home_tracking_uri(Home.find(str(tmp_path / "home")).folder))
    runs = client.search_runs([client.get_experiment_by_name("it").experiment_id], "tags.`kerastudy.kind` = 'trial'")
    shown = {int(found.data.tags["number"]): found.data.params for found in runs}
    assert shown == {t["number"]: {name: str(value) for name, value in t["params"].items()} for t in trials}
    done = kerastudy("--home", "home", "export", "it", "--to", "out", "--format", "keras,saved_model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_fit_that_tunes_batch_size_epochs_and_preprocessing(run):
    """Each trial has the hyperparameters that its `fit` requested."""
    assert params(run("TunedFit", "{}")) == [{"units", "normalize", "batch_size", "epochs"}] * 2


@pytest.mark.slow
def test_a_custom_objective(run):
    """The number that `fit` returns is the score, under the objective's name."""
    trials = run("OwnLoop", "{}", "{metric: my_metric, direction: minimize}")
    assert params(trials) == [{"units", "batch_size", "learning_rate"}] * 2
    assert all(trial["values"] for trial in trials)


@pytest.mark.slow
def test_failed_trials(run):
    """A trial that the code refuses fails with its message, and the study continues."""
    space = "{epochs: 1, batch_size: 128, units: [16, 48], start_from: [{units: 48}, {units: 16}]}"
    trials = run("refuses_some", space)
    assert [trial["state"] for trial in trials] == ["failed", "complete"]
    assert "48 units are too many" in trials[0]["reason"]


@pytest.mark.long
def test_a_name_that_the_code_never_asks_for(tmp_path):
    """It is an error with its place, found before anything is recorded."""
    shutil.copyfile(guides.__file__, tmp_path / "guides.py")
    text = STUDY.format(model="refuses_some", space="{epochs: 1, unit: 8}", objective=LOSS, trials=1)
    (tmp_path / "study.yaml").write_text(text)
    done = kerastudy_here("--home", "home", "run", "study.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        'study.yaml:5:26: space.unit: guides.py:refuses_some never requests "unit"; did you mean "units"?'
        in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home" / "kerastudy.db").exists()


@pytest.mark.slow
def test_the_augmentation_of_the_applications(run):
    """KerasTuner's own augmentation is searched as part of a model."""
    trials = run("augmented", SHORT, "{metric: val_accuracy}")
    factors = {f"factor_{name}" for name in ("rotate", "translate_x", "translate_y", "contrast")}
    assert params(trials) == [{"epochs", "batch_size", *factors}] * 2
    assert [trial["state"] for trial in trials] == ["complete"] * 2
    assert any(trials[1]["params"][name] > 0 for name in factors)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("model", "space"),
    [
        ("xception", SHORT),
        ("efficientnet", "{version: B0, epochs: 1, batch_size: 128}"),
        ("resnet", "{version: v2, conv3_depth: 4, conv4_depth: 6, epochs: 1, batch_size: 128}"),
    ],
)
def test_applications(run, model, space):
    """KerasTuner's own applications train a trial, one-hot targets and all."""
    trials = run(model, space, "{metric: val_accuracy}", trials=1, timeout_s=1500)
    assert trials[0]["state"] == "complete"
    assert "learning_rate" in trials[0]["params"]
