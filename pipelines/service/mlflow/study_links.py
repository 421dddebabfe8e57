"""Stable addresses of studies in MLflow's UI: `/mlflow/studies/NAME` redirects to the study's leaderboard.

MLflow's addresses hold the number that MLflow gave to the experiment, so each request looks it up there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import anyio.to_thread
import httpx

from pipelines.queries.study_reader import StudyReader
from pipelines.service.http.security_middleware import MLFLOW
from search_spaces.errors import KerastudyError, UnknownError
from tracking.mlflow.shared_views import make_leaderboard_view_id
from tracking.mlflow.urls import make_leaderboard_url

PAGES = f"{MLFLOW}/studies/"
_ASK = "api/2.0/mlflow/experiments/get-by-name"
_ENV = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


class MlflowPages:
    """Addresses of studies in one MLflow.

    Args:
        reader: reads the studies.
        client: HTTP client of MLflow's server.
        base: URL of its UI for browsers; a path if it is below this service.
    """

    def __init__(self, reader: StudyReader, client: httpx.AsyncClient, base: str) -> None:
        self._reader = reader
        self._client = client
        self._base = base

    async def find(self, path: str) -> str:
        """Return the address of a study's leaderboard.

        Args:
            path: `PAGES` and the study's name.

        Raises:
            UnknownError: if there is no such study, or MLflow has no records of it yet.
            KerastudyError: if MLflow answers with an error.
            httpx.HTTPError: if it does not answer at all.
        """
        name = path.removeprefix(PAGES).rstrip("/")
        # In a thread: a query of the store would hold up all other requests.
        experiment, study = await anyio.to_thread.run_sync(self._reader.locate_in_mlflow, name)
        answer = await self._client.get(_ASK, params={"experiment_name": experiment})
        if answer.status_code == 404:
            raise UnknownError(
                f"MLflow has no records of {study} yet: its first trial has not begun, or its records wait"
            )
        if not answer.is_success:
            raise KerastudyError(f"MLflow answered the request for {study} with status {answer.status_code}")
        return make_leaderboard_url(
            self._base, answer.json()["experiment"]["experiment_id"], make_leaderboard_view_id(study)
        )


def make_external_client(address: str, environ: Mapping[str, str] = os.environ) -> httpx.AsyncClient:
    """Return an HTTP client of an MLflow server elsewhere, with the password or token of MLflow's client."""
    user, password, token = (environ.get(name, "") for name in _ENV)
    # As MLflow's client does: a user's name wins over a token.
    headers = {"Authorization": f"Bearer {token}"} if token and not user else {}
    auth = httpx.BasicAuth(user, password) if user else None
    return httpx.AsyncClient(base_url=address, headers=headers, auth=auth, timeout=30.0)
