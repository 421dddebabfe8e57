"""User models, checked and trained in one process: KerasTuner's styles, and the errors in them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import indent

import guides
import keras
import numpy as np
import optuna
import pytest

from pipelines.data.prepared_folder import load_part, load_raw, load_summary
from pipelines.engines.base import Channel
from pipelines.export.export import write_formats
from pipelines.export.jobs import ExportJob
from pipelines.export.verify import VerificationJob, verify_export
from pipelines.models.raw_predict import predict_raw
from pipelines.models.user_model import ModelCodeError, ModelRefusedError
from pipelines.spec.schema import TrainingSpec
from pipelines.training import checkpoint
from pipelines.training.messages import PastTrial, RungReached, TrialJob, UserModel, UserModelEvaluation
from pipelines.training.trial import train_trial
from pipelines.training.trial_folder import MODEL_FILE
from pipelines.training.user_model.evaluate import evaluate_user_model
from pipelines.training.user_model.model_check import check_user_model
from search_spaces.errors import InputError
from search_spaces.hypermodel_request import HyperparameterRequest, suggest_value

GUIDES = Path(guides.__file__)
HEAD = "import keras, keras_tuner\nfrom keras import layers\n"
DENSE = """
def build(hp):
    model = keras.Sequential([layers.Flatten(), layers.Dense(hp.Int("units", 4, 8)), layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""
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
CLASS = f"{HEAD}class Model(keras_tuner.HyperModel):\n{indent(DENSE.replace('(hp)', '(self, hp)'), '    ')}"


class Supervised(Channel):
    """Channel that answers from an Optuna trial, and prunes on demand."""

    def __init__(self, prunes: bool = False) -> None:
        self.trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask()
        self.prunes = prunes
        self.reported = []
        self.requested = []
        self.known = {}

    def beat(self):
        """Do nothing."""

    def report(self, message):
        self.reported.append(message)

    def request(self, message):
        self.requested.append(message)
        if isinstance(message, RungReached):
            return self.prunes
        assert isinstance(message, HyperparameterRequest)
        return suggest_value(message, self.trial, self.known)


@pytest.fixture(scope="module")
def digits(prepare_data):
    """Prepared data: 8 x 8 pictures, few enough to train on in a moment."""
    return prepare_data("any", source="sklearn:digits", split={"validation": 0.1, "test": 0.1, "seed": 1})


@pytest.fixture
def job(digits, tmp_path):
    """Return a function that makes a job of the model that a file's text, or a guide, defines."""

    def make(model, text="", *, declared=(), requested=(), searches=True, values=None, **changes):
        base = GUIDES.parent
        if text:
            base = tmp_path
            (tmp_path / "model.py").write_text(HEAD + text if not text.startswith("import") else text)
        names = frozenset({*declared, *(values or {})})
        plain = TrialJob(
            study="it",
            number=3,
            values=values or {},
            per_layer=frozenset(),
            seed=11,
            model=f"{'model' if text else 'guides'}.py:{model}",
            training=TrainingSpec(early_stopping=None),
            data=str(digits),
            folder=str(tmp_path / "trial"),
            metric="val_loss",
            direction="minimize",
            rungs=frozenset(),
            user_model=UserModel(
                str(base), names, frozenset(requested), searches, bounds={n: (v,) for n, v in (values or {}).items()}
            ),
        )
        return replace(plain, **changes)

    return make


def check(job):
    return check_user_model((job, job), Supervised())


def problems(job):
    with pytest.raises(InputError) as caught:
        check(job)
    return [(problem.path, problem.message) for problem in caught.value.problems]


SHORT = {"epochs": 1, "batch_size": 128}


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


def test_one_hot_targets(job):
    """A model compiled with a categorical loss gets one column a class."""
    text = DENSE.replace("sparse_categorical_crossentropy", "categorical_crossentropy")
    assert train_trial(job("build", text, values=SHORT), Supervised()).result.metrics.keys() >= {
        "accuracy",
        "val_accuracy",
    }


def test_the_model_takes_raw_rows(job, digits):
    """The file that is left joins preprocessing and the person's model, and predicts as it does on test rows."""
    its = job("build", DENSE, values={**SHORT, "epochs": 2})
    train_trial(its, Supervised())
    predictions = predict_raw(keras.models.load_model(Path(its.folder) / MODEL_FILE), load_raw(digits, "test"))
    accuracy = np.mean(np.argmax(predictions, axis=1) == load_part(digits, "test").y)
    scores = evaluate_user_model(
        UserModelEvaluation(its.model, its.user_model.base, its.data, its.folder), Supervised()
    )
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
    assert evaluate_user_model(
        UserModelEvaluation(its.model, its.user_model.base, its.data, its.folder), Supervised()
    ).keys() == {"test_loss"}


RETURNS = CLASS + "    def fit(self, hp, model, x, y, **kwargs):\n        return {}\n"


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        ("0.5", 0.5),
        ("{'val_loss': 0.25, 'other': 3}", 0.25),
        ("[0.5, {'val_loss': 1.5}]", 1.0),
        ("__import__('numpy').float32(0.5)", 0.5),
    ],
)
def test_what_fit_may_return(job, returned, value):
    """A number, a dictionary with the objective, and the mean of a list of such are scores."""
    channel = Supervised()
    result = train_trial(job("Model", RETURNS.format(returned)), channel).result
    assert result.value == value
    assert [done.metrics["val_loss"] for done in channel.reported] == [value]


@pytest.mark.parametrize(
    ("returned", "path", "expected"),
    [
        ("None", "model", "fit in model.py must return Keras's history, a dictionary of metrics, a number"),
        ("'0.5'", "model", "got str"),
        ("{'accuracy': 0.5}", "objective.metric", "fit in model.py returned no val_loss, only accuracy"),
        ("[]", "model", "got list"),
    ],
)
def test_what_fit_may_not_return(job, returned, path, expected):
    """Anything else is an error that the check finds."""
    ((at, message),) = problems(job("Model", RETURNS.format(returned)))
    assert at == path
    assert expected in message


def test_a_score_that_is_not_finite(job):
    """It fails the trial with its reason, and is no error of the study file."""
    its = job("Model", RETURNS.format("float('inf')"))
    check(its)
    outcome = train_trial(its, Supervised())
    assert (outcome.kind, outcome.reason) == ("failed", "val_loss became inf")


def test_the_mean_of_histories(job):
    """A list of histories, as of several executions, is no new score: the best epoch of all is."""
    fit = "    def fit(self, hp, model, x, y, **kw):\n        return [model.fit(x, y, **kw), model.fit(x, y, **kw)]\n"
    channel = Supervised()
    result = train_trial(job("Model", CLASS + fit), channel).result
    assert [done.epoch for done in channel.reported] == [0, 1]
    assert result.value == min(done.metrics["val_loss"] for done in channel.reported)


@pytest.mark.parametrize(
    ("text", "changes", "path", "expected"),
    [
        ("def build(hp):\n    return 1 / 0\n", {}, "model", "ZeroDivisionError: division by zero (model.py, line 4)"),
        ("def build(hp):\n    return hp\n", {}, "model", "expected model.py to build a Keras model, got TrialHyper"),
        ("def build(hp):\n    return keras.Sequential([layers.Dense(1)])\n", {}, "model", "is not compiled"),
        ("build = 3\n", {}, "model", "expected build to be a function of hp or a keras_tuner.HyperModel, got int"),
        (
            "build = keras_tuner.applications.HyperResNet\n",
            {"metric": "x"},
            "model",
            "build() raises ValueError: You must specify `classes`",
        ),
        (DENSE, {"metric": "val_f1"}, "objective.metric", "training reported no val_f1, only accuracy, loss, val_acc"),
        (
            DENSE,
            {"values": {**SHORT, "unit": 3}},
            "space.unit",
            'model.py:build never requests "unit"; did you mean "units"?',
        ),
        (DENSE, {"values": {**SHORT, "units": "many"}}, "space.units", "the model requests a whole number"),
        (DENSE.replace("10,", "7,"), {"values": SHORT}, "model", "Error"),
    ],
)
def test_what_the_check_finds(job, text, changes, path, expected):
    """Each mistake names its key, and the user's file and line where there is one."""
    ((at, message), *_) = problems(job("build", text, **changes))
    assert at == path
    assert expected in message
    assert "\n" not in message


def test_a_class_that_needs_arguments(job):
    """The message shows how to write an instance instead."""
    text = "class Model(keras_tuner.HyperModel):\n    def __init__(self, classes):\n        super().__init__()\n"
    assert problems(job("Model", text)) == [
        ("model", "Model needs classes; write `model = Model(...)` in model.py and name that")
    ]


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


BRANCHES = """
def build(hp):
    model = keras.Sequential([layers.Flatten()])
    if hp.Choice("kind", ["plain", "deep", "odd"]) == "odd":
        model.add(layers.Dense(hp.Int("odd_units", 4, 8)))
    for index in range(hp.Int("depth", 0, 2)):
        model.add(layers.Dense(hp.Int(f"units_{index}", 4, 8)))
    model.add(layers.Dense(10, "softmax"))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model
"""


def test_names_behind_branches_are_found(job):
    """A name that the code requests in one branch or at one depth only is known, and is no error in a space."""
    its = job("build", BRANCHES, values={**SHORT, "odd_units": 5, "units_1": 4})
    names = {request.name for request in check(its).requested}
    assert names == {"kind", "odd_units", "depth", "units_0", "units_1"}


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
    for name in [name for name in sys.modules if name.startswith("kerastudy_user_")]:
        del sys.modules[name]
    keras.saving.get_custom_objects().clear()
    (tmp_path / "out").mkdir()
    past, out, expected = PastTrial(its.folder, its.data), str(tmp_path / "out"), str(tmp_path / "expected.npz")
    formats = ("keras", "saved_model")
    written = write_formats(ExportJob(past, out, formats, expected), Supervised())
    proofs = (VerificationJob(past, out, name, file, expected) for name, file in zip(formats, written, strict=True))
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


WIDE = """
import time

def build(hp):
    units = hp.Int("units", 4, 10**12)
    if units > 4:
        WAIT
    model = keras.Sequential([layers.Flatten(), layers.Dense(units), layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    hp.Boolean("more")
    return model
"""


def test_a_largest_model_beyond_memory_is_not_tried(job):
    """Ranges in the code may be larger than any machine: the check refuses the largest model, without an error."""
    found = check(job("build", WIDE.replace("WAIT", "pass")))
    assert found.smallest.parameters > 0
    assert "parameters, which do not fit into memory" in found.largest.refused
    assert {request.name for request in found.requested} == {"units", "more"}


def test_a_largest_model_that_takes_minutes_is_not_tried(job, monkeypatch):
    """Training it ends in time, and so does the search for names that the code may request; neither is an error."""
    monkeypatch.setattr("pipelines.training.user_model.model_check.LONGEST_S", 0.5)
    its = job("build", WIDE.replace("WAIT", "time.sleep(60)"), declared=["unheard_of"])
    assert check(its).largest.refused == "trying it took longer than 0.5 s"


def test_a_largest_model_above_a_ceiling_is_not_trained(job):
    """What no trial may train is not tried either."""
    its = job("build", DENSE)
    large = replace(its, most_parameters=600)
    found = check_user_model((its, large), Supervised())
    assert found.smallest.parameters == 64 * 4 + 4 + 4 * 10 + 10
    assert "limits.parameters allows 600" in found.largest.refused


def test_a_fit_that_calls_nothing_back_is_one_epoch(job):
    """Nobody knows how often it goes over the rows: the check estimates one epoch and no more, a trial shows one."""
    text = f"{CLASS}\n    def fit(self, hp, model, *args, **kwargs):\n        return 0.5\n".removeprefix(HEAD)
    its = job("Model", text)
    assert (check(its).smallest.epochs, check(its).smallest.epoch_s) == (1, 0.0)
    channel = Supervised()
    train_trial(its, channel)
    assert [(done.epoch, done.of) for done in channel.reported] == [(0, 1)]


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
