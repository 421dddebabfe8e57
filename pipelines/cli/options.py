"""What verbs share: where they work, and the arguments that several take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.workspace.home import Home
from search_spaces.errors import Problem

if TYPE_CHECKING:
    from pipelines.client.http import Remote
    from pipelines.client.local import Here

_Command = Callable[..., None]


def with_home(command: _Command) -> _Command:
    """Give a command the home, also when `--home` stands behind the verb."""

    @click.option(
        "--home", "own_home", metavar="FOLDER", help="Where all state is kept; default: KERASTUDY_HOME or .kerastudy."
    )
    @click.pass_obj
    @wraps(command)
    def call(home: str | None, /, own_home: str | None, **options: Any) -> None:
        command(Home.at(own_home or home), **options)

    return call


def with_door(command: _Command) -> _Command:
    """Give a command the service that `KERASTUDY_URL` names, or the home; a `--home` that is written out wins."""

    @click.option(
        "--home",
        "own_home",
        metavar="FOLDER",
        help="Where all state is kept; default: the service at KERASTUDY_URL, or KERASTUDY_HOME or .kerastudy.",
    )
    @click.pass_obj
    @wraps(command)
    def call(home: str | None, /, own_home: str | None, **options: Any) -> None:
        with _door(own_home or home) as door:
            command(door, **options)

    return call


def _door(home: str | None) -> Here | Remote:
    if home is None and os.environ.get("KERASTUDY_URL"):
        from pipelines.client.http import Remote

        if (remote := Remote.named()) is not None:
            return remote
    from pipelines.client.local import Here

    return Here(Home.at(home))


class Whole(click.ParamType):  # type: ignore[type-arg]  # a type with an argument only since click 8.2
    """A whole number within bounds, refused in our words."""

    name = "whole number"

    def __init__(self, least: int, most: int | None = None) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number that was written."""
        text = str(value)
        number = int(text) if text.removeprefix("-").isdecimal() else None
        if number is None or number < self._least or (self._most is not None and number > self._most):
            above = f"of at least {self._least}" if self._most is None else f"from {self._least} to {self._most}"
            self.fail(f"expected a whole number {above}, got {text}", param, ctx)
        return number


file_argument = click.argument("file", type=click.Path(path_type=Path))
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, as in --set space.l2.high=1e-3."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
study_argument = click.argument("study")


def print_notes(notes: Iterable[Problem | str]) -> None:
    """Print what is no error, on standard error."""
    for note in notes:
        click.echo(f"note: {note}", err=True)
