"""Code that is kept with a trial: it rebuilds the trial's model, here and where kerastudy is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from user_code import forget_user_code
from user_model_jobs import SHORT, Supervised, check

from pipelines.data.prepared_folder import load_examples_part
from pipelines.models.user_model import ModelCodeError
from pipelines.training.deployed_model import load_deployed_model
from pipelines.training.messages import PastTrial
from pipelines.training.trial import train_trial
from pipelines.training.trial_folder import (
    ARTIFACTS,
    CODE_NOTE_FILE,
    MODEL_FILE,
    USER_MODEL_WEIGHTS_FILE,
    has_model,
    is_without_file,
    needs_code,
    read_model_facts,
)
from pipelines.training.user_model.classes import register_user_classes
from pipelines.training.user_model.load_model import _select_weights
from pipelines.training.user_model.model_code import is_portable, locate_code, write_portable_model
from pipelines.training.user_model.portable import load_portable_model
from pipelines.training.user_model.rebuild import rebuild_user_model
from pipelines.training.weight_files import save_weights

MODEL = """
from gates import Gate
def build(hp):
    if hp.Choice("kind", ["wide", "deep"]) == "deep":
        hp.Int("depth", 1, 3, parent_name="kind", parent_values=["deep"])
    hp.Int("depth", 1, 3, parent_name="kind", parent_values=["deep"])
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), Gate(hp.Int("units", 4, 8)), layers.Dense(10)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model
"""
# Not registered, and without the `get_config` that `super().__init__(units)` would need.
BARE = """
import keras
class Gate(keras.layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.inner = keras.layers.Dense(units)
    def call(self, x):
        return self.inner(x)
"""
NAMED = """
import keras
@keras.saving.register_keras_serializable("tests")
class Gate(keras.layers.Dense):
    pass
"""


@pytest.fixture
def trained(job, tmp_path):
    """Return a function that trains a model whose layer is in a module beside its file."""

    def train(gates, text=MODEL):
        (tmp_path / "gates.py").write_text(gates)
        its = job("build", text, values=SHORT)
        assert train_trial(its, Supervised()).result.state == "complete"
        return PastTrial(its.folder, its.data)

    path = list(sys.path)
    yield train
    sys.path[:] = path
    sys.modules.pop("gates", None)
    forget_user_code()


def predict(model, trial):
    """Return predictions for a few rows."""
    rows = load_examples_part(Path(trial.data), "test").take(slice(8))
    return np.asarray(model(np.asarray(rows.x), training=False))


FRESH = """
import sys
import numpy as np
sys.modules.update(pipelines=None, search_spaces=None, tracking=None)
sys.path.insert(0, sys.argv[1])
from load_model import load_model
np.save(sys.argv[3], np.asarray(load_model()(np.load(sys.argv[2]), training=False)))
"""


@pytest.mark.long
def test_a_model_that_no_file_holds_is_built_by_its_code(trained, tmp_path):
    """It loads in a fresh process without kerastudy and without the study's files, and predicts the same."""
    trial = trained(BARE)
    folder = Path(trial.folder)
    assert is_without_file(folder) and has_model(folder) and is_portable(folder)
    write_portable_model(folder, tmp_path / "portable")
    for file in ("gates.py", "model.py"):
        (tmp_path / file).unlink()
    expected = predict(load_deployed_model(trial), trial)
    rows = np.asarray(load_examples_part(Path(trial.data), "test").take(slice(8)).x)
    np.save(tmp_path / "rows.npy", rows)
    arguments = [str(tmp_path / name) for name in ("portable", "rows.npy", "got.npy")]
    done = subprocess.run(
        [sys.executable, "-P", "-c", FRESH, *arguments], cwd="/", check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(np.load(tmp_path / "got.npy"), expected, atol=1e-6)
    values = json.loads((tmp_path / "portable" / "hyperparameters.json").read_text())
    assert {"kind", "units"} <= set(values) and None not in values.values()


def test_layers_of_a_first_call_have_the_policy_of_the_code(trained, tmp_path):
    """Code that sets mixed precision builds such layers anew as they were trained, and leaves no policy behind."""
    lazy = BARE.replace("        self.inner = keras.layers.Dense(units)\n", "        self.units = units\n").replace(
        "    def call", "    def build(self, shape):\n        self.inner = keras.layers.Dense(self.units)\n    def call"
    )
    policy = 'keras.config.set_dtype_policy("mixed_bfloat16")\n'
    text = MODEL.replace("keras.Input((8, 8, 1)), ", "").replace("def build", f"{policy}def build")
    try:
        trial = trained(lazy, text)
    finally:
        keras.config.set_dtype_policy("float32")
    folder = Path(trial.folder)
    assert is_without_file(folder)
    write_portable_model(folder, tmp_path / "portable")
    with register_user_classes(folder):
        assert keras.config.dtype_policy().name == "float32"
    ours, theirs = load_deployed_model(trial), load_portable_model(tmp_path / "portable")
    assert {model.layers[1].inner.compute_dtype for model in (ours, theirs)} == {"bfloat16"}
    assert keras.config.dtype_policy().name == "float32"
    np.testing.assert_allclose(*(predict(model, trial).astype("float32") for model in (ours, theirs)), atol=1e-6)


def test_a_file_gets_the_classes_of_its_code(trained, tmp_path):
    """A file with classes of the user's goes with the code, whose loader registers them, also those of its modules."""
    trial = trained(NAMED)
    folder = Path(trial.folder)
    assert not is_without_file(folder) and needs_code(folder) and is_portable(folder)
    write_portable_model(folder, tmp_path / "portable")
    assert not (tmp_path / "portable" / "weights.npz").exists()
    expected = predict(load_deployed_model(trial), trial)
    forget_user_code()
    np.testing.assert_allclose(predict(load_portable_model(tmp_path / "portable"), trial), expected, atol=1e-6)
    assert read_model_facts(folder)["outputs"] == [{"name": "output_0", "shape": [10], "dtype": "float32"}]
    assert read_model_facts(folder)["shapes"] == {"x": [8, 8, 1]}


def test_a_function_of_the_user_is_code_too(trained, tmp_path):
    """Keras writes its name alone, as if it were one of Keras's own."""
    text = MODEL.replace("Gate(hp", "layers.Dense(activation=gates.squash, units=hp").replace(
        "from gates import Gate", "import gates"
    )
    trial = trained("import keras\ndef squash(x):\n    return keras.ops.log1p(keras.ops.relu(x))\n", text)
    folder = Path(trial.folder)
    assert needs_code(folder) and is_portable(folder)
    write_portable_model(folder, tmp_path / "portable")
    expected = predict(load_deployed_model(trial), trial)
    np.testing.assert_allclose(predict(load_portable_model(tmp_path / "portable"), trial), expected, atol=1e-6)


def test_a_model_of_stock_layers_needs_no_code(trained):
    """Its file is loaded by Keras alone; where it was displaced, it is written again."""
    trial = trained(BARE, MODEL.replace("Gate(hp", "layers.Dense(hp"))
    folder = Path(trial.folder)
    assert not needs_code(folder) and not is_portable(folder)
    expected = predict(load_deployed_model(trial), trial)
    (folder / MODEL_FILE).unlink()
    assert has_model(folder)
    np.testing.assert_allclose(predict(load_deployed_model(trial), trial), expected, atol=1e-6)
    assert (folder / MODEL_FILE).exists()


def test_a_trial_keeps_the_code_that_it_was_trained_with(trained, tmp_path):
    """The study's own file is used while it is the same, and the trial's copy once it has changed."""
    trial = trained(BARE)
    assert locate_code(Path(trial.folder)) == ("model.py:build", tmp_path)
    (tmp_path / "model.py").write_text("def build(hp):\n    raise RuntimeError('changed')\n")
    reference, base = locate_code(Path(trial.folder))
    assert (reference, base.parent.name) == ("model.py:build", "model_code")
    sys.modules.pop("gates")
    (tmp_path / "gates.py").unlink()
    assert rebuild_user_model(trial).model.compiled


def test_weights_of_another_model_than_build_returns(trained):
    """A `fit` that trains what it makes itself is named, and not the shapes that Keras refuses."""
    trial = trained(BARE, MODEL.replace("Gate(hp", "layers.Dense(hp"))
    save_weights([np.zeros((2, 2))], Path(trial.folder) / USER_MODEL_WEIGHTS_FILE)
    with pytest.raises(ModelCodeError, match="let build return it"):
        rebuild_user_model(trial)


class Pair(keras.Model):
    """Two parts, of which only the second is called without a training."""

    def __init__(self):
        super().__init__()
        self.maker = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(2)])
        self.critic = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(1)])

    def build(self, shape):
        self.critic.build(shape)

    def call(self, x):
        return self.critic(x)


def test_weights_are_found_whatever_was_built_before():
    """Keras numbers the layers of a process, and a model is loaded where others are."""
    trained = Pair()
    trained(np.zeros((1, 2)))
    trained.maker(np.zeros((1, 2)))
    by_path = {weight.path: np.asarray(weight) for weight in trained.weights}
    keras.layers.Dense(1)
    loaded = Pair()
    loaded(np.zeros((1, 2)))
    assert {weight.path for weight in loaded.weights}.isdisjoint(by_path)
    selected = _select_weights(loaded, by_path)
    for got, expected in zip(selected, trained.critic.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_code_of_kerastudys_own_does_not_go_along(trained):
    """The reason is kept; the trial has its model all the same."""
    own = "\nfrom pipelines.data.examples import structures\n"
    trial = trained(BARE, own + MODEL.replace("Gate(hp", "layers.Dense(hp"))
    folder = Path(trial.folder)
    assert "needs pipelines, which is kerastudy's" in (folder / ARTIFACTS / CODE_NOTE_FILE).read_text()
    assert has_model(folder) and not is_portable(folder)


@pytest.mark.long
def test_the_check_says_what_is_handed_over(job, tmp_path):
    """A note of `validate` names the layer and what there is instead of a file."""
    (tmp_path / "gates.py").write_text(BARE)
    (note,) = check(job("build", MODEL, values=SHORT)).notes
    assert "Gate" in note and "keeps its code, hyperparameters and weights in place of a file" in note
    sys.modules.pop("gates", None)
