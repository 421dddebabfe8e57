"""Where a study is seen in MLflow's UI: an address that stays, `/mlflow/studies/NAME`, leads there.

MLflow's own addresses hold a number that only MLflow knows, so it is asked when somebody wants to look.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import anyio.to_thread
import httpx

from pipelines.queries.study_reader import StudyReader
from pipelines.service.security_middleware import MLFLOW
from search_spaces.errors import KerastudyError, UnknownError
from tracking.mlflow.shared_views import make_leaderboard_view_id
from tracking.mlflow.urls import make_leaderboard_url

PAGES = f"{MLFLOW}/studies/"
_ASK = "api/2.0/mlflow/experiments/get-by-name"
_ENV = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


class MlflowPages:
    """Finds studies in MLflow.

    Args:
        reader: what knows the studies.
        client: asks MLflow's server.
        base: where browsers reach its UI; a path if it is below this service.
    """

    def __init__(self, reader: StudyReader, client: httpx.AsyncClient, base: str) -> None:
        self._reader = reader
        self._client = client
        self._base = base

    async def find(self, path: str) -> str:
        """Return the address of the leaderboard of the study that `PAGES` and its name stand for.

        Raises:
            UnknownError: if there is no such study, or MLflow was not told of it yet.
            KerastudyError: if MLflow does not answer as it should.
            httpx.HTTPError: if it does not answer at all.
        """
        name = path.removeprefix(PAGES).rstrip("/")
        experiment, study = await anyio.to_thread.run_sync(self._reader.locate_in_mlflow, name)
        answer = await self._client.get(_ASK, params={"experiment_name": experiment})
        if answer.status_code == 404:
            raise UnknownError(
                f"MLflow was not told of {study} yet: its first trial has not begun, or its records wait"
            )
        if not answer.is_success:
            raise KerastudyError(f"MLflow answers {answer.status_code} when it is asked where {study} is")
        return make_leaderboard_url(
            self._base, answer.json()["experiment"]["experiment_id"], make_leaderboard_view_id(study)
        )


def make_external_client(address: str, environ: Mapping[str, str] = os.environ) -> httpx.AsyncClient:
    """Return what asks an MLflow server elsewhere, with the password or the token that MLflow's own client takes."""
    user, password, token = (environ.get(name, "") for name in _ENV)
    headers = {"Authorization": f"Bearer {token}"} if token and not user else {}
    auth = httpx.BasicAuth(user, password) if user else None
    return httpx.AsyncClient(base_url=address, headers=headers, auth=auth, timeout=30.0)
