"""User models, checked and trained in one process: KerasTuner's styles, and the errors in them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from user_code import forget_user_code
from user_model_jobs import CLASS, DENSE, HEAD, SHORT, Supervised, check, problems

from pipelines.data.prepared_folder import load_examples_part, load_raw, load_summary
from pipelines.data.raw_inputs import arrange_names, make_pack
from pipelines.export.jobs import ExportJob
from pipelines.export.verify import VerificationJob, verify_export
from pipelines.export.write_formats import write_formats
from pipelines.models.raw_predict import predict_raw
from pipelines.models.user_model import ModelCodeError, ModelRefusedError
from pipelines.training import checkpoint
from pipelines.training.messages import PastTrial, RungReached
from pipelines.training.trial import train_trial
from pipelines.training.trial_folder import MODEL_FILE
from pipelines.training.user_model.evaluate import evaluate_user_model

ITS_STEPS_AND_FIT = f"""{DENSE}
class Steps(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = layers.Dense(10, "softmax")
    def call(self, x):
        return self.last(layers.Flatten()(x))
    def train_step(self, data):
        return super().train_step(data)
class Stepper(keras_tuner.HyperModel):
    def build(self, hp):
        model = Steps()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model
class Fitter(keras_tuner.HyperModel):
    def build(self, hp):
        return build(hp)
    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)
class Stubborn(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = layers.Dense(10, "softmax")
    def call(self, x):
        if x.shape[0] == 2:
            raise TypeError("two rows are not enough")
        return self.last(layers.Flatten()(x))
class Odd(keras_tuner.HyperModel):
    def build(self, hp):
        model = Stubborn()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model
"""


def test_conditional_architecture(job):
    """The check finds the parameters of both architectures; a trial requests only those of its architecture."""
    its = job("conditional_architecture", values=SHORT)
    names = {request.name for request in check(its).requested}
    assert names == {"model_type", "dense_layers", "units_0", "units_1", "filters"}
    channel = Supervised()
    result = train_trial(its, channel).result
    own = {"mlp": {"dense_layers", "units_0"}, "cnn": {"filters"}}[result.drawn["model_type"]]
    assert {"model_type", *own} <= result.drawn.keys() <= {"model_type", *own, "units_1"}
    assert result.drawn == channel.trial.params
    assert result.state == "complete"


def test_a_fit_of_its_own(job, digits):
    """A `fit` that tunes batch size, epochs and preprocessing requests them, and is scored by its best epoch."""
    its = job("TunedFit")
    found = check(its)
    assert {request.name for request in found.requested} == {"units", "normalize", "batch_size", "epochs"}
    channel = Supervised()
    result = train_trial(its, channel).result
    assert {request.name for request in channel.requested} == {"units", "normalize", "batch_size", "epochs"}
    assert [done.of for done in channel.reported] == [result.drawn["epochs"]] * result.drawn["epochs"]
    assert result.value == min(done.metrics["val_loss"] for done in channel.reported)


def test_declared_values_replace_those_of_its_fit(job):
    """A hyperparameter that the space declares and `fit` requests has the space's value, and is not passed twice."""
    values = {"batch_size": 128, "epochs": 1}
    its = job("TunedFit", values=values, requested=values)
    check(its)
    channel = Supervised()
    train_trial(its, channel)
    assert {request.name for request in channel.requested} == {"units", "normalize"}
    assert len(channel.reported) == 1


def test_an_objective_of_its_own(job):
    """A number that `fit` returns is the score; epochs that its own loop reports under that name are recorded."""
    its = job("OwnLoop", metric="my_metric")
    check(its)
    channel = Supervised()
    result = train_trial(its, channel).result
    reported = [done.metrics["my_metric"] for done in channel.reported]
    assert len(reported) == 2
    assert result.value == pytest.approx(min(reported))


def test_its_own_loop_is_pruned(job):
    """A loop that knows of no pruning ends with the epoch after."""
    channel = Supervised(prunes=True)
    result = train_trial(job("OwnLoop", metric="my_metric", rungs=frozenset({0})), channel).result
    assert (result.state, len(channel.reported)) == ("pruned", 1)
    [rung] = [message for message in channel.requested if isinstance(message, RungReached)]
    assert not rung.can_pause, "the state of the loop is its own"


@pytest.mark.parametrize(("by_fit", "trainer"), [(False, "graph"), (True, "user")])
def test_a_model_that_keras_trains_is_paused(job, by_fit, trainer):
    """A model of the author's own goes on from its checkpoint, whichever trainer it has."""
    its = replace(job("build", DENSE, values={**SHORT, "epochs": 3}, rungs=frozenset({0})), by_fit=by_fit)
    paused = train_trial(its, Supervised(pauses=True))
    assert (paused.kind, paused.result.trainer, len(paused.result.epochs)) == ("paused", trainer, 1)
    channel = Supervised(pauses=True)
    done = train_trial(replace(its, resumed_after=1), channel).result
    assert (done.state, len(done.epochs)) == ("complete", 3)
    assert not [message for message in channel.requested if isinstance(message, RungReached)]


@pytest.mark.parametrize(
    ("model", "trainer"), [("build", "graph"), ("Stepper", "user"), ("Fitter", "user"), ("Odd", "user")]
)
def test_what_trains_a_model_of_its_own(job, model, trainer):
    """One graph trains it where nothing but the model is the author's; what the graph cannot take, `Model.fit` does."""
    result = train_trial(job(model, ITS_STEPS_AND_FIT, values={"epochs": 2, "batch_size": 128}), Supervised()).result
    assert (result.trainer, len(result.epochs)) == (trainer, 2)
    assert result.epochs[1].metrics["loss"] < result.epochs[0].metrics["loss"]


class CutOffError(BaseException):
    """The worker is gone."""


class CutOff(Supervised):
    """Channel whose worker dies when it reports an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.cut_at = epoch

    def report(self, message):
        if message.epoch == self.cut_at:
            raise CutOffError
        super().report(message)


@pytest.mark.parametrize(("model", "goes_on"), [("build", True), ("Stepper", False), ("Fitter", False)])
def test_a_trial_that_was_cut_off_goes_on_after_its_last_epoch(job, monkeypatch, capfd, model, goes_on):
    """Epochs before the cut are not trained again, unless the author's own code holds state that nobody knows."""
    monkeypatch.setattr(checkpoint, "_LEAST_S", 0.0)
    monkeypatch.setattr(checkpoint, "_SHARE", 0)
    text = ITS_STEPS_AND_FIT
    values = {"epochs": 4, "batch_size": 128}
    first, second = CutOff(2), Supervised()
    with pytest.raises(CutOffError):
        train_trial(job(model, text, values=values), first)
    result = train_trial(job(model, text, values=values), second).result
    assert ("resumes after epoch 2" in capfd.readouterr().out) == goes_on
    assert [done.epoch for done in result.epochs] == [0, 1, 2, 3]
    assert [(done.epoch, done.at_ms) for done in second.reported[:2]] == [(d.epoch, d.at_ms) for d in first.reported]
    losses = [done.metrics["loss"] for done in result.epochs]
    assert losses[3] < losses[2] < losses[1] < losses[0]


def test_a_refused_trial(job):
    """`FailedTrialError` fails a trial with its message; in the check it is a refusal and no error."""
    its = job("refuses_some", values=SHORT)
    assert check(its).largest.refused == "64 units are too many"
    with pytest.raises(ModelRefusedError, match=r"^40 units are too many$"):
        train_trial(job("refuses_some", values={**SHORT, "units": 40}), Supervised())


@pytest.mark.parametrize("form", ["function", "class", "instance"])
def test_forms_of_a_hypermodel(job, form):
    """A function of hp, a HyperModel class and an instance of one all build."""
    text = {"function": DENSE, "class": CLASS, "instance": CLASS + "\nmodel = Model()\n"}[form]
    name = {"function": "build", "class": "Model", "instance": "model"}[form]
    assert [request.name for request in check(job(name, text, values=SHORT)).requested] == ["units"]


def test_undeclared_is_fixed(job):
    """With `undeclared: fix` the code's defaults hold and nothing is requested from the supervisor."""
    channel = Supervised()
    train_trial(job("build", DENSE, values=SHORT, searches=False), channel)
    assert channel.requested == []
    config = json.loads((Path(job("build", DENSE).folder) / "artifacts" / "config.json").read_text())
    assert config["requested"] == {"units": 4}


def test_a_declared_parameter_that_is_inactive_keeps_its_default(job):
    """What the space declares and does not give in this trial is not searched as the code declares it."""
    channel = Supervised()
    result = train_trial(job("build", DENSE, values=SHORT, declared=["units"]), channel).result
    assert (channel.requested, dict(result.drawn)) == ([], {})


def test_one_hot_targets(prepare_data, job):
    """A model compiled with a categorical loss gets one column for each class of a table."""
    data = prepare_data("any", source="sklearn:iris", split={"validation": 0.2, "test": 0.2})
    text = DENSE.replace("sparse_categorical_crossentropy", "categorical_crossentropy").replace("10,", "3,")
    result = train_trial(job("build", text, values=SHORT, data=str(data)), Supervised()).result
    assert result.metrics.keys() >= {"accuracy", "val_accuracy"}


def test_the_model_takes_raw_rows(job, digits):
    """The file that is left joins preprocessing and the person's model, and predicts as it does on test rows."""
    its = job("build", DENSE, values={**SHORT, "epochs": 2})
    train_trial(its, Supervised())
    pack = make_pack(arrange_names(load_summary(digits)))
    predictions = predict_raw(keras.models.load_model(Path(its.folder) / MODEL_FILE), load_raw(digits, "test"), pack)
    accuracy = np.mean(np.argmax(predictions, axis=1) == load_examples_part(digits, "test").y)
    scores = evaluate_user_model(PastTrial(its.folder, its.data), Supervised())
    assert scores.keys() == {"test_loss", "test_accuracy"}
    assert accuracy == pytest.approx(scores["test_accuracy"])


SUBCLASSED = """
class Net(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.flat, self.hidden, self.out = layers.Flatten(), layers.Dense(units), layers.Dense(10, "softmax")
    def call(self, x):
        return self.out(self.hidden(self.flat(x)))
def build(hp):
    model = Net(hp.Int("units", 4, 8))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model
"""


def test_a_model_that_is_no_graph_of_layers(job):
    """A subclassed model trains and is scored on the test rows, whether or not it can be joined and saved."""
    its = job("build", SUBCLASSED, values=SHORT)
    assert check(its).smallest.parameters > 0
    assert train_trial(its, Supervised()).result.state == "complete"
    assert evaluate_user_model(PastTrial(its.folder, its.data), Supervised()).keys() == {"test_loss"}


def test_errors_in_a_trial(job):
    """What only some values raise fails that trial, with the file and line in its reason."""
    text = DENSE.replace("    model.compile", '    assert hp.get("units") < 7, "too wide"\n    model.compile')
    with pytest.raises(ModelCodeError, match=r"^AssertionError: too wide \(model.py, line 6\)$"):
        train_trial(job("build", text, values={**SHORT, "units": 8}), Supervised())


def test_an_epoch_without_the_objective(job):
    """In a trial it fails that trial with what there is instead."""
    outcome = train_trial(job("build", DENSE, values=SHORT, metric="val_f1"), Supervised())
    reason = "training reported no val_f1, only accuracy, loss, val_accuracy, val_loss"
    assert (outcome.kind, outcome.reason) == ("failed", reason)


def test_folds(prepare_data, job):
    """With folds each training requests again and gets the same values."""
    data = prepare_data("any", source="sklearn:digits", split={"folds": 2, "test": 0.5})
    channel = Supervised()
    result = train_trial(job("build", DENSE, values=SHORT, data=str(data)), channel).result
    assert [request.name for request in channel.requested] == ["units", "units"]
    assert {done.fold for done in channel.reported} == {0, 1}
    assert dict(result.drawn) == channel.trial.params
    assert load_summary(data).folds == 2


OWN_LAYER = """
class Twice(layers.Layer):
    def call(self, x):
        return 2 * x
def build(hp):
    model = keras.Sequential([layers.Flatten(), Twice(), layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model
"""


def test_a_layer_class_of_its_own_is_exported(job, tmp_path):
    """The export imports the code that holds the class, in whatever process it runs."""
    its = job("build", OWN_LAYER, values=SHORT)
    train_trial(its, Supervised())
    forget_user_code()
    (tmp_path / "out").mkdir()
    past, out, expected = PastTrial(its.folder, its.data), str(tmp_path / "out"), str(tmp_path / "expected.npz")
    formats = ("keras", "saved_model")
    written = write_formats(ExportJob(past, out, formats, expected), Supervised())
    proofs = (
        VerificationJob(past, out, name, file, expected, written)
        for name, file in zip(formats, written.files, strict=True)
    )
    assert [verify_export(proof, Supervised()).agreement for proof in proofs] == [1.0, 1.0]


@pytest.mark.parametrize("error", ["FatalError", "FatalValueError", "FatalTypeError", "FatalRuntimeError"])
def test_a_fatal_error_is_told_apart_from_a_failed_trial(job, error):
    """KerasTuner's fatal errors, in `build` or in `fit`, end the study; a check reports them at once."""
    raising = f"keras_tuner.errors.{error}('no licence')"
    in_build = f"def build(hp):\n    raise {raising}\n"
    ended = train_trial(job("build", in_build), Supervised())
    assert ended.kind == "fatal"
    assert ended.reason == f"{error}: no licence (model.py, line 4)"
    assert "Traceback" in ended.traceback
    assert problems(job("build", in_build)) == [("model", ended.reason)]
    in_fit = f"{CLASS}\n    def fit(self, hp, model, *args, **kwargs):\n        raise {raising}\n"
    assert train_trial(job("Model", in_fit.removeprefix(HEAD)), Supervised()).kind == "fatal"


AUGMENTED = """
def build(hp):
    augment = keras_tuner.applications.HyperImageAugment(input_shape=(8, 8, 1), augment_layers=0).build(hp)
    model = keras.Sequential([keras.Input((8, 8, 1)), augment, layers.Flatten(), layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model
"""


def test_image_augmentation_is_part_of_a_model(job):
    """KerasTuner's augmentation trains within a model, and its factors are searched."""
    its = job("build", AUGMENTED, values={"epochs": 1, "batch_size": 128})
    names = {"factor_rotate", "factor_translate_x", "factor_translate_y", "factor_contrast"}
    assert {request.name for request in check(its).requested} == names
    result = train_trial(its, Supervised()).result
    assert set(result.drawn) == names


def test_a_model_that_needs_the_network_says_so(job, monkeypatch):
    """HyperEfficientNet fetches weights; without a network the check names what could not be fetched."""

    def no_network(*args, **keywords):
        raise OSError("URL fetch failure: no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", no_network)
    monkeypatch.setenv("KERAS_HOME", str(Path(job("build", DENSE).folder).parent))
    text = "build = keras_tuner.applications.HyperEfficientNet(input_shape=(32, 32, 3), classes=10)\n"
    [(path, message)] = problems(job("build", text))
    assert path == "model"
    assert "URL fetch failure" in message
