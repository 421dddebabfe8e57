"""Logged models, registered versions and their aliases, on a real MLflow database."""

from dataclasses import replace

import mlflow
from projected import deliver, list_runs, read_picture

from tracking.outbox.records import ModelDisplaced, StudyClosed, TrialFinished, TrialStarted

NOON = 1_750_000_000_000


def test_models_are_named_as_their_run(projection, client, name, a_study, keras_file):
    """The best trials' models are logged, finished, linked with their run, and carry its scores once."""
    deliver(projection, a_study(name, models={0: keras_file, 1: keras_file}))
    parent, children = list_runs(client, name)
    models = {model.name: model for model in client.search_logged_models([parent.info.experiment_id])}
    plain = name.replace(".", "-")
    assert set(models) == {f"{plain}-t000", f"{plain}-t001"}
    model = models[f"{plain}-t001"]
    assert (model.status.name, model.source_run_id) == ("READY", children[1].info.run_id)
    assert [output.model_id for output in children[1].outputs.model_outputs] == [model.model_id]
    assert model.params == children[1].data.params
    assert {metric.key: metric.value for metric in model.metrics} == {"best_val_accuracy": 0.8, "best_epoch": 1}
    assert len(client.get_metric_history(children[1].info.run_id, "best_val_accuracy")) == 1
    description = mlflow.models.Model.load(model.artifact_location.removeprefix("file://"))
    assert (description.model_id, description.run_id) == (model.model_id, children[1].info.run_id)


def test_a_displaced_model_goes(projection, client, name, a_study, keras_file, home):
    """A model that fell out of the best is deleted with its files; the run stays; twice is no error."""
    records = a_study(name, models={0: keras_file, 1: keras_file})
    displaced = ModelDisplaced(name, 0)
    deliver(projection, [*records[:-1], displaced, displaced, records[-1]])
    parent, children = list_runs(client, name)
    left = client.search_logged_models([parent.info.experiment_id])
    assert [model.source_run_id for model in left] == [children[1].info.run_id]
    assert len(list((home / "artifacts" / f"{name}-experiment" / "models").iterdir())) == 1


def test_a_model_that_was_registered_stays(projection, client, name, a_study, keras_file):
    """A version can be loaded as long as it is there, also when its trial is no longer among the best."""
    deliver(projection, a_study(name, models={1: keras_file}, register=f"{name}-model"))
    deliver(projection, [ModelDisplaced(name, 1)])
    version = client.get_model_version_by_alias(f"{name}-model", "champion")
    [model] = client.search_logged_models([list_runs(client, name)[0].info.experiment_id])
    assert version.source == f"models:/{model.model_id}"
    assert client.list_logged_model_artifacts(model.model_id)


def test_the_winner_is_registered(projection, client, name, a_study, keras_file):
    """The winner becomes a version with the alias, tags, and links to its run and model, and back."""
    deliver(projection, a_study(name, models={1: keras_file}, register=f"{name}-model"))
    parent, children = list_runs(client, name)
    version = client.get_model_version_by_alias(f"{name}-model", "champion")
    (model,) = client.search_logged_models([parent.info.experiment_id])
    assert (version.run_id, version.source) == (children[1].info.run_id, f"models:/{model.model_id}")
    assert (version.tags["study"], version.tags["trial"], version.tags["value"]) == (name, "1", "0.8")
    assert f'"name": "{name}-model"' in model.tags["mlflow.modelVersions"]
    assert f"version {version.version}" in parent.data.tags["mlflow.note.content"]


def test_a_study_that_goes_on_registers_its_new_winner(projection, client, name, a_study, keras_file):
    """A later, better winner is a new version and takes the alias over."""
    records = a_study(name, models={0: keras_file, 1: keras_file}, register=f"{name}-model")
    earlier = StudyClosed(name, "finished", "", NOON + 9, 0, 0.5, {}, "", f"{name}-model", "champion")
    deliver(projection, [*records[:5], earlier, records[0], *records[5:]])
    _, children = list_runs(client, name)
    assert len(client.search_model_versions(f"name = '{name}-model'")) == 2
    assert client.get_model_version_by_alias(f"{name}-model", "champion").run_id == children[1].info.run_id


def test_a_further_refit_is_a_further_version(projection, client, name, a_study, keras_file):
    """A study that goes on may refit its winner for other epochs: that model is logged and gets the alias."""
    opened, *records, _ = a_study(name)
    started = TrialStarted(name, 1, {}, NOON, retraining="refit")
    refit = TrialFinished(
        name, 1, "complete", 0.8, {"best_epoch": 1.0}, "", NOON + 8, "", model=str(keras_file), retraining="refit"
    )
    closed = StudyClosed(
        name, "finished", "", NOON + 9, 1, 0.8, {}, "", f"{name}-model", "champion", retraining="refit"
    )
    deliver(projection, [opened, *records, started, refit, closed])
    displaced = ModelDisplaced(name, 1, "refit")
    deliver(projection, [opened, displaced, displaced, started, refit, replace(closed, finished_ms=NOON + 99)])
    versions = {each.version: each.source for each in client.search_model_versions(f"name = '{name}-model'")}
    assert len(set(versions.values())) == len(versions) == 2
    champion = client.get_model_version_by_alias(f"{name}-model", "champion")
    assert champion.version == max(versions)
    deliver(projection, [replace(closed, finished_ms=NOON + 99)])
    assert len(client.search_model_versions(f"name = '{name}-model'")) == 2


def test_an_alias_of_another_study_stays(projection, client, name, a_study, keras_file):
    """Of two studies under one name the first keeps the alias; the other's winner is the challenger."""
    first, second = (a_study(f"{name}{part}", models={1: keras_file}, register=f"{name}-model") for part in "ab")
    deliver(projection, [*first, *second])
    before = aliases_of(client, f"{name}-model")
    assert before == {"champion": (f"{name}a", "1"), "challenger": (f"{name}b", "1")}
    parent, _ = list_runs(client, f"{name}b")
    assert "version 2](" in parent.data.tags["mlflow.note.content"]
    assert parent.data.tags["mlflow.note.content"].endswith("(challenger)")
    noted = read_picture(client, f"{name}b")
    deliver(projection, [second[-1], first[-1], second[-1]])
    assert (aliases_of(client, f"{name}-model"), read_picture(client, f"{name}b")) == (before, noted)


def test_an_end_that_is_told_again_takes_no_alias_back(projection, client, name, a_study, keras_file):
    """A change of aliases by hand after a study's end stays after another delivery; a later end counts."""
    first, second = (a_study(f"{name}{part}", models={0: keras_file, 1: keras_file}, register="own") for part in "ab")
    deliver(projection, [*first, *second])
    client.set_registered_model_alias("own", "champion", "2")
    client.delete_registered_model_alias("own", "challenger")
    deliver(projection, [first[-1], second[-1]])
    assert aliases_of(client, "own") == {"champion": (f"{name}b", "1")}
    deliver(projection, [replace(first[-1], finished_ms=first[-1].finished_ms + 1, winner=0)])
    assert aliases_of(client, "own") == {"champion": (f"{name}b", "1"), "challenger": (f"{name}a", "0")}
    deliver(projection, [replace(second[-1], finished_ms=second[-1].finished_ms + 1, winner=0)])
    assert aliases_of(client, "own")["champion"] == (f"{name}b", "0")


def test_a_refitted_winner_is_its_studys_own(projection, client, name, a_study, keras_file):
    """The key of a retraining is longer than a trial's; its study still moves its alias to it."""
    first = a_study(name, models={1: keras_file}, register=f"{name}-model")
    deliver(projection, first)
    again = TrialStarted(name, 1, {}, NOON + 70_000, retraining="refit")
    model = TrialFinished(name, 1, "complete", 0.9, {}, "", NOON + 80_000, "", keras_file, retraining="refit")
    deliver(projection, [again, model, replace(first[-1], retraining="refit", finished_ms=NOON + 90_000)])
    version = client.get_model_version_by_alias(f"{name}-model", "champion")
    assert (str(version.version), version.tags["kerastudy.key"]) == ("2", f"{name}/1/refit")


def aliases_of(client, model):
    """Return which study's trial holds each alias of a registered model."""
    held = client.get_registered_model(model).aliases
    versions = {alias: client.get_model_version(model, number) for alias, number in held.items()}
    return {alias: (version.tags["study"], version.tags["trial"]) for alias, version in versions.items()}
