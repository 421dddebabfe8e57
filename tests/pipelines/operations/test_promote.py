"""Promoting, between two real studies under one registered name: what is compared, what moves, what is written down."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from mlflow import MlflowClient
from small_studies import study_of, write_mixed_csv

from pipelines.data.prepared_folder import load_summary
from pipelines.export.compare_models import ModelComparison
from pipelines.operations import export, predict, promote
from pipelines.operations.promote import promote_trial
from pipelines.operations.run import supervise
from pipelines.selection.model_locations import locate_refit
from pipelines.selection.refit import RefitComparison
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, KerastudyError
from tracking.mlflow import urls
from tracking.mlflow.promotion import KnownVersion, RefusedError, Registry
from tracking.store.database import Store
from tracking.store.model_digests import ModelDigests

STUDY = """
study: {name}
data: {{source: mixed.csv, target: bought, split: {{validation: 0.25, test: 0.2, seed: 1}}}}
model: mlp
space: {{depth: 1, units: [8, 16], batch_size: 16, epochs: {epochs}, learning_rate: {rate}}}
objective: {{metric: val_loss}}
search: {{sampler: random, pruner: none}}
budget: {{trials: 2}}
resources: {{workers: 1}}
export: {{register: shop}}
selection: {{refit: {refit}}}
"""


@pytest.fixture(scope="module", autouse=True)
def _no_server_of_the_environment():
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home where `weak` was registered as version 1 and `strong`, trained on its validation rows too, as 2."""
    folder = tmp_path_factory.mktemp("promotion")
    write_mixed_csv(folder / "mixed.csv", rows=300)
    made = Home(folder / "home", str(folder / "home"))
    for name, epochs, rate, refit in (("weak", 1, 1e-6, "false"), ("strong", 8, 0.03, "true")):
        text = STUDY.format(name=name, epochs=epochs, rate=rate, refit=refit)
        with pytest.MonkeyPatch.context() as patched, supervise(study_of(text, folder), made) as supervisor:
            # A refit whatever its scores: some hundred rows decide that by chance.
            patched.setattr(RefitComparison, "is_established", True)
            patched.setattr(RefitComparison, "find_defect", lambda self, value: "")
            *_, ended = supervisor.run()
        assert (ended.state, ended.undelivered) == ("finished", 0)
    return made


@pytest.fixture
def client(home):
    """MLflow, where `weak` is the champion and `strong` the challenger."""
    made = MlflowClient(urls.resolve_tracking_uri(home.folder, {}))
    for alias, version in (("champion", "1"), ("challenger", "2")):
        made.set_registered_model_alias("shop", alias, version)
    made.delete_registered_model_alias("shop", "other")
    return made


def aliases(client):
    return {alias: str(version) for alias, version in client.get_registered_model("shop").aliases.items()}


def everything(client):
    """Return what MLflow has of the registered model, but for times."""
    versions = client.search_model_versions("name = 'shop'")
    return aliases(client), [(each.version, each.tags, each.description) for each in versions]


@pytest.mark.long
def test_a_better_model_gets_the_alias_and_the_reason_is_kept(home, client):
    """Both are scored on the test rows; tags of the version name the other version, the time and the scores."""
    done = promote_trial(home, "strong", None, None, force=False)
    compared = done.comparison
    assert (done.is_promoted, done.version, done.alias, done.notes) == (True, "2", "champion", ())
    assert (compared.part, compared.rows, compared.metric, compared.direction) == ("test", 60, "loss", "minimize")
    assert compared.scores["loss"] < compared.rival_scores["loss"]
    assert set(compared.scores) == set(compared.rival_scores) == {"loss", "accuracy", "auc"}
    test = json.loads((Path(locate_refit(home, "strong", done.trial).folder) / "test.json").read_text())
    assert compared.scores["accuracy"] == pytest.approx(test["test_accuracy"])
    assert aliases(client) == {"champion": "2"}
    version = client.get_model_version("shop", "2")
    assert json.loads(version.tags["kerastudy.comparison"])["rival_scores"] == compared.rival_scores
    assert version.tags["kerastudy.promoted_over"] == "1"
    assert version.tags["kerastudy.promoted_at"] in version.description
    assert f"Promoted to champion: loss {compared.scores['loss']:.6g} is at least as good as" in version.description
    again = promote_trial(home, "strong", None, None, force=False)
    assert (again.is_promoted, again.comparison) == (True, None)
    assert again.reason == f"version 2 (trial {done.trial} of study strong) has models:/shop@champion already"


def test_a_worse_model_changes_nothing_unless_forced(home, client):
    """The alias stays and the reason names the way on; by force it moves, and a tag states that."""
    client.set_registered_model_alias("shop", "champion", "2")
    before = everything(client)
    done = promote_trial(home, "weak", None, None, force=False)
    assert (done.is_promoted, everything(client)) == (False, before)
    assert " is worse than the " in done.reason
    assert done.reason.endswith("Name another --trial, or promote with --force")
    forced = promote_trial(home, "weak", None, None, force=True)
    assert (forced.is_promoted, aliases(client)["champion"]) == (True, "1")
    assert "by force, though loss" in client.get_model_version("shop", "1").description


def test_a_trial_that_is_no_version_becomes_one(home, client):
    """It is compared first, then registered with its run and its model; a second time it is the same version."""
    before = len(client.search_model_versions("name = 'shop'"))
    other = 1 - promote_trial(home, "strong", None, "other", force=True).trial
    done = promote_trial(home, "strong", other, "other", force=True)
    version = client.get_model_version_by_alias("shop", "other")
    assert (done.version, version.tags["study"], version.tags["trial"]) == (str(version.version), "strong", str(other))
    assert client.get_run(version.run_id).data.tags["number"] == str(other)
    promote_trial(home, "strong", other, "champion", force=True)
    assert len(client.search_model_versions("name = 'shop'")) == before + 1


@pytest.mark.parametrize("content", [b"no archive", None])
def test_a_holder_that_cannot_be_asked_is_said_to_be_so(home, client, tmp_path, content):
    """A file of anybody's that Keras refuses, or that is gone: nothing moves but by force."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {python_function: {loader_module: nobody}}\n")
    if content is not None:
        (folder / "data").mkdir()
        (folder / "data" / "model.keras").write_bytes(content)
    foreign = str(client.create_model_version("shop", source=folder.as_uri(), await_creation_for=0).version)
    client.set_registered_model_alias("shop", "champion", foreign)
    done = promote_trial(home, "strong", None, None, force=False)
    message = (
        "it cannot be loaded here, or does not predict: ValueError" if content else "it has no file data/model.keras"
    )
    assert message in done.reason and f"version {foreign} cannot be compared" in done.reason
    assert (done.is_promoted, aliases(client)["champion"]) == (False, foreign)
    assert promote_trial(home, "strong", None, None, force=True).is_promoted
    shutil.rmtree(folder)
    client.delete_model_version("shop", foreign)


@pytest.mark.parametrize("alias", ["../../etc", "a/b", "latest", "V2", "", "a b", "x" * 101])
def test_an_alias_that_mlflow_refuses(home, client, alias):
    """It is refused before anything is done."""
    before = everything(client)
    with pytest.raises(InputError, match=r"^alias: expected an alias of up to 100 letters"):
        promote_trial(home, "strong", None, alias, force=True)
    assert everything(client) == before


def test_mlflow_that_is_away_is_said_to_be_so(home, monkeypatch):
    """No model is loaded, and the address is named."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(promote, "LocalEngine", None)
    with pytest.raises(KerastudyError, match=r"^MLflow at http://127.0.0.1:9 does not answer, so nothing was promoted"):
        promote_trial(home, "strong", None, None, force=False)


def test_an_alias_that_moved_meanwhile_is_left_alone(home, client):
    """A comparison with another version does not allow the promotion."""
    registry = Registry(urls.resolve_tracking_uri(home.folder, {}), "")
    ours, before = registry.find_alias_version("shop", "challenger"), everything(client)
    with pytest.raises(KerastudyError, match=r"^version 1 .* has the alias champion of shop by now: promote again"):
        registry.move_alias(ours, "champion", ours, "{}", "words")
    assert everything(client) == before


def locate_in_mlflow(client, number):
    """Return the folder of a version's files in MLflow."""
    version = client.get_model_version("shop", number)
    location = client.get_logged_model(version.model_id or version.source.rpartition("/")[2]).artifact_location
    return Path(url2pathname(urlsplit(location).path))


@pytest.fixture
def change(client):
    """Change a file of a folder, or add one; all are restored in the end."""
    kept = {}

    def write(file):
        kept[file] = file.read_bytes() if file.exists() else None
        file.write_bytes(b"other")

    yield write
    for file, content in kept.items():
        file.unlink() if content is None else file.write_bytes(content)


def test_a_changed_model_in_mlflow_is_not_loaded(home, client, change, monkeypatch):
    """The error names the files; nothing is loaded, and nothing in MLflow is changed."""
    monkeypatch.setattr(promote, "LocalEngine", None)
    before, own = everything(client), locate_in_mlflow(client, "2")
    change(own / "code" / "kerastudy_pyfunc" / "__init__.py")
    change(own / "code" / "json.py")
    with pytest.raises(RefusedError) as refused:
        promote_trial(home, "strong", None, None, force=True)
    assert "the files of shop, version 2, in MLflow are not those that kerastudy registered" in str(refused.value)
    assert "(changed: code/kerastudy_pyfunc/__init__.py; added: code/json.py)" in str(refused.value)
    assert everything(client) == before


def test_a_changed_holder_is_not_compared(home, client, change, tmp_path):
    """It is downloaded and not loaded; a person may still promote over it."""
    change(locate_in_mlflow(client, "1") / "data" / "model.keras")
    with Store.open(home.store) as store:
        registry = Registry(urls.resolve_tracking_uri(home.folder, {}), store.identity, ModelDigests(store))
    with pytest.raises(RefusedError, match=r"version 1, in MLflow .*\(changed: data/model.keras\)"):
        registry.fetch(registry.find_alias_version("shop", "champion"), tmp_path / "files")


def test_a_changed_model_in_the_home_is_not_loaded(home, change, tmp_path, monkeypatch):
    """Neither promoted nor exported nor used for predictions."""
    for module in (promote, export, predict):
        monkeypatch.setattr(module, "LocalEngine", None)
    with promote.StudyReader.open(home) as reader:
        number = reader.find_best_trial("strong").trial.number
    change(Path(locate_refit(home, "strong", number).folder) / "model.keras")
    expected = r"are not those that were registered, so it is not loaded \(changed: model.keras\)"
    with pytest.raises(KerastudyError, match=expected):
        promote_trial(home, "strong", None, None, force=True)
    with pytest.raises(KerastudyError, match=expected):
        export.export_study(home, "strong", None, ["keras"], tmp_path / "model")
    with pytest.raises(KerastudyError, match=expected):
        predict.predict_file(home, "strong", home.folder.parent / "mixed.csv", tmp_path / "predictions.csv")


def test_what_a_reader_of_a_comparison_must_know(home):
    """Validation rows, other data, and another metric than the study's are named in notes."""
    shown = ModelComparison("validation", 9, "accuracy", "maximize", {"accuracy": 0.5}, {"accuracy": 0.5})
    with promote.StudyReader.open(home) as reader:
        best, study = reader.find_best_trial("strong"), reader.load_study("strong")
    summary = load_summary(home.locate_data("strong"))
    candidate = promote._Candidate(home, study, best.trial, best.metric, summary)
    assert candidate.model == locate_refit(home, "strong", best.trial.number)
    holder = KnownVersion("shop", "7", "weak", "0", "another digest")
    assert list(promote._list_notes(candidate, shown, holder)) == [
        "strong has no test part: these are the validation rows that its search used",
        f"the model of trial {best.trial.number} was trained on these rows too",
        "val_loss cannot be computed from predictions: accuracy decides",
        "version 7 was trained on other data, or split otherwise: it may have seen some of these rows",
    ]
    same = replace(holder, dataset=load_summary(home.locate_data("strong")).digest)
    assert len(list(promote._list_notes(candidate, shown, same))) == 3
    unknown = replace(holder, dataset="")
    assert "trained on data that is not known here" in list(promote._list_notes(candidate, shown, unknown))[3]
