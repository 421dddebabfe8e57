"""Names that a shell completes on the command line."""

from __future__ import annotations

import os

import click

from pipelines.workspace.home import Home
from search_spaces.errors import KerastudyError


def list_study_names(context: click.Context) -> list[str]:
    """Return the names of the studies of the home or the service that a command would use; none if there is neither.

    An error would be printed into the line that is being typed.
    """
    written = context.params.get("verb_home") or context.find_root().params.get("home")
    try:
        return _list_remote() if written is None and os.environ.get("KERASTUDY_URL") else _list_local(written)
    except (KerastudyError, OSError):
        return []


def _list_remote() -> list[str]:
    from pipelines.client.http import HttpClient

    client = HttpClient.from_environment()
    if client is None:
        return []
    with client:
        return [study.name for study in client.list_studies()]


def _list_local(written: str | None) -> list[str]:
    # The queue alone: reading trials would take longer than a person waits for a completion.
    from tracking.store.database import Store
    from tracking.store.study_queue import StudyQueue

    home = Home.find(written)
    if not home.is_initialized:
        return []
    with Store.open(home.store) as store:
        return [record.name for record in StudyQueue(store).list()]
