"""What promoting asks of MLflow's registry: who holds an alias, the files of a version, and moving the alias.

Nothing here loads a model. Every error of MLflow's becomes one of ours, with its address, for a person to read.
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
from tracking.mlflow.formatting import run_name, shortened
from tracking.mlflow.model_folder import TASK
from tracking.mlflow.model_registry import (
    CHALLENGER,
    KEY_TAG,
    TrialRun,
    alias_holder,
    log_trial_model,
    register_trial,
)

_KERAS_FILE: Final = Path("data", "model.keras")
_LONGEST_SAID: Final = 200
_OVER_TAG: Final = "kerastudy.promoted_over"
_AT_TAG: Final = "kerastudy.promoted_at"
_COMPARISON_TAG: Final = "kerastudy.comparison"


class RefusedError(KerastudyError):
    """MLflow answers, and does not do it."""


@dataclass(frozen=True)
class KnownVersion:
    """One version of a registered model; `study`, `trial` and `dataset` are empty for one that is not of kerastudy."""

    name: str
    version: str
    study: str
    trial: str
    dataset: str

    def __str__(self) -> str:
        """Return which it is in words."""
        origin = f" (trial {self.trial} of study {self.study})" if self.study else ""
        return f"version {self.version}{origin}"


@dataclass(frozen=True)
class Fetched:
    """A version's files: its `.keras` file, and what it predicts as far as it says so."""

    keras_file: Path
    task: Mapping[str, Any] | None


class Registry:
    """The registry of one MLflow, as one home sees it.

    Args:
        tracking_uri: a server's address, or a database.
        namespace: part of every key; see `mlflow_projection.Projection`.

    Every method raises `KerastudyError` where MLflow does not answer, and `RefusedError` where it answers and refuses.
    """

    def __init__(self, tracking_uri: str, namespace: str) -> None:
        self._uri = tracking_uri
        self._namespace = namespace
        with self._answering():
            self._client = client.connect(tracking_uri)
            self._client.search_registered_models(max_results=1)

    def holder(self, name: str, alias: str) -> KnownVersion | None:
        """Return the version that holds an alias, or None."""
        with self._answering():
            held = alias_holder(self._client, name, alias)
        return None if held is None else _known(held)

    def version_of(self, name: str, study: str, trial: int) -> KnownVersion | None:
        """Return the newest version that a trial of this home became, or None."""
        prefix = f"{self._namespace}/{study}/"
        with self._answering():
            found = self._client.search_model_versions(f"name = '{name}'")
        ours = [
            each
            for each in found
            if each.tags.get(KEY_TAG, "").startswith(prefix) and each.tags.get("trial") == str(trial)
        ]
        return _known(max(ours, key=lambda each: int(each.version))) if ours else None

    def fetch(self, version: KnownVersion, folder: Path) -> Fetched:
        """Download a version's files into a new folder.

        Raises:
            RefusedError: if they are gone, or there is no Keras file among them.
        """
        with self._answering():
            folder.mkdir(parents=True, exist_ok=True)
            uri = f"models:/{version.name}/{version.version}"
            at = Path(download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=self._uri))
            described = Model.load(str(at))
        if not (at / _KERAS_FILE).is_file():
            raise RefusedError(f"it has no file {_KERAS_FILE}")
        return Fetched(at / _KERAS_FILE, (described.metadata or {}).get(TASK))

    def register(
        self, name: str, experiment: str, study: str, trial: int, saved: Path, tags: Mapping[str, str]
    ) -> KnownVersion:
        """Make a trial's model a version.

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
        key = f"{self._namespace}/{study}/{trial}"
        with self._answering():
            known = self._client.get_experiment_by_name(experiment)
            which = f"tags.`{KEY_TAG}` = '{key}'"
            runs = self._client.search_runs([known.experiment_id], filter_string=which) if known else []
            if not runs:
                raise KerastudyError(f"MLflow has no run of trial {trial} of {study}: kerastudy sync {study}")
            info = runs[0].info
            run = TrialRun(info.experiment_id, info.run_id, run_name(study, trial), key, info.artifact_uri)
            log_trial_model(self._client, run, saved)
            own = {"study": study, "trial": str(trial), **tags}
            made = register_trial(self._client, run, name=name, tags=shortened(own), description="")
        if made is None:
            raise KerastudyError(f"MLflow lost the model of trial {trial} of {study} while it was registered")
        return KnownVersion(name, made.version, study, str(trial), tags.get("dataset_digest", ""))

    def move_alias(
        self, version: KnownVersion, alias: str, over: KnownVersion | None, comparison: str, words: str
    ) -> None:
        """Give a version an alias, and note on it what justified that.

        Args:
            version: the one that gets the alias.
            alias: the alias.
            over: who held it when they were compared.
            comparison: the comparison as JSON.
            words: the same for the version's description.

        Raises:
            KerastudyError: if somebody else holds the alias by now; nothing was changed.
        """
        now = self.holder(version.name, alias)
        if (now and now.version) != (over and over.version):
            whose = f"{now} holds" if now else "nobody holds"
            raise KerastudyError(f"{whose} the alias {alias} of {version.name} by now: promote again")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        tags = {_COMPARISON_TAG: comparison, _AT_TAG: at, _OVER_TAG: over.version if over else "nobody"}
        with self._answering():
            before = self._client.get_model_version(version.name, version.version)
            for tag, value in shortened(tags).items():
                self._client.set_model_version_tag(version.name, version.version, tag, value)
            description = "\n\n".join(part for part in (before.description, f"{words} ({at})") if part)
            self._client.update_model_version(version.name, version.version, description)
            self._client.set_registered_model_alias(version.name, alias, version.version)
            if alias != CHALLENGER and CHALLENGER in before.aliases:
                self._client.delete_registered_model_alias(version.name, CHALLENGER)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (MlflowException, requests.RequestException, sa.exc.SQLAlchemyError, OSError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST_SAID]
            if client.severity(error) == "refused":
                raise RefusedError(f"MLflow at {self._uri} refuses: {said}") from error
            raise KerastudyError(f"MLflow at {self._uri} does not answer, so nothing was promoted: {said}") from error


def _known(version: Any) -> KnownVersion:
    tags = version.tags
    ours = KEY_TAG in tags
    return KnownVersion(
        version.name,
        str(version.version),
        tags.get("study", "") if ours else "",
        tags.get("trial", "") if ours else "",
        tags.get("dataset_digest", "") if ours else "",
    )
