"""Models in MLflow: a logged model for each of the best trials, a registered version for the winner.

Logged models are named as their run and found again by the tag `kerastudy.key`, so logging one twice gives one.

Several studies may register under one name. An alias goes to the first of them and on to that study's later winners;
another study's winner is `challenger` until somebody promotes it (see `promotion`). Each end of a study gives
its alias once: a version notes for which end that was done, so that an end that is told again moves no alias back.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from tracking.testing.failpoints import hit

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY_TAG: Final = "kerastudy.key"
CHALLENGER: Final = "challenger"
_SETTLED_TAG: Final = "kerastudy.alias_given_for"
_VERSIONS_TAG: Final = "mlflow.modelVersions"


@dataclass(frozen=True)
class TrialRun:
    """The run of one trial; `artifacts` is the URI of its folder for files."""

    experiment_id: str
    run_id: str
    name: str
    key: str
    artifacts: str


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model; `alias` is the one that it has of its study's end, "" where it has none."""

    name: str
    version: str
    alias: str = ""


def log_trial_model(client: MlflowClient, run: TrialRun, saved: Path) -> str:
    """Log a trial's model and return its identifier; a run that has ended keeps its status and its times.

    Args:
        client: MLflow's client.
        run: the trial's run, which the model is named after.
        saved: the folder of an MLflow model (see `tracking.mlflow.model_folder`), or a `.keras` file to make one of.
    """
    recorded = client.get_run(run.run_id)
    model = find_trial_model(client, run.experiment_id, run.key)
    if model is not None and model.source_run_id != run.run_id:  # of a run that somebody deleted
        _delete(client, model)
        model = None
    if model is None:
        model = client.create_logged_model(
            run.experiment_id,
            # MLflow refuses these characters in a logged model's name, but not in a run's.
            name=run.name.replace(".", "-"),
            source_run_id=run.run_id,
            tags={KEY_TAG: run.key},
            params=recorded.data.params,
            model_type="keras",
        )
    hit("model-created")
    if model.status != LoggedModelStatus.READY:
        _upload(client, model.model_id, run.run_id, saved)
        client.finalize_logged_model(model.model_id, "READY")
    linked = recorded.outputs.model_outputs if recorded.outputs else []
    if model.model_id not in {output.model_id for output in linked}:
        client.log_outputs(run.run_id, [LoggedModelOutput(model.model_id, step=0)])
    hit("model-logged")
    return str(model.model_id)


def delete_trial_model(client: MlflowClient, experiment_id: str, key: str) -> None:
    """Delete a trial's logged model, and its files where they are on this machine; one that was registered stays."""
    model = find_trial_model(client, experiment_id, key)
    if model is not None and not json.loads(model.tags.get(_VERSIONS_TAG, "[]")):
        _delete(client, model)


def find_trial_model(client: MlflowClient, experiment_id: str, key: str) -> Any | None:
    """Return a trial's logged model, or None; of twins the finished one, and the others are deleted."""
    found = client.search_logged_models([experiment_id], filter_string=f"tags.`{KEY_TAG}` = '{key}'")
    return _only(client, found) if found else None


def delete_twins(client: MlflowClient, experiment_id: str, prefix: str) -> None:
    """Leave one logged model for each key that begins with `prefix`."""
    found: dict[str, list[Any]] = {}
    token = None
    while token is None or token:
        page = client.search_logged_models([experiment_id], page_token=token)
        for model in page:
            if (key := model.tags.get(KEY_TAG, "")).startswith(prefix):
                found.setdefault(key, []).append(model)
        token = page.token or ""
    for twins in found.values():
        _only(client, twins)


def register_winner(
    client: MlflowClient,
    run: TrialRun,
    *,
    name: str,
    alias: str | None,
    of_study: str,
    ended_ms: int,
    tags: Mapping[str, str],
    description: str,
) -> RegisteredVersion | None:
    """Register a trial's logged model and give it the alias, or `challenger`; None if the trial has no logged model.

    Args:
        client: MLflow's client.
        run: the trial's run.
        name: the registered model's name.
        alias: what the study calls its winner; None gives no alias.
        of_study: the key of its study, which those of all its runs begin with.
        ended_ms: when the study ended.
        tags: tags of a version that is new.
        description: description of a version that is new.
    """
    version = register_trial(client, run, name=name, tags=tags, description=description)
    if version is None or alias is None:
        return version
    return RegisteredVersion(name, version.version, _give_alias(client, of_study, version, alias, ended_ms))


def register_trial(
    client: MlflowClient, run: TrialRun, *, name: str, tags: Mapping[str, str], description: str
) -> RegisteredVersion | None:
    """Make a trial's logged model a version, unless it is one; None if the trial has no logged model."""
    model = find_trial_model(client, run.experiment_id, run.key)
    if model is None:
        return None
    try:
        client.create_registered_model(name, tags={"kerastudy": "true"})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = _version_of(client, name, run)
    if version is None:
        # The registry asks a client made from the process-wide default for the model behind a version.
        set_default(client.tracking_uri)
        version = client.create_model_version(
            name,
            source=f"models:/{model.model_id}",
            run_id=run.run_id,
            model_id=model.model_id,
            tags={KEY_TAG: run.key, **tags},
            description=description,
            await_creation_for=0,
        )
        version = _version_of(client, name, run) or version
    hit("version-created")
    _link_back(client, model, name, str(version.version))
    return RegisteredVersion(name, str(version.version))


def alias_holder(client: MlflowClient, name: str, alias: str) -> Any | None:
    """Return the version that holds an alias, or None."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        # The registry has no code of its own for an alias that nobody holds.
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def _give_alias(client: MlflowClient, of_study: str, version: RegisteredVersion, alias: str, ended_ms: int) -> str:
    """Give a winner the alias that is its due, once for each end of its study, and return that alias."""
    name, number = version.name, version.version
    holder = alias_holder(client, name, alias)
    is_free = holder is None or str(holder.version) == number
    ours = client.get_model_version(name, number)
    if not is_free and int(ours.tags.get(_SETTLED_TAG, "-1")) >= ended_ms:
        return CHALLENGER if CHALLENGER in ours.aliases else ""
    is_own = holder is None or is_free or holder.tags.get(KEY_TAG, "").startswith(f"{of_study}/")
    given = alias if is_own else CHALLENGER
    client.set_registered_model_alias(name, given, number)
    client.set_model_version_tag(name, number, _SETTLED_TAG, str(ended_ms))
    return given


def _version_of(client: MlflowClient, name: str, run: TrialRun) -> Any | None:
    """Return the version that a run became, or None; of twins of ours the first, and the others are deleted."""
    known = client.search_model_versions(f"name = '{name}' and run_id = '{run.run_id}'")
    ours = sorted((each for each in known if KEY_TAG in each.tags), key=lambda each: int(each.version))
    for twin in ours[1:]:
        client.delete_model_version(name, twin.version)
    return next(iter([*ours, *known]), None)


def _only(client: MlflowClient, twins: Sequence[Any]) -> Any:
    """Return the finished model of several, or else the first, and delete the others."""
    kept = next((model for model in twins if model.status == LoggedModelStatus.READY), twins[0])
    for model in twins:
        if model is not kept:
            _delete(client, model)
    return kept


def _delete(client: MlflowClient, model: Any) -> None:
    client.delete_logged_model(model.model_id)
    location = urlsplit(str(model.artifact_location))
    if location.scheme == "file":
        shutil.rmtree(Path(url2pathname(location.path)).parent, ignore_errors=True)


def _link_back(client: MlflowClient, model: Any, name: str, version: str) -> None:
    """Tag the logged model with its version, as `mlflow.register_model` does; without a server nobody else would."""
    listed = json.loads(model.tags.get(_VERSIONS_TAG, "[]"))
    if not any(entry.get("name") == name and str(entry.get("version")) == version for entry in listed):
        listed.append({"name": name, "version": version})
        client.set_logged_model_tags(model.model_id, {_VERSIONS_TAG: json.dumps(listed)})


def _upload(client: MlflowClient, model_id: str, run_id: str, saved: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        if saved.is_dir():
            shutil.copytree(saved, folder)
        else:
            write_model_folder(saved, folder)
        description = Model.load(str(folder))
        description.run_id = run_id
        description.model_id = model_id
        description.artifact_path = f"models:/{model_id}"
        description.save(str(folder / "MLmodel"))
        client.log_model_artifacts(model_id, str(folder))
