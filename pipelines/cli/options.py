"""Arguments and options that several verbs share, and the client or home that they work on."""

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
    from pipelines.client.submission import StudyClient

_Command = Callable[..., None]


def pass_home(command: _Command) -> _Command:
    """Pass the home to a command; `--home` may also follow the verb."""
    return _pass_home(command, unfinished=False)


def pass_unfinished_home(command: _Command) -> _Command:
    """Pass the home to a command that may complete its restoration."""
    return _pass_home(command, unfinished=True)


def _pass_home(command: _Command, *, unfinished: bool) -> _Command:
    @click.option(
        "--home", "verb_home", metavar="FOLDER", help="Where all state is kept; default: KERASTUDY_HOME or .kerastudy."
    )
    @click.pass_obj
    @wraps(command)
    def call(home: str | None, /, verb_home: str | None, **options: Any) -> None:
        command(Home.find(verb_home or home, unfinished=unfinished), **options)

    return call


def pass_client(command: _Command) -> _Command:
    """Pass a client to a command: of `--home`, else of the service at `KERASTUDY_URL`, else of the default home."""

    @click.option(
        "--home",
        "verb_home",
        metavar="FOLDER",
        help="Where all state is kept; default: the service at KERASTUDY_URL, or KERASTUDY_HOME or .kerastudy.",
    )
    @click.pass_obj
    @wraps(command)
    def call(home: str | None, /, verb_home: str | None, **options: Any) -> None:
        with _open_client(verb_home or home) as client:
            command(client, **options)

    return call


def _open_client(home: str | None) -> StudyClient:
    # A `--home` that is written on the command line wins over the environment.
    if home is None and os.environ.get("KERASTUDY_URL"):
        # Imported by choice: a home needs no HTTP client, and a service none of the store.
        from pipelines.client.http import HttpClient

        if (remote := HttpClient.from_environment()) is not None:
            return remote
    from pipelines.client.local import LocalClient

    return LocalClient(Home.find(home))


class WholeNumber(click.ParamType):  # type: ignore[type-arg]  # a type with an argument only since click 8.2
    """A whole number within bounds, with an error in the form of kerastudy's own ones."""

    name = "whole number"

    def __init__(self, least: int, most: int | None = None) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of a text."""
        text = str(value)
        # `int` would also accept " 7", "+7" and "1_000".
        number = int(text) if text.removeprefix("-").isdecimal() else None
        if number is None or number < self._least or (self._most is not None and number > self._most):
            above = f"of at least {self._least}" if self._most is None else f"from {self._least} to {self._most}"
            self.fail(f"expected a whole number {above}, got {text}", param, ctx)
        return number


class TrialNumber(click.ParamType):  # type: ignore[type-arg]  # as above
    """A trial's number, or its short name: 3, t003."""

    name = "trial"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of a text."""
        text = str(value)
        digits = text[1:] if text[:1] in ("t", "T") else text
        # `isdecimal` alone also holds for the digits of other scripts.
        if not (digits.isascii() and digits.isdecimal()):
            self.fail(f"expected the number of a trial, such as 3 or t003, got {text}", param, ctx)
        return int(digits)


def complete_study(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of studies for a shell that completes one; none where they cannot be read."""
    from pipelines.cli.completion import list_study_names

    return [name for name in list_study_names(context) if name.startswith(incomplete)]


file_argument = click.argument("file", type=click.Path(path_type=Path))
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, as in --set space.l2.high=1e-3."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
study_argument = click.argument("study", shell_complete=complete_study)
trial_argument = click.argument("trial", type=TrialNumber())


def trial_option(meaning: str) -> Callable[[_Command], _Command]:
    """Return the option `--trial` with its meaning."""
    return click.option("--trial", type=TrialNumber(), metavar="N", help=meaning)


def print_notes(notes: Iterable[Problem | str]) -> None:
    """Print notes on standard error."""
    for note in notes:
        click.echo(f"note: {note}", err=True)
