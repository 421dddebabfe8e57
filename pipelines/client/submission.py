"""Handing a study in and waiting for its end, whether to the service or on this home."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import click

from pipelines.operations.control import Standing
from pipelines.queries.views import StudyView
from pipelines.study.load import Study
from search_spaces.errors import InputError, KerastudyError
from tracking.store.study_queue import OVER

_LOOK_EVERY_S = 1.0
_AWAY_S = 60.0


class Door(Protocol):
    """Where studies are handed in: `here.Here` or `remote.Remote`."""

    def submit(self, study: Study, *, priority: int = 0) -> tuple[str, bool]:
        """Hand a study in; return its name, and whether it is new there."""

    def study(self, name: str) -> StudyView:
        """Return one study."""

    def log(self, name: str, trial: int | None, *, follow: bool) -> Iterator[str]:
        """Yield a study's log, or a trial's."""

    def with_uploads(self, study: Study) -> Study:
        """Send the data files that a study names along, and return it with their new names."""


@dataclass(frozen=True)
class Submitted:
    """What became of a study that was handed in.

    Attributes:
        place: where it stands in the queue, from 1; None if it does not wait, or nobody knows.
        next: the command that shows more.
    """

    study: str
    is_new: bool
    state: str
    place: int | None
    next: str


def handed_in(door: Door, study: Study, priority: int, *, upload: bool) -> Submitted:
    """Hand a study in.

    Raises:
        InputError: if it is refused.
    """
    if upload:
        study = door.with_uploads(study)
    name, is_new = door.submit(study, priority=priority)
    view = door.study(name)
    return Submitted(name, is_new, view.state, getattr(view, "place", None), f"kerastudy logs {name} --follow")


def waited(door: Door, name: str) -> Standing:
    """Wait until a study is over or parked; a service that does not answer for a minute ends the wait.

    Raises:
        InputError: if there is no such study.
        KerastudyError: if the service does not answer.
    """
    answered = time.monotonic()
    while True:
        try:
            view = door.study(name)
        except InputError:
            raise
        except KerastudyError:
            if time.monotonic() - answered > _AWAY_S:
                raise
        else:
            answered = time.monotonic()
            if view.state in (*OVER, "parked"):
                return Standing(name, view.state, view.reason)
        time.sleep(_LOOK_EVERY_S)


def followed(door: Door, name: str) -> int:
    """Print a study's log until it ends; return the exit code."""
    for piece in door.log(name, None, follow=True):
        click.echo(piece, nl=False)
    return 0 if waited(door, name).state == "finished" else 1
