"""Everything of one study in MLflow: runs, logged models, registered versions; to be removed, hidden or shown again.

A run of MLflow has two ends. Deleted, it is hidden by the UI, which shows it under "State: Deleted" and can restore
it: an archived study is in that state. From a database that kerastudy opens itself, the rows of a deleted study go for
good. A server keeps its hidden runs until its operator runs `mlflow gc`; their files go at once where it allows that.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
import sqlalchemy as sa
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from search_spaces.errors import KerastudyError
from tracking.mlflow import client as mlflow_client
from tracking.mlflow.model_registry import KEY_TAG
from tracking.mlflow.names import CHALLENGER
from tracking.mlflow.runs import Runs
from tracking.mlflow.shared_views import TAG_PREFIX, make_leaderboard_view_id
from tracking.testing.failpoints import hit

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARCHIVED_TAG: Final = "kerastudy.archived"
_OURS_TAG: Final = "kerastudy"
_PAGE: Final = 1000
_LONGEST_MESSAGE: Final = 200


@dataclass(frozen=True)
class StudyVersion:
    """Registered version of a study's trial.

    Attributes:
        model_id: its logged model.
        aliases: all of its aliases.
    """

    name: str
    version: str
    trial: str
    model_id: str
    aliases: tuple[str, ...]

    @property
    def promoted_as(self) -> tuple[str, ...]:
        """Aliases that somebody may load it by: all but `challenger`, which a winner has until it is promoted."""
        return tuple(alias for alias in self.aliases if alias != CHALLENGER)

    def __str__(self) -> str:
        """Return the version in words."""
        aliases = ", ".join(f"models:/{self.name}@{alias}" for alias in self.promoted_as)
        version = f"version {self.version}, trial {self.trial} of it"
        return f"{aliases} is {version}" if aliases else version


class TrackedStudy:
    """One study in MLflow.

    Args:
        tracking_uri: a server's address, or a database.
        artifact_root: folder that kerastudy keeps artifacts in, as a URI; None where a server decides.
        namespace: part of every key; see `tracking.mlflow.projection.MlflowProjection`.
        experiment: name of its experiment.
        study: its name.

    Every method raises `KerastudyError` where MLflow does not answer.
    """

    def __init__(
        self, tracking_uri: str, *, artifact_root: str | None, namespace: str, experiment: str, study: str
    ) -> None:
        self._uri = tracking_uri
        self._artifact_root = None if artifact_root is None else Path(url2pathname(urlsplit(artifact_root).path))
        self._study = study
        with self._translate_errors():
            self._client: MlflowClient = mlflow_client.connect(tracking_uri)
            self._key = Runs(self._client, None, namespace).make_key(study)
            found = self._client.get_experiment_by_name(experiment)
        self._experiment = found

    def list_versions(self) -> tuple[StudyVersion, ...]:
        """Return the registered versions of its trials."""
        with self._translate_errors():
            found = [
                version
                for version in self._search_versions(f"tags.`{KEY_TAG}` LIKE '{self._key}/%'")
                if version.tags.get(KEY_TAG, "").startswith(f"{self._key}/")
            ]
            aliases = {name: self._list_aliases(name) for name in {version.name for version in found}}
        return tuple(
            StudyVersion(
                version.name,
                str(version.version),
                version.tags.get("trial", ""),
                version.source.rpartition("/")[2],
                tuple(alias for alias, number in aliases[version.name].items() if number == str(version.version)),
            )
            for version in found
        )

    def remove(self) -> tuple[str, ...]:
        """Remove all of it; return notes on what MLflow keeps. A removal that was cut off can be repeated.

        Its experiment goes too, unless it holds runs or models of others.
        """
        with self._translate_errors():
            self._remove_versions()
            hit("deletion-versions-removed")
            if self._experiment is None:
                return ()
            notes = {*self._remove_models(), *self._remove_runs()}
            self._remove_view()
            self._remove_empty_experiment()
        return tuple(sorted(notes))

    def remove_models(self, keep: frozenset[int]) -> None:
        """Remove the logged models of its trials, but for some trials and for registered versions."""
        registered = {version.model_id for version in self.list_versions()}
        kept = {f"{self._key}/{number}" for number in keep}
        with self._translate_errors():
            for model in self._search_models():
                key = "/".join(model.tags[KEY_TAG].split("/")[: self._key.count("/") + 2])
                if key not in kept and model.model_id not in registered:
                    list(self._remove_files(model.artifact_location, model.model_id))
                    self._client.delete_logged_model(model.model_id)

    def archive(self, note: str) -> None:
        """Hide its runs, as MLflow's UI hides deleted ones; the tag `kerastudy.archived` has the note."""
        with self._translate_errors():
            # The parent last: a repetition after a kill finds whatever is left.
            for run in reversed(self._search_runs(ViewType.ACTIVE_ONLY)):
                self._client.set_tag(run.info.run_id, ARCHIVED_TAG, note)
                self._client.delete_run(run.info.run_id)

    def unarchive(self) -> None:
        """Show the runs again that `archive` has hidden."""
        with self._translate_errors():
            if self._experiment is not None and self._experiment.lifecycle_stage == "deleted":
                self._client.restore_experiment(self._experiment.experiment_id)
            # Of deleted runs only those: twins and runs that a person deleted stay deleted.
            for run in self._search_runs(ViewType.ALL):
                if ARCHIVED_TAG not in run.data.tags:
                    continue
                if run.info.lifecycle_stage == "deleted":
                    self._client.restore_run(run.info.run_id)
                self._client.delete_tag(run.info.run_id, ARCHIVED_TAG)

    # Versions ------------------------------------------------------------------------------------------------

    def _search_versions(self, filter_string: str) -> Iterator[Any]:
        token = None
        while token is None or token:
            page = self._client.search_model_versions(filter_string, max_results=_PAGE, page_token=token)
            yield from page
            token = page.token or ""

    def _list_aliases(self, name: str) -> dict[str, str]:
        return {alias: str(version) for alias, version in self._client.get_registered_model(name).aliases.items()}

    def _remove_versions(self) -> None:
        found = self.list_versions()
        for version in found:
            self._client.delete_model_version(version.name, version.version)
        for name in {version.name for version in found}:
            model = self._client.get_registered_model(name)
            # Of a registered model that a person made, the name stays.
            if _OURS_TAG in model.tags and not any(self._search_versions(f"name = '{name}'")):
                self._client.delete_registered_model(name)

    # Runs and models -----------------------------------------------------------------------------------------

    def _search_runs(self, stage: int) -> list[Run]:
        """Return the study's run, and those of its trials and their retrainings."""
        found: list[Run] = []
        for filter_string in (f"tags.`{KEY_TAG}` = '{self._key}'", f"tags.`{KEY_TAG}` LIKE '{self._key}/%'"):
            token = None
            while self._experiment is not None and (token is None or token):
                page = self._client.search_runs(
                    [self._experiment.experiment_id], filter_string, stage, max_results=_PAGE, page_token=token
                )
                found += page
                token = page.token or ""
        # An underscore in a name is a wildcard of LIKE.
        return [run for run in found if _has_key(run.data.tags, self._key)]

    def _search_models(self) -> Iterator[Any]:
        assert self._experiment is not None
        token = None
        while token is None or token:
            page = self._client.search_logged_models([self._experiment.experiment_id], page_token=token)
            yield from [model for model in page if _has_key(model.tags, self._key)]
            token = page.token or ""

    def _remove_models(self) -> Iterator[str]:
        for model in [*self._search_models()]:
            yield from self._remove_files(model.artifact_location, model.model_id)
            self._client.delete_logged_model(model.model_id)
        if (store := self._find_database()) is not None:
            # Those of displaced trials too, whose rows MLflow has kept.
            for model_id in store._get_deleted_logged_models():
                if _has_key(store.get_logged_model(model_id, allow_deleted=True).tags, self._key):
                    store._hard_delete_logged_model(model_id)

    def _remove_runs(self) -> Iterator[str]:
        store = self._find_database()
        for run in reversed(self._search_runs(ViewType.ALL)):
            yield from self._remove_files(run.info.artifact_uri, run.info.run_id)
            if store is not None:
                store._hard_delete_run(run.info.run_id)
                continue
            # The key first: a later study of this name must not find the run, were it restored.
            self._restore(run)
            self._client.delete_tag(run.info.run_id, KEY_TAG)
            self._client.delete_run(run.info.run_id)
        hit("deletion-runs-removed")

    def _restore(self, run: Run) -> None:
        """Restore a run that is deleted: MLflow refuses to change its tags otherwise."""
        if run.info.lifecycle_stage == "deleted":
            self._client.restore_run(run.info.run_id)

    def _remove_view(self) -> None:
        if self._experiment is None or self._experiment.lifecycle_stage == "deleted":
            return
        name = TAG_PREFIX + make_leaderboard_view_id(self._study)
        if name in self._experiment.tags:
            self._client.delete_experiment_tag(self._experiment.experiment_id, name)

    def _remove_empty_experiment(self) -> None:
        experiment = self._experiment
        assert experiment is not None
        ids = [experiment.experiment_id]
        store = self._find_database()
        stage = ViewType.ALL if store is not None else ViewType.ACTIVE_ONLY
        if self._client.search_runs(ids, run_view_type=stage, max_results=1) or self._client.search_logged_models(ids):
            return
        if experiment.lifecycle_stage != "deleted":
            # Of a server's, the name would stay taken, and its restoration would bring the deleted runs back.
            if store is None:
                self._client.rename_experiment(experiment.experiment_id, f"{experiment.name[:200]} (deleted {ids[0]})")
            self._client.delete_experiment(experiment.experiment_id)
        if store is not None:
            store._hard_delete_experiment(experiment.experiment_id)
            self._remove_empty_folder(experiment.artifact_location)

    def _find_database(self) -> Any | None:
        """Return MLflow's store where its database is opened by this process; None for a server."""
        # Private, as `mlflow gc` uses it: no public way removes the rows of a deleted run.
        store = self._client._tracking_client.store
        return store if hasattr(store, "_hard_delete_run") else None

    def _remove_files(self, uri: str, owner: str) -> Iterator[str]:
        """Remove the files of a run or a model, `owner`, below an artifact URI; yield a note where that fails."""
        if urlsplit(uri).scheme in ("file", ""):
            folder = _parse_path(uri).parent
            # Anybody who can write to MLflow may have set the location.
            if folder.name == owner and self._is_ours(folder):
                shutil.rmtree(folder, ignore_errors=True)
            else:
                yield f"files in {folder} are left: it is no folder of kerastudy's"
            return
        try:
            repository: Any = get_artifact_repository(uri)
            repository.delete_artifacts()
        except (NotImplementedError, MlflowException, requests.RequestException, OSError) as error:
            if getattr(getattr(error, "response", None), "status_code", 0) != 404:
                yield f"files in MLflow's artifact store may be left: {_shorten(error)}"

    def _remove_empty_folder(self, uri: str) -> None:
        folder = _parse_path(uri)
        if urlsplit(uri).scheme in ("file", "") and self._is_ours(folder):
            for each in (folder / "models", folder):
                with suppress(OSError):  # two experiments may share a folder
                    each.rmdir()

    def _is_ours(self, folder: Path) -> bool:
        root = self._artifact_root
        return root is not None and root.resolve() in folder.resolve().parents

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (MlflowException, requests.RequestException, sa.exc.SQLAlchemyError, OSError) as error:
            raise KerastudyError(f"MLflow at {self._uri} does not answer: {_shorten(error)}") from error


def _parse_path(uri: str) -> Path:
    return Path(url2pathname(urlsplit(uri).path))


def _has_key(tags: dict[str, str], key: str) -> bool:
    found = tags.get(KEY_TAG, "")
    return found == key or found.startswith(f"{key}/")


def _shorten(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST_MESSAGE]
