"""Models in MLflow: a logged model for each of the best trials, a registered version for the winner.

A logged model has the name of its run and is found by the tag `kerastudy.key`, so logging one twice gives one.

Several studies may register under one name. The first of them gets the alias, and so do its later winners; the winner
of another study is `challenger` until it is promoted (see `promotion`). Each end of a study sets its alias once: a tag
of the version holds the time of that end, so that an end that is delivered again moves no alias back.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow.entities import LoggedModelOutput
from mlflow.entities.logged_model_status import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from tracking.mlflow.client import set_default
from tracking.mlflow.model_folder import write_model_folder
from tracking.mlflow.names import CHALLENGER
from tracking.store.model_digests import compute_digests
from tracking.testing.failpoints import hit

if TYPE_CHECKING:
    from mlflow import MlflowClient

FilesRecorder = Callable[[str, Mapping[str, str]], None]
"""Function that records the digests of the files of a logged model, by the model's id."""

KEY_TAG: Final = "kerastudy.key"
_ALIAS_SET_TAG: Final = "kerastudy.alias_set_for"
# MLflow adds it to the files of a version that it downloads.
_DOWNLOAD_NOTE: Final = "registered_model_meta"
_VERSIONS_TAG: Final = "mlflow.modelVersions"


@dataclass(frozen=True)
class TrialRun:
    """Run of one trial; `artifacts` is the URI of its artifact folder."""

    experiment_id: str
    run_id: str
    name: str
    key: str
    artifacts: str


@dataclass(frozen=True)
class Registration:
    """Name of a registered model, with tags and description of a new version."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model; `alias` is the one that its study's end set, "" if none."""

    name: str
    version: str
    alias: str = ""


def log_trial_model(client: MlflowClient, run: TrialRun, saved: Path, record_files: FilesRecorder) -> str:
    """Log a trial's model and return its identifier; a run that has ended keeps its status and its times.

    Args:
        client: MLflow's client.
        run: the trial's run, whose name the model gets.
        saved: the folder of an MLflow model (see `tracking.mlflow.model_folder`), or a `.keras` file to make one of.
        record_files: called before the model's files are uploaded.
    """
    recorded = client.get_run(run.run_id)
    model = find_trial_model(client, run.experiment_id, run.key)
    if model is not None and model.source_run_id != run.run_id:  # its run was deleted
        _delete(client, model)
        model = None
    if model is None:
        model = client.create_logged_model(
            run.experiment_id,
            # MLflow refuses these characters in a logged model's name, but not in a run's.
            name=re.sub(r"[/:.%\"']", "-", run.name),
            source_run_id=run.run_id,
            tags={KEY_TAG: run.key},
            params=recorded.data.params,
            model_type="keras",
        )
    hit("model-created")
    # READY comes last, so an upload that a kill interrupted is repeated.
    if model.status != LoggedModelStatus.READY:
        _upload(client, model.model_id, run.run_id, saved, record_files)
        client.finalize_logged_model(model.model_id, "READY")
    linked = recorded.outputs.model_outputs if recorded.outputs else []
    if model.model_id not in {output.model_id for output in linked}:
        client.log_outputs(run.run_id, [LoggedModelOutput(model.model_id, step=0)])
    hit("model-logged")
    return str(model.model_id)


def delete_trial_model(client: MlflowClient, experiment_id: str, key: str) -> None:
    """Delete a trial's logged model, and its files where they are on this machine; a registered one stays."""
    model = find_trial_model(client, experiment_id, key)
    if model is not None and not json.loads(model.tags.get(_VERSIONS_TAG, "[]")):
        _delete(client, model)


def release_key(client: MlflowClient, experiment_id: str, key: str) -> None:
    """Delete a retraining's logged model, which another one replaces; a registered one stays, under another key."""
    model = find_trial_model(client, experiment_id, key)
    if model is None:
        return
    if json.loads(model.tags.get(_VERSIONS_TAG, "[]")):
        client.set_logged_model_tags(model.model_id, {KEY_TAG: f"{key}/{model.model_id}"})
    else:
        _delete(client, model)


def find_trial_model(client: MlflowClient, experiment_id: str, key: str) -> Any | None:
    """Return a trial's logged model, or None; of twins keep the finished one and delete the others."""
    found = client.search_logged_models([experiment_id], filter_string=f"tags.`{KEY_TAG}` = '{key}'")
    return _keep_one(client, found) if found else None


def delete_twins(client: MlflowClient, experiment_id: str, prefix: str) -> None:
    """Keep one logged model for each key that begins with `prefix`, and delete its twins."""
    found: dict[str, list[Any]] = {}
    token = None
    while token is None or token:
        page = client.search_logged_models([experiment_id], page_token=token)
        for model in page:
            if (key := model.tags.get(KEY_TAG, "")).startswith(prefix):
                found.setdefault(key, []).append(model)
        token = page.token or ""
    for twins in found.values():
        _keep_one(client, twins)


def register_winner(
    client: MlflowClient,
    run: TrialRun,
    registration: Registration,
    *,
    alias: str | None,
    study_key: str,
    ended_ms: int,
) -> RegisteredVersion | None:
    """Register a trial's logged model and set the alias, or `challenger`; None if the trial has no logged model.

    Args:
        client: MLflow's client.
        run: the trial's run.
        registration: name, tags and description of the version.
        alias: the alias that the study sets for its winner; None sets none.
        study_key: the key of its study, with which those of all its runs begin.
        ended_ms: when the study ended.
    """
    version = register_trial(client, run, registration)
    if version is None or alias is None:
        return version
    return replace(version, alias=_set_alias(client, study_key, version, alias, ended_ms))


def register_trial(client: MlflowClient, run: TrialRun, registration: Registration) -> RegisteredVersion | None:
    """Register a trial's logged model unless it is a version already; None if the trial has no logged model."""
    name = registration.name
    model = find_trial_model(client, run.experiment_id, run.key)
    if model is None:
        return None
    try:
        client.create_registered_model(name, tags={"kerastudy": "true"})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = _find_version(client, name, run, model)
    if version is None:
        # The registry loads the model of a version with a client of the process-wide default address.
        set_default(client.tracking_uri)
        version = client.create_model_version(
            name,
            source=f"models:/{model.model_id}",
            run_id=run.run_id,
            model_id=model.model_id,
            tags={KEY_TAG: run.key, **registration.tags},
            description=registration.description,
            await_creation_for=0,
        )
        # An earlier request that arrived late may have made a twin, which this search deletes.
        version = _find_version(client, name, run, model) or version
    hit("version-created")
    _link_back(client, model, name, str(version.version))
    return RegisteredVersion(name, str(version.version))


def find_alias_version(client: MlflowClient, name: str, alias: str) -> Any | None:
    """Return the version with an alias, or None."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        # The registry has no separate error code for an alias without a version.
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def _set_alias(client: MlflowClient, study_key: str, version: RegisteredVersion, alias: str, ended_ms: int) -> str:
    """Set the alias or `challenger` for a winner, once for each end of its study; return which."""
    name, number = version.name, version.version
    holder = find_alias_version(client, name, alias)
    is_free = holder is None or str(holder.version) == number
    ours = client.get_model_version(name, number)
    if not is_free and int(ours.tags.get(_ALIAS_SET_TAG, "-1")) >= ended_ms:
        return CHALLENGER if CHALLENGER in ours.aliases else ""
    is_same_study = holder is None or is_free or holder.tags.get(KEY_TAG, "").startswith(f"{study_key}/")
    chosen = alias if is_same_study else CHALLENGER
    # The alias before its tag: after a kill in between, the next delivery sets the alias again.
    client.set_registered_model_alias(name, chosen, number)
    client.set_model_version_tag(name, number, _ALIAS_SET_TAG, str(ended_ms))
    return chosen


def _find_version(client: MlflowClient, name: str, run: TrialRun, model: Any) -> Any | None:
    """Return the version of a run's model, or None; of twins by kerastudy keep the first and delete the others."""
    known = client.search_model_versions(f"name = '{name}' and run_id = '{run.run_id}'")
    by_us = [each for each in known if KEY_TAG in each.tags]
    # A retraining may have had another model before.
    of_model = [each for each in by_us if str(each.source).rpartition("/")[2] == model.model_id]
    ours = sorted(of_model, key=lambda each: int(each.version))
    for twin in ours[1:]:
        client.delete_model_version(name, twin.version)
    return next(iter([*ours, *(each for each in known if each not in by_us)]), None)


def _keep_one(client: MlflowClient, twins: Sequence[Any]) -> Any:
    """Return the finished one of several models, or else the first, and delete the others."""
    kept = next((model for model in twins if model.status == LoggedModelStatus.READY), twins[0])
    for model in twins:
        if model is not kept:
            _delete(client, model)
    return kept


def _delete(client: MlflowClient, model: Any) -> None:
    # MLflow only marks the model as deleted; its files stay.
    client.delete_logged_model(model.model_id)
    location = urlsplit(str(model.artifact_location))
    if location.scheme == "file":
        shutil.rmtree(Path(url2pathname(location.path)).parent, ignore_errors=True)


def _link_back(client: MlflowClient, model: Any, name: str, version: str) -> None:
    """Tag the logged model with its version, as `mlflow.register_model` does; without a server nothing else would."""
    listed = json.loads(model.tags.get(_VERSIONS_TAG, "[]"))
    if not any(entry.get("name") == name and str(entry.get("version")) == version for entry in listed):
        listed.append({"name": name, "version": version})
        client.set_logged_model_tags(model.model_id, {_VERSIONS_TAG: json.dumps(listed)})


def _upload(client: MlflowClient, model_id: str, run_id: str, saved: Path, record_files: FilesRecorder) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        if saved.is_dir():
            shutil.copytree(saved, folder)
        else:
            write_model_folder(saved, folder)
        description = Model.load(str(folder))
        # `log_model_artifacts` only uploads; `log_model` would write these three.
        description.run_id = run_id
        description.model_id = model_id
        description.artifact_path = f"models:/{model_id}"
        description.save(str(folder / "MLmodel"))
        record_files(model_id, digest_model_folder(folder))
        client.log_model_artifacts(model_id, str(folder))


def digest_model_folder(folder: Path) -> dict[str, str]:
    """Return the digests of a logged model's files."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != _DOWNLOAD_NOTE)
    return compute_digests(folder, files)
