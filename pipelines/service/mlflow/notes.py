"""Notes, tags and saved views that a submitter may write in MLflow: those of its own studies.

The proxy forwards not the request that came, but one with the fields that were checked. So no field is read here in
one way and by MLflow in another.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import anyio.to_thread
import httpx
import pydantic

from pipelines.queries.study_reader import StudyReader
from pipelines.service.errors import ForbiddenError
from pipelines.service.studies.ownership import Ownership
from search_spaces.errors import InputError, KerastudyError, UnknownError
from tracking.mlflow.names import is_writable_tag
from tracking.store.accounts import Identity

MAX_BYTES: Final = 64 * 1024
"""Longest body; MLflow allows tags of 20,000 characters at most."""

_READ_RUN: Final = "api/2.0/mlflow/runs/get"
_READ_EXPERIMENT: Final = "api/2.0/mlflow/experiments/get"


class _TagChange(pydantic.BaseModel):
    """Body of a request that sets or deletes a tag; MLflow's UI calls a run's id by its old name."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    run_id: str = ""
    run_uuid: str = ""
    experiment_id: str = ""
    key: str = pydantic.Field(min_length=1, max_length=250)
    value: str = ""


@dataclass(frozen=True)
class MlflowNotes:
    """Policy on tags in the MLflow of one service.

    Attributes:
        reader: reads the studies.
        ownership: decides whose they are.
        client: HTTP client of MLflow's server.
        namespace: the store's identity, with which the keys of its studies' runs begin.
    """

    reader: StudyReader
    ownership: Ownership
    client: httpx.AsyncClient
    namespace: str

    async def check(self, caller: Identity, route: str, body: bytes) -> bytes:
        """Return the body to forward.

        Args:
            caller: the submitter.
            route: path of one of the routes for notes, without the prefix.
            body: what was sent.

        Raises:
            InputError: if it is no such request.
            ForbiddenError: if the tag, the run or the experiment is not the caller's to change.
            UnknownError: if MLflow has no such run or experiment.
            httpx.HTTPError: if MLflow does not answer.
        """
        change, of_run = _parse(body), "/runs/" in route
        if not is_writable_tag(change.key):
            raise ForbiddenError(f'the tag "{change.key}" is written by kerastudy or MLflow alone: choose another name')
        identifier = _choose_run(change) if of_run else change.experiment_id
        if of_run:
            tags = await self._fetch(_READ_RUN, {"run_id": identifier}, "run", "data", "tags")
            await anyio.to_thread.run_sync(self._require_run, {each["key"]: each["value"] for each in tags}, caller)
        else:
            found = await self._fetch(_READ_EXPERIMENT, {"experiment_id": identifier}, "experiment", "name")
            await anyio.to_thread.run_sync(self._require_experiment, found, caller)
        kept = {"run_id" if of_run else "experiment_id": identifier, "key": change.key}
        return json.dumps(kept if "delete-" in route else {**kept, "value": change.value}).encode()

    async def _fetch(self, route: str, params: dict[str, str], *keys: str) -> Any:
        answer = await self.client.get(route, params=params)
        # MLflow answers an empty id with 400.
        if answer.status_code in (400, 404):
            raise UnknownError(f"MLflow has no such {keys[0]}")
        if not answer.is_success:
            raise KerastudyError(f"MLflow answered the request for a {keys[0]} with status {answer.status_code}")
        found: Any = answer.json()
        for key in keys:
            found = found.get(key, [])
        return found

    def _require_run(self, tags: dict[str, str], caller: Identity) -> None:
        """Check that a run is of one of the caller's studies; only kerastudy writes the tags that name its study."""
        is_ours = tags.get("kerastudy.key", "").startswith(f"{self.namespace}/")
        if not is_ours or not tags.get("kerastudy.study"):
            raise ForbiddenError("this run is of no study of this service: only an admin changes it")
        self.ownership.require_study(tags["kerastudy.study"], caller)

    def _require_experiment(self, experiment: str, caller: Identity) -> None:
        """Check that all studies in an experiment are the caller's."""
        studies = self.reader.list_in_experiment(experiment)
        if not studies:
            raise ForbiddenError("this experiment holds no study of this service: only an admin changes it")
        for study in studies:
            self.ownership.require_study(study, caller)


def _parse(body: bytes) -> _TagChange:
    try:
        return _TagChange.model_validate_json(body)
    except pydantic.ValidationError as error:
        # Without what was sent: it may be long.
        found = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors())
        raise InputError(f"expected JSON with run_id or experiment_id, key and value: {found}") from None


def _choose_run(change: _TagChange) -> str:
    if change.run_id and change.run_uuid and change.run_id != change.run_uuid:
        raise InputError("run_id and run_uuid name two runs: leave one out")
    return change.run_id or change.run_uuid
