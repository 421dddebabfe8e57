"""OptunaOracle in a KerasTuner tuner: Optuna's values, pruning, MLflow, and a search that goes on."""

from __future__ import annotations

import math
import shutil

import keras
import keras_tuner
import numpy as np
import optuna
import pytest
from mlflow import MlflowClient

from pipelines.integrations.keras_tuner_oracle import OptunaOracle
from pipelines.operations.replay.replay import replay
from pipelines.queries.study_reader import StudyReader
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.mlflow import urls
from tracking.store.database import Store
from tracking.store.study_queue import StudyBusyError

pytestmark = [
    # KerasTuner 1.4 calls methods of `threading` that Python deprecates.
    pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning"),
    # TensorBoard, which KerasTuner imports, still imports pkg_resources and old NumPy names.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard.*"),
]
X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def build(hp):
    """Two architectures; the one with a layer has a parameter more."""
    model = keras.Sequential([keras.Input((4,))])
    kind = hp.Choice("kind", ["plain", "layered"])
    with hp.conditional_scope("kind", ["layered"]):
        if kind == "layered":
            model.add(keras.layers.Dense(hp.Int("units", 4, 16), activation="relu"))
    model.add(keras.layers.Dense(1))
    # Eagerly: these trainings are shorter than the making of a graph.
    model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-4, 1e-1, sampling="log")), "mse", run_eagerly=True)
    return model


class Draws(keras_tuner.Tuner):
    """Tuner without models: its trials only draw, and their score is the sum of the numbers."""

    def run_trial(self, trial, *args, **kwargs):
        hp = trial.hyperparameters
        kind = hp.Choice("kind", ["flat", "deep"])
        return float(hp.Int("units", 2, 6, step=2) if kind == "deep" else 1)


@pytest.fixture
def tuner(tmp_path):
    """Return a function that makes a tuner on the same study and project."""
    oracles = []

    def make(
        max_trials=3, hypermodel=build, project="project", objective="val_loss", of_tuner=None, kind=None, **options
    ):
        settings = {"study": "it", "home": str(tmp_path / "home"), "pruner": "none", "startup_trials": 2, "seed": 3}
        oracle = OptunaOracle(objective, max_trials, **{**settings, "epochs": 4, **options})
        oracles.append(oracle)
        kind, more = kind or (keras_tuner.Tuner if hypermodel else Draws), of_tuner or {}
        return kind(oracle=oracle, hypermodel=hypermodel, directory=tmp_path, project_name=project, **more)

    yield make
    for oracle in oracles:
        oracle.close()


def search(tuner, epochs=2):
    tuner.search(X, Y, epochs=epochs, validation_data=(X, Y), verbose=0)
    return list(tuner.oracle.trials.values())


def optuna_study(tmp_path):
    with Store.open(tmp_path / "home") as store:
        return optuna.load_study(study_name="keras_tuner/it", storage=store.open_optuna_storage())


def runs(tmp_path):
    client = MlflowClient(urls.make_home_tracking_uri(Home.find(str(tmp_path / "home")).folder))
    return client, client.search_runs([client.get_experiment_by_name("it").experiment_id])


@pytest.mark.long
def test_one_line_gives_optuna_and_mlflow(tuner, tmp_path):
    """Each trial is one of Optuna's with active parameters alone, and one run of MLflow's with every epoch."""
    mine = tuner()
    trials = search(mine)
    study = optuna_study(tmp_path)
    assert [trial.params for trial in study.trials] == [trial.hyperparameters.values for trial in trials]
    assert [trial.value for trial in study.trials] == [trial.score for trial in trials]
    assert all(("units" in t.params) == (t.params["kind"] == "layered") for t in study.trials)
    client, found = runs(tmp_path)
    children = {int(run.data.tags["number"]): run for run in found if "number" in run.data.tags}
    assert {number: run.data.params for number, run in children.items()} == {
        trial.number: {name: str(value) for name, value in trial.params.items()} for trial in study.trials
    }
    history = client.get_metric_history(children[0].info.run_id, "val_loss")
    assert [point.step for point in history] == [1, 2]
    (parent,) = (run for run in found if "number" not in run.data.tags)
    assert parent.data.metrics["best_val_loss"] == pytest.approx(min(trial.score for trial in trials))
    assert mine.get_best_models()[0].evaluate(X, Y, verbose=0) == pytest.approx(min(t.score for t in trials), rel=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("loses_files", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_search_goes_on(tuner, tmp_path, loses_files):
    """More trials go on with the same study, whether or not KerasTuner's files are still there."""
    first = [trial.hyperparameters.values for trial in search(tuner(max_trials=2))]
    if loses_files:
        shutil.rmtree(tmp_path / "project")
    trials = search(tuner(max_trials=4))
    assert [trial.hyperparameters.values for trial in trials][:2] == first
    assert len(trials) == len(optuna_study(tmp_path).trials) == 4
    assert all(trial.status == "COMPLETED" for trial in trials)


@pytest.mark.slow
def test_files_that_are_behind(tuner, tmp_path):
    """KerasTuner's files of a moment when a trial ran, put back later, do not make it run that trial again."""

    class Copies(keras_tuner.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            shutil.copytree(tmp_path / "project", tmp_path / "copy", dirs_exist_ok=True)
            return model.fit(*args, **kwargs)

    first = [trial.hyperparameters.values for trial in search(tuner(max_trials=2, hypermodel=Copies()))]
    shutil.rmtree(tmp_path / "project")
    (tmp_path / "copy").rename(tmp_path / "project")
    trials = search(tuner(max_trials=3))
    assert [trial.hyperparameters.values for trial in trials][:2] == first
    assert len(trials) == len(optuna_study(tmp_path).trials) == 3


@pytest.mark.long
@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_trial_that_was_cut_off(tuner, tmp_path, number):
    """It is run again under its number with the values that it had, and none is lost or added."""

    class Killed(BaseException):
        pass

    class Dies(keras_tuner.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            started.append(dict(hp.values))
            if len(started) > number:
                raise Killed
            return model.fit(*args, **kwargs)

    started = []
    with pytest.raises(Killed):
        search(tuner(max_trials=3, hypermodel=Dies()))
    trials = search(tuner(max_trials=3))
    assert len(optuna_study(tmp_path).trials) == 3
    assert [trial.hyperparameters.values for trial in trials][: number + 1] == started
    assert [trial.status for trial in trials] == ["COMPLETED"] * 3


def keras_tuner_model(function):
    """Return a hypermodel whose first build, which KerasTuner makes to know the space, is an ordinary one."""

    class Model(keras_tuner.HyperModel):
        def __init__(self):
            super().__init__()
            self.builds = 0

        def build(self, hp):
            self.builds += 1
            return build(hp) if self.builds <= 2 else function(hp)

    return Model()


@pytest.mark.slow
def test_bad_trials_are_pruned(tuner, tmp_path):
    """A trial that falls behind ends early as pruned, is no failure to KerasTuner, and never the best."""

    def worse_and_worse(hp):
        model = build(hp)
        model.compile(keras.optimizers.SGD(hp.Fixed("fixed", 0.0) or 10.0 ** -hp.Int("slow", 1, 6)), "mse")
        return model

    mine = tuner(8, worse_and_worse, pruner="median", startup_trials=1)
    trials = search(mine, epochs=4)
    states = [trial.state.name for trial in optuna_study(tmp_path).trials]
    assert "PRUNED" in states
    assert set(states) == {"PRUNED", "COMPLETE"}
    assert [trial.status == "COMPLETED" for trial in trials] == [state == "COMPLETE" for state in states]
    assert mine.oracle.get_best_trials()[0].status == "COMPLETED"
    tags = {run.data.tags["kerastudy.state"] for run in runs(tmp_path)[1] if "number" in run.data.tags}
    assert tags == {"pruned", "complete"}


@pytest.mark.long
def test_failed_trials(tuner, tmp_path):
    """A trial whose code raises fails in Optuna too; three in a row end the search, as KerasTuner has it."""

    def fails(hp):
        raise keras_tuner.errors.FailedTrialError("too large")

    with pytest.raises(RuntimeError, match=r"(?s)^3 trials in a row failed, the last one with:.*too large"):
        search(tuner(9, keras_tuner_model(fails)))
    assert [trial.state.name for trial in optuna_study(tmp_path).trials] == ["FAIL"] * 3


@pytest.mark.long
def test_a_score_that_is_not_finite_fails(tuner, tmp_path):
    """Optuna would take -inf for the best value there can be."""

    class Infinite(keras_tuner.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            return -math.inf

    with pytest.raises(RuntimeError, match="in a row failed"):
        search(tuner(9, Infinite()))
    assert {trial.state.name for trial in optuna_study(tmp_path).trials} == {"FAIL"}


@pytest.mark.long
def test_new_entries(tuner, tmp_path):
    """A request of training alone is searched from the first one on; with `tune_new_entries` off it is not."""

    class TunedFit(keras_tuner.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, batch_size=hp.Choice("batch_size", [16, 32]), **kwargs)

    search(tuner(2, TunedFit()))
    assert all("batch_size" in trial.params for trial in optuna_study(tmp_path).trials)
    known = keras_tuner.HyperParameters()
    known.Float("rate", 1e-3, 1e-2)
    fixed = search(tuner(2, TunedFit(), project="other", study="other", hyperparameters=known, tune_new_entries=False))
    assert [{**trial.hyperparameters.values, "rate": 0} for trial in fixed] == [
        {"rate": 0, "kind": "plain", "batch_size": 16}
    ] * 2
    assert all(1e-3 <= trial.hyperparameters.values["rate"] <= 1e-2 for trial in fixed)


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_no_combination_is_tried_twice(tuner, capsys, tmp_path, sampler):
    """The search ends when every combination was tried, also of hyperparameters that only trials show."""
    trials = search(tuner(20, None, objective=None, sampler=sampler))
    points = [tuple(trial.hyperparameters.values.items()) for trial in trials]
    # What the code requests under a plain condition KerasTuner knows without one, and so draws it for each kind.
    assert len(points) == len(set(points))
    assert {value for point in points for name, value in point if name == "units"} == {2, 4, 6}
    assert f"it: every combination was tried, in {len(points)} trials" in capsys.readouterr().out
    with StudyReader.open(Home.find(str(tmp_path / "home"))) as reader:
        assert [row.state for row in reader.list_studies()] == ["finished"]


def test_new_code_opens_an_exhausted_space(tuner, tmp_path):
    """A hyperparameter that the code requests since then is searched, although all of the old ones were tried."""

    class More(Draws):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.oracle.hyperparameters.Boolean("more")

    assert len(search(tuner(20, None, objective=None))) < 20
    shutil.rmtree(tmp_path / "project")
    trials = search(tuner(20, None, objective=None, kind=More))
    assert {trial.hyperparameters.values.get("more") for trial in trials} == {None, False, True}


@pytest.mark.long
@pytest.mark.parametrize("loses_files", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_overwriting_begins_anew(tuner, tmp_path, capsys, loses_files):
    """`overwrite=True` gives a tuner trials of its own, and their models; the earlier trials keep their numbers."""
    search(tuner(max_trials=2))
    if loses_files:
        shutil.rmtree(tmp_path / "project")
    mine = tuner(max_trials=2, of_tuner={"overwrite": True})
    assert "study it begins anew; the runs of its 2 trials so far stay in MLflow" in capsys.readouterr().out
    assert mine.oracle.trials == {}
    trials = search(mine)
    assert [trial.trial_id for trial in trials] == ["0", "1"]
    assert mine.get_best_models()[0].evaluate(X, Y, verbose=0) == pytest.approx(min(t.score for t in trials), rel=1e-4)
    assert {int(run.data.tags["number"]) for run in runs(tmp_path)[1] if "number" in run.data.tags} == {0, 1, 2, 3}
    with StudyReader.open(Home.find(str(tmp_path / "home"))) as reader:
        assert [each.number for each in reader.list_trials("keras_tuner/it")] == [2, 3]
    # Without it the search goes on, with more trials and longer ids beside the old ones.
    again = tuner(max_trials=11)
    assert [trial.hyperparameters.values for trial in again.oracle.trials.values()] == [
        trial.hyperparameters.values for trial in trials
    ]
    assert len(again.get_best_models(2)) == 2


def test_models_that_are_elsewhere_are_named(tuner, tmp_path, capsys):
    """A search that goes on without KerasTuner's files says so before it asks for models that are not there."""
    search(tuner(max_trials=2, hypermodel=None, objective=None))
    shutil.rmtree(tmp_path / "project")
    tuner(max_trials=3, hypermodel=None, objective=None)
    assert "study it goes on after 2 trials, whose models are not in" in capsys.readouterr().out


@pytest.mark.long
def test_trials_are_trained_several_times_and_retried(tuner, tmp_path):
    """`executions_per_trial` scores by the mean and `max_retries_per_trial` tries a trial again under its number."""
    calls = []

    class Fails(keras_tuner.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            calls.append(dict(hp.values))
            if len(calls) == 1:
                raise ValueError("once")
            return {"val_loss": float(len(calls))}

    mine = tuner(2, Fails(), max_retries_per_trial=1, of_tuner={"executions_per_trial": 2})
    first, second = search(mine)
    assert (first.score, second.score) == (2.5, 4.5)
    assert calls[0] == calls[1] == calls[2] == first.hyperparameters.values
    assert [trial.state.name for trial in optuna_study(tmp_path).trials] == ["COMPLETE", "COMPLETE"]


@pytest.mark.long
def test_it_is_listed_like_other_studies(tuner, tmp_path):
    """`list`, `show`, `trials` and `best` know it as keras_tuner/<name>; its models are the tuner's."""
    trials = search(tuner(max_trials=2))
    with StudyReader.open(Home.find(str(tmp_path / "home"))) as reader:
        (row,) = reader.list_studies()
        best = min(trials, key=lambda trial: trial.score)
        assert (row.name, row.state, row.trials, row.budget) == ("keras_tuner/it", "finished", 2, 2)
        assert (row.metric, row.best, row.best_trial) == ("val_loss", best.score, int(best.trial_id))
        view = reader.read_study(row.name)
        assert (view.direction, view.trials, view.waiting_for_mlflow) == ("minimize", {"complete": 2}, 0)
        assert [each.params for each in reader.list_trials(row.name)] == [
            trial.hyperparameters.values for trial in trials
        ]
        assert reader.find_best_trial(row.name).trial.params == best.hyperparameters.values
        with pytest.raises(InputError, match="get_best_models"):
            reader.load_study(row.name)
    with pytest.raises(InputError, match="get_best_models"):
        replay(Home.find(str(tmp_path / "home")), row.name, 0)


def test_one_process_searches_it(tuner, tmp_path, monkeypatch):
    """While a process searches a study, another one is refused; it can go on once that has ended or died."""
    mine = tuner(max_trials=2)
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.integrations.oracle_records.identify_process", lambda: "another/1/2/3")
        with pytest.raises(StudyBusyError, match='study "keras_tuner/it" is being worked on by process'):
            tuner(max_trials=2)
    tuner(max_trials=2).oracle.close()  # a cell that is run again
    mine.oracle.close()
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.integrations.oracle_records.identify_process", lambda: "another/1/2/3")
        tuner(max_trials=2).oracle.close()
    with StudyReader.open(Home.find(str(tmp_path / "home"))) as reader:
        assert [row.state for row in reader.list_studies()] == ["paused"]


def test_another_objective_is_refused(tuner):
    """Scores of two metrics are not mixed in one study."""
    tuner().oracle.close()
    with pytest.raises(InputError, match="was started to minimize val_loss, and not to maximize val_accuracy"):
        tuner(objective="val_accuracy")


def test_distributed_tuning_is_refused(tmp_path, monkeypatch):
    """Oracles that many processes share are left to KerasTuner."""
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(InputError, match="one tuner in one process"):
        OptunaOracle("val_loss", study="it", home=str(tmp_path / "home"))
