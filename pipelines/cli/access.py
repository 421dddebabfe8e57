"""Verbs on who may use a service: tokens, accounts, and the audit log of what they did."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import WholeNumber, json_option, pass_client
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from pipelines.client.submission import StudyClient

_DEFAULT_LABEL = "default"


class Duration(click.ParamType):  # type: ignore[type-arg]  # a type with an argument only since click 8.2
    """A duration such as `90d` in seconds, with an error in the form of kerastudy's own ones."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds of a text."""
        from pipelines.spec.units import parse_seconds  # loads pydantic

        text = str(value)
        try:
            return parse_seconds(float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_name = click.argument("name", required=False)
_label = click.option(
    "--label", default=_DEFAULT_LABEL, show_default=True, help="Its name among the tokens of the account."
)
_scope = click.option("--scope", type=click.Choice(["read", "submit", "admin"]))
_expires = click.option(
    "--expires", "lifetime_s", type=Duration(), metavar="TIME", help="Ends after so long: 90d, 12h."
)
_running_trials = click.option(
    "--running-trials", type=WholeNumber(1), metavar="N", help="Most trials of its studies that train at once."
)


@click.group()
def token() -> None:
    """Create, list, rotate and remove the tokens of a service; your own, if no NAME is given."""


@token.command(name="create")
@_name
@_scope
@_label
@_expires
@_running_trials
@pass_client
def create_token(
    client: StudyClient,
    name: str | None,
    scope: Any,
    label: str,
    lifetime_s: float | None,
    running_trials: int | None,
) -> None:
    """Create a token for NAME, or a further one of yours, and print it, this once.

    NAME gets an account if there is none. The scope is "submit" by default, and yours for your own. A token without
    --expires never ends, unless the operator has set `token_lifetime`.
    """
    if name is None and running_trials is not None:
        raise InputError("--running-trials: expected NAME with it; only an admin sets how many trials train at once")
    click.echo(client.access.create_token(name, scope, running_trials, label=label, lifetime_s=lifetime_s))


@token.command(name="list")
@click.option("--mine", is_flag=True, help="Only yours; no admin is needed.")
@json_option
@pass_client
def list_tokens(client: StudyClient, mine: bool, as_json: bool) -> None:
    """List all tokens, without their secrets."""
    from pipelines.cli.access_tables import print_tokens
    from pipelines.cli.output import print_json

    (print_json if as_json else print_tokens)(client.access.list_tokens(own=mine))


@token.command(name="rotate")
@_name
@_label
@_expires
@click.option("--overlap", "overlap_s", type=Duration(), metavar="TIME", help="The old one stays valid for so long.")
@pass_client
def rotate_token(
    client: StudyClient, name: str | None, label: str, lifetime_s: float | None, overlap_s: float | None
) -> None:
    """Replace a token of NAME, or of yours, by a new one and print it, this once.

    The account stays the same, and so do its studies. The old token ends at once, or after --overlap. The new one lives
    as long as the old one was to live, unless --expires is given.
    """
    click.echo(client.access.rotate_token(name, label, overlap_s=overlap_s or 0.0, lifetime_s=lifetime_s))


@token.command(name="remove")
@_name
@click.option("--label", help="Only the token with this label; default: all of NAME, or your token `default`.")
@pass_client
def remove_token(client: StudyClient, name: str | None, label: str | None) -> None:
    """Remove tokens of NAME, or one of yours; they are refused from now on.

    An account ends with its last way in: a token, a password or a provider. Its studies are then an admin's to control,
    and an account made later under its name is another one.
    """
    client.access.remove_token(name, label)


@click.group()
def account() -> None:
    """Add, list, change and remove the accounts of people who sign in with a password."""


@account.command(name="add")
@click.argument("name")
@_scope
@_running_trials
@pass_client
def add_account(client: StudyClient, name: str, scope: Any, running_trials: int | None) -> None:
    """Add an account called NAME; a prompt reads its password. It may submit, unless --scope is given."""
    client.access.create_account(name, scope or "submit", _prompt_password(), running_trials)


@account.command(name="list")
@json_option
@pass_client
def list_accounts(client: StudyClient, as_json: bool) -> None:
    """List all accounts, also those that have tokens alone."""
    from pipelines.cli.access_tables import print_accounts
    from pipelines.cli.output import print_json

    (print_json if as_json else print_accounts)(client.access.list_accounts())


@account.command(name="password")
@click.argument("name")
@pass_client
def change_password(client: StudyClient, name: str) -> None:
    """Give the account NAME a new password, which a prompt reads; its sessions end."""
    client.access.change_account(name, password=_prompt_password())


@account.command(name="scope")
@click.argument("name")
@click.argument("scope", type=click.Choice(["read", "submit", "admin"]))
@pass_client
def change_scope(client: StudyClient, name: str, scope: Any) -> None:
    """Change what the account NAME may do, from the next request on; its tokens may do no more."""
    client.access.change_account(name, scope=scope)


@account.command(name="remove")
@click.argument("name")
@pass_client
def remove_account(client: StudyClient, name: str) -> None:
    """Remove the account NAME with its tokens and sessions; its studies stay, and are an admin's to control."""
    client.access.remove_account(name)


@click.command(name="audit")
@click.option("--account", "name", metavar="NAME", help="Only of this account, by name or id.")
@click.option("--operation", metavar="TEXT", help="Only this operation, such as token.create.")
@click.option("--object", "object_", metavar="TEXT", help="Only on this study, account or other thing.")
@click.option("--outcome", type=click.Choice(["done", "refused", "failed"]))
@click.option("--since", "since_s", type=Duration(), metavar="TIME", help="Only of the last so long: 7d, 12h.")
@click.option("--limit", type=WholeNumber(1, 100_000), default=100, show_default=True, help="Most lines.")
@json_option
@pass_client
def print_audit(client: StudyClient, since_s: float | None, limit: int, as_json: bool, **filters: Any) -> None:
    """List who changed what, the newest first."""
    from pipelines.cli.access_tables import print_audit as print_lines
    from pipelines.cli.output import print_json

    since_ms = int((time.time() - since_s) * 1000) if since_s is not None else 0
    lines = client.access.list_audit(limit, since_ms=since_ms, **filters)
    (print_json if as_json else print_lines)(lines)


def _prompt_password() -> str:
    # No option takes it: arguments are visible to every user of the machine.
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
