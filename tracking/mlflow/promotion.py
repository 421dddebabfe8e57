"""MLflow's registry for promotion: the version with an alias, the files of a version, and the move of an alias.

Nothing here loads a model. Every error of MLflow becomes a `KerastudyError` with its address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import requests
import sqlalchemy as sa
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from search_spaces.errors import KerastudyError
from tracking.mlflow import client
from tracking.mlflow.formatting import format_run_name, shorten_tags
from tracking.mlflow.model_folder import TASK
from tracking.mlflow.model_registry import (
    KEY_TAG,
    Registration,
    TrialRun,
    digest_model_folder,
    find_alias_version,
    log_trial_model,
    register_trial,
)
from tracking.mlflow.names import CHALLENGER
from tracking.store.model_digests import ModelDigests, describe_changes, make_mlflow_key

_KERAS_FILE: Final = Path("data", "model.keras")
_WEIGHTS_FILE: Final = Path("data", "weights.npz")
_LONGEST_MESSAGE: Final = 200
_OVER_TAG: Final = "kerastudy.promoted_over"
_AT_TAG: Final = "kerastudy.promoted_at"
_COMPARISON_TAG: Final = "kerastudy.comparison"


class RefusedError(KerastudyError):
    """MLflow answers, and refuses the request."""


@dataclass(frozen=True)
class KnownVersion:
    """One version of a registered model; `study`, `trial` and `dataset` are empty for one that is not of kerastudy."""

    name: str
    version: str
    study: str
    trial: str
    dataset: str

    def __str__(self) -> str:
        """Return the version and its origin in words."""
        origin = f" (trial {self.trial} of study {self.study})" if self.study else ""
        return f"version {self.version}{origin}"


@dataclass(frozen=True)
class FetchedModel:
    """Downloaded files of a version.

    Attributes:
        model: its `.keras` file; where it has none, the folder with the weights and the hyperparameters of a model that
            its code builds.
        task: its task if the model states one.
    """

    model: Path
    task: Mapping[str, Any] | None


class Registry:
    """Registry of one MLflow, for the trials of one home.

    Args:
        tracking_uri: a server's address, or a database.
        namespace: part of every key; see `tracking.mlflow.projection.MlflowProjection`.
        digests: digests of the files of this home's models.

    Every method raises `KerastudyError` where MLflow does not answer, and `RefusedError` where it answers and refuses.
    """

    def __init__(self, tracking_uri: str, namespace: str, digests: ModelDigests | None = None) -> None:
        self._digests = digests
        self._uri = tracking_uri
        self._namespace = namespace
        with self._translate_errors():
            self._client = client.connect(tracking_uri)
            # A client connects with its first request, so a wrong address shows here.
            self._client.search_registered_models(max_results=1)

    def find_alias_version(self, name: str, alias: str) -> KnownVersion | None:
        """Return the version with an alias, or None."""
        with self._translate_errors():
            held = find_alias_version(self._client, name, alias)
        return None if held is None else _parse_version(held)

    def find_version(self, name: str, study: str, trial: int) -> KnownVersion | None:
        """Return the newest version of a trial of this home, or None."""
        prefix = f"{self._namespace}/{study}/"
        with self._translate_errors():
            found = self._client.search_model_versions(f"name = '{name}'")
        ours = [
            each
            for each in found
            if each.tags.get(KEY_TAG, "").startswith(prefix) and each.tags.get("trial") == str(trial)
        ]
        # Versions are strings, and "10" sorts before "9".
        return _parse_version(max(ours, key=lambda each: int(each.version))) if ours else None

    def fetch(self, version: KnownVersion, folder: Path) -> FetchedModel:
        """Download a version's files into a new folder.

        Raises:
            RefusedError: if they are gone, are not those that were registered, or there is no Keras model among them.
        """
        with self._translate_errors():
            folder.mkdir(parents=True, exist_ok=True)
            uri = f"models:/{version.name}/{version.version}"
            at = Path(download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=self._uri))
            self._check_files(version, at)
            described = Model.load(str(at))
        task = (described.metadata or {}).get(TASK)
        if (at / _KERAS_FILE).is_file():
            return FetchedModel(at / _KERAS_FILE, task)
        if not (at / _WEIGHTS_FILE).is_file():
            raise RefusedError(f"it has no file {_KERAS_FILE}")
        return FetchedModel(at / _WEIGHTS_FILE.parent, task)

    def _check_files(self, version: KnownVersion, at: Path) -> None:
        """Check that the files of a version are those that kerastudy registered, where it did."""
        found = self._client.get_model_version(version.name, version.version)
        model_id = found.model_id or str(found.source).rpartition("/")[2]
        recorded = self._digests.find(make_mlflow_key(model_id)) if self._digests else None
        if recorded is not None and (changes := describe_changes(recorded, digest_model_folder(at))):
            raise RefusedError(
                f"the files of {version.name}, version {version.version}, in MLflow are not those that kerastudy "
                f"registered, so it loads none of them ({changes}): restore them from a backup"
            )

    def register(
        self, name: str, experiment: str, study: str, trial: int, saved: Path, tags: Mapping[str, str]
    ) -> KnownVersion:
        """Register a trial's model as a version.

        Args:
            name: the registered model.
            experiment: the study's experiment.
            study: the study.
            trial: the trial's number.
            saved: folder of its MLflow model.
            tags: further tags of the version.

        Raises:
            KerastudyError: if MLflow has no run of the trial.
        """

        def record_files(model_id: str, files: Mapping[str, str]) -> None:
            if self._digests is not None:
                self._digests.record(make_mlflow_key(model_id), study, files)

        key = f"{self._namespace}/{study}/{trial}"
        with self._translate_errors():
            known = self._client.get_experiment_by_name(experiment)
            filter_string = f"tags.`{KEY_TAG}` = '{key}'"
            runs = self._client.search_runs([known.experiment_id], filter_string=filter_string) if known else []
            if not runs:
                raise KerastudyError(f"MLflow has no run of trial {trial} of {study}: kerastudy sync {study}")
            info = runs[0].info
            run = TrialRun(info.experiment_id, info.run_id, format_run_name(study, trial), key, info.artifact_uri)
            log_trial_model(self._client, run, saved, record_files)
            all_tags = {"study": study, "trial": str(trial), **tags}
            made = register_trial(self._client, run, Registration(name, tags=shorten_tags(all_tags)))
        if made is None:
            raise KerastudyError(f"MLflow lost the model of trial {trial} of {study} while it was registered")
        return KnownVersion(name, made.version, study, str(trial), tags.get("dataset_digest", ""))

    def move_alias(
        self, version: KnownVersion, alias: str, over: KnownVersion | None, comparison: str, words: str
    ) -> None:
        """Move an alias to a version, and record the reason with the version.

        Args:
            version: the version that gets the alias.
            alias: the alias.
            over: the version that had it when they were compared.
            comparison: the comparison as JSON.
            words: the same for the version's description.

        Raises:
            KerastudyError: if another version has the alias by now; nothing was changed.
        """
        # MLflow has no compare-and-swap for aliases; this check keeps the race to milliseconds.
        now = self.find_alias_version(version.name, alias)
        if (now and now.version) != (over and over.version):
            whose = f"{now} has" if now else "no version has"
            raise KerastudyError(f"{whose} the alias {alias} of {version.name} by now: promote again")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        tags = {_COMPARISON_TAG: comparison, _AT_TAG: at, _OVER_TAG: over.version if over else "none"}
        with self._translate_errors():
            before = self._client.get_model_version(version.name, version.version)
            # The alias moves last: the version that it names then has the reason already.
            for tag, value in shorten_tags(tags).items():
                self._client.set_model_version_tag(version.name, version.version, tag, value)
            description = "\n\n".join(part for part in (before.description, f"{words} ({at})") if part)
            self._client.update_model_version(version.name, version.version, description)
            self._client.set_registered_model_alias(version.name, alias, version.version)
            if alias != CHALLENGER and CHALLENGER in before.aliases:
                self._client.delete_registered_model_alias(version.name, CHALLENGER)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (MlflowException, requests.RequestException, sa.exc.SQLAlchemyError, OSError) as error:
            message = (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST_MESSAGE]
            if client.classify_error(error) == "refused":
                raise RefusedError(f"MLflow at {self._uri} refuses: {message}") from error
            raise KerastudyError(
                f"MLflow at {self._uri} does not answer, so nothing was promoted: {message}"
            ) from error


def _parse_version(version: Any) -> KnownVersion:
    tags = version.tags
    ours = KEY_TAG in tags
    return KnownVersion(
        version.name,
        str(version.version),
        tags.get("study", "") if ours else "",
        tags.get("trial", "") if ours else "",
        tags.get("dataset_digest", "") if ours else "",
    )
