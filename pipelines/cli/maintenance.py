"""Verbs for the operator of a home or a service: MLflow, the service, its tokens."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import WholeNumber, json_option, pass_client, pass_home, study_argument
from pipelines.workspace.home import Home
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from pipelines.client.submission import StudyClient

_wait = click.option(
    "--wait",
    "wait_s",
    type=WholeNumber(0),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="Give up after so long without a delivery.",
)


@click.command()
@click.argument("studies", nargs=-1, metavar="[STUDY]...")
@_wait
@json_option
@pass_home
def sync(home: Home, studies: tuple[str, ...], wait_s: int, as_json: bool) -> None:
    """Deliver the records that wait for MLflow, of each STUDY or of all.

    Nothing is trained. Records that MLflow has refused are tried again.
    """
    from pipelines.cli.deliveries import sync_in_foreground

    sys.exit(sync_in_foreground(home, studies, wait_s, as_json=as_json))


@click.command(name="rebuild-tracking")
@study_argument
@_wait
@json_option
@pass_home
def rebuild_tracking(home: Home, study: str, wait_s: int, as_json: bool) -> None:
    """Rebuild the MLflow runs of STUDY from the store and the home.

    For an MLflow that was lost, or lost a part. Runs that it has stay as they are.
    """
    from pipelines.cli.deliveries import rebuild_in_foreground

    sys.exit(rebuild_in_foreground(home, study, wait_s, as_json=as_json))


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5000, show_default=True, type=WholeNumber(1, 65535), help="Port to try first.")
@pass_home
def ui(home: Home, host: str, port: int) -> None:
    """Start the MLflow UI.

    Prints the address of each study; Ctrl-C ends it.
    """
    from pipelines.cli.foreground import ui_in_foreground

    ui_in_foreground(home, host, port)


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="The service's file; service.yaml in the home by default."
)
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=WholeNumber(1, 65535), metavar="N", help="Port to listen on.")
@click.option("--studies", type=WholeNumber(0, 64), metavar="N", help="Studies that run on this host at a time.")
@click.option("--tls-in-front", is_flag=True, help="A proxy in front serves TLS, so a public address is allowed.")
@click.option("--known-as", multiple=True, metavar="NAME", help="A further host name of the service; may be repeated.")
@pass_home
def serve(
    home: Home,
    config: Path | None,
    host: str | None,
    port: int | None,
    studies: int | None,
    tls_in_front: bool,
    known_as: tuple[str, ...],
) -> None:
    """Run the service: studies are submitted to it over HTTP.

    The service's file has the settings that are not given here. Ctrl-C and SIGTERM end it; running studies are put back
    into its queue and are resumed after the next start.
    """
    # FastAPI and uvicorn are loaded by this verb alone.
    from pipelines.service.config import read_config
    from pipelines.service.server import serve as serve_home

    # A flag that is not given is False, which must not override `tls_in_front: true` of the file.
    given: dict[str, object] = {"host": host, "port": port, "studies": studies, "tls_in_front": tls_in_front or None}
    spec = read_config(config, home.folder)
    given["hosts"] = [*spec.hosts, *known_as]
    # No second validation: click has checked the numbers within the same bounds.
    spec = spec.model_copy(update={key: value for key, value in given.items() if value is not None})
    serve_home(home, spec, lambda line: print(line, flush=True))


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="The service's file; service.yaml in the home by default."
)
@click.option("--studies", type=WholeNumber(1, 64), metavar="N", help="Studies that run on this host at a time.")
@pass_home
def supervise(home: Home, config: Path | None, studies: int | None) -> None:
    """Run studies of the queue that several hosts share.

    The hosts share a store on PostgreSQL (KERASTUDY_STORE), the home on storage that each has at the same path, and an
    MLflow server (MLFLOW_TRACKING_URI). The service's file has the limits of studies. Ctrl-C and SIGTERM put running
    studies back into the queue; the next host with room goes on with them.
    """
    from pipelines.service.config import read_config
    from pipelines.service.supervisors.supervising_host import run_host

    spec = read_config(config, home.folder)
    spec = spec if studies is None else spec.model_copy(update={"studies": studies})
    run_host(home, spec, lambda line: print(line, flush=True))


@click.command(name="upgrade-store")
@click.option(
    "--wait",
    "wait_s",
    type=WholeNumber(0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for a database server that is away.",
)
@json_option
@pass_home
def upgrade_store(home: Home, wait_s: int, as_json: bool) -> None:
    """Create the store's tables, or upgrade those of an earlier version.

    Every command does that when it opens the store. This one does nothing else: run it before a new version starts on
    several hosts. A store in a file is copied first; of one on a server, make a backup with the old version.
    """
    from pipelines.cli import life_cycle_output, output
    from pipelines.operations.upgrade_store import upgrade_store as upgrade

    (output.print_json if as_json else life_cycle_output.print_store_upgrade)(upgrade(home, wait_s))


@click.command()
@json_option
@pass_client
def hosts(client: StudyClient, as_json: bool) -> None:
    """List the processes that run studies on all hosts, and what they run."""
    from pipelines.cli import life_cycle_output, output

    (output.print_json if as_json else life_cycle_output.print_hosts)(client.list_hosts())


@click.command()
@click.option("--end", is_flag=True, help="End them now; one that a command uses ends with that command.")
@json_option
def warm(*, end: bool, as_json: bool) -> None:
    """List the processes that are kept for your next command on this machine, and their memory.

    They have loaded what takes seconds to load, and end some minutes after their last use.
    """
    from pipelines.cli import life_cycle_output, output
    from pipelines.engines.warm.listing import end_kept, list_kept

    kept = end_kept() if end else list_kept()
    (output.print_json if as_json else life_cycle_output.print_kept)(kept)


@click.command()
@click.argument("url", required=False)
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="File with the token; a prompt reads it by default."
)
def login(url: str | None, token_file: Path | None) -> None:
    """Store a token for the service at URL, or at KERASTUDY_URL, in a file that only you can read."""
    from pipelines.client.http import login as log_in

    url = url or os.environ.get("KERASTUDY_URL", "")
    if not url.startswith(("http://", "https://")):
        raise InputError(f"expected the address of a service, such as http://127.0.0.1:8080, got {url or 'none'}")
    if token_file is not None:
        # No option takes the token itself: arguments are visible to every user of the machine.
        token = token_file.read_text(encoding="utf-8").strip()
    else:
        token = click.prompt("Token", hide_input=True).strip()
    mine = log_in(url, token)
    click.echo(f"logged in at {url} as {mine.name}, who may {mine.scope}")
