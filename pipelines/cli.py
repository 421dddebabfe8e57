"""The command line: one door over the flow, with no logic of its own.

Each verb imports what it needs when it runs, so that `kerastudy --help` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.home import Home
from search_spaces.errors import InputError, KerastudyError, Problem

if TYPE_CHECKING:
    from pipelines.here import Here
    from pipelines.remote import Remote
    from search_spaces.foreign.exchange import Exported
    from tracking.study_queue import Wish

_Command = Callable[..., None]
_NO_DEFECT = (errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.ENOTDIR, errno.ENAMETOOLONG)
"""What a machine may refuse, whatever we do: rights, space, a path that cannot be."""


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    try:
        status = commands.main(prog_name="kerastudy", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except KerastudyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_DEFECT:
            print(f"{error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
            sys.exit(1)
        traceback.print_exc()
        print("This is a defect in kerastudy; please report it with the lines above.", file=sys.stderr)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--home", metavar="FOLDER", help="Where all state is kept; default: KERASTUDY_HOME or .kerastudy.")
@click.version_option(package_name="kerastudy", message="%(version)s")
@click.pass_context
def commands(context: click.Context, home: str | None) -> None:
    """Tune Keras models: run studies, browse their trials in MLflow, export the best model."""
    context.obj = home


def _with_home(command: _Command) -> _Command:
    """Give a command the home, also when `--home` stands behind the verb."""

    @click.option(
        "--home", "own_home", metavar="FOLDER", help="Where all state is kept; default: KERASTUDY_HOME or .kerastudy."
    )
    @click.pass_obj
    @wraps(command)
    def call(home: str | None, /, own_home: str | None, **options: Any) -> None:
        command(Home.at(own_home or home), **options)

    return call


def _with_door(command: _Command) -> _Command:
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
        from pipelines.remote import Remote

        if (remote := Remote.named()) is not None:
            return remote
    from pipelines.here import Here

    return Here(Home.at(home))


class _Whole(click.ParamType):  # type: ignore[type-arg]  # a type with an argument only since click 8.2
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


_file = click.argument("file", type=click.Path(path_type=Path))
_set = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, as in --set space.l2.high=1e-3."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_study = click.argument("study")
_FORMATS = "keras-tuner, wandb, katib, nni, optuna"
_EXPORT_FORMATS = "keras, keras_int8, saved_model, litert, litert_float16, litert_dynamic, litert_int8, onnx, openvino"


@commands.command()
@_file
@click.option("--trials", type=_Whole(1), metavar="N", help="Trials in total; same as --set budget.trials=N.")
@click.option("--workers", type=_Whole(1), metavar="N", help="Worker processes; as many as cores by default.")
@click.option("--evolve", is_flag=True, help="Go on in a changed space, with the trials that still fit it.")
@_set
@_with_home
def run(
    home: Home, file: Path, trials: int | None, workers: int | None, evolve: bool, overrides: tuple[str, ...]
) -> None:
    """Run the study in FILE; run it again to resume it.

    Ctrl-C parks the study: running trials are put back, and the same command goes on with them. It works here, on the
    home: `kerastudy submit` hands a study to a service.
    """
    from pipelines.engines.local import LocalEngine
    from pipelines.study_file import load_study

    if trials is not None:
        overrides = (*overrides, f"budget.trials={trials}")
    if workers is not None:
        overrides = (*overrides, f"resources.workers={workers}")
    study = load_study(file, overrides)
    _print_notes(study.notes())
    LocalEngine.warm("tensorflow")  # takes seconds, in a process of its own, while more is imported here
    from pipelines.foreground import run_in_foreground

    sys.exit(run_in_foreground(study, home, evolve=evolve))


@commands.command()
@_file
@click.option("--priority", type=_Whole(-100, 100), default=0, metavar="N", help="Higher begins first; 0 by default.")
@click.option("--wait", is_flag=True, help="Follow its log until it ends.")
@click.option("--upload", is_flag=True, help="Send the data files that FILE names along to the service.")
@_set
@_json
@_with_door
def submit(
    door: Here | Remote,
    file: Path,
    priority: int,
    wait: bool,
    upload: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Hand the study in FILE to the service.

    Without KERASTUDY_URL it is put in the queue of the home, for the service that runs there.
    """
    from pipelines import tables
    from pipelines.handing_in import followed, handed_in
    from pipelines.study_file import load_study

    study = load_study(file, overrides)
    _print_notes(study.notes())
    submitted = handed_in(door, study, priority, upload=upload)
    (tables.print_json if as_json else tables.print_submitted)(submitted)
    if wait:
        sys.exit(followed(door, submitted.study))


@commands.command()
@_study
@_json
@_with_door
def wait(door: Here | Remote, study: str, as_json: bool) -> None:
    """Wait until STUDY ends, or is parked.

    The exit code is 0 where it is finished, and 1 otherwise.
    """
    from pipelines import tables
    from pipelines.handing_in import waited

    ended = waited(door, study)
    (tables.print_json if as_json else tables.print_standing)(ended)
    sys.exit(0 if ended.state == "finished" else 1)


@commands.command()
@_study
@click.argument("trial", type=_Whole(0), required=False)
@click.option("--follow", is_flag=True, help="Go on until the study ends.")
@_with_door
def logs(door: Here | Remote, study: str, trial: int | None, follow: bool) -> None:
    """Print the log of STUDY, or what the worker of its trial TRIAL printed."""
    for piece in door.log(study, trial, follow=follow):
        click.echo(piece, nl=False)


@commands.command()
@_study
@_json
@_with_door
def resume(door: Here | Remote, study: str, as_json: bool) -> None:
    """Go on with STUDY, as it was submitted.

    Running trials of a paused or interrupted study go on from their last checkpoints: in the foreground, or by the
    service that KERASTUDY_URL names.
    """
    from pipelines import tables
    from pipelines.here import Here

    if not isinstance(door, Here):
        (tables.print_json if as_json else tables.print_standing)(door.resume(study))
        return
    from pipelines.engines.local import LocalEngine

    LocalEngine.warm("tensorflow")
    from pipelines.foreground import resume_in_foreground

    sys.exit(resume_in_foreground(study, door.home))


def _controls(wish: Wish, door: Here | Remote, study: str, *, as_json: bool) -> None:
    from pipelines import tables

    (tables.print_json if as_json else tables.print_standing)(door.ask(study, wish))


@commands.command()
@_study
@_json
@_with_door
def pause(door: Here | Remote, study: str, as_json: bool) -> None:
    """Pause STUDY: running trials are put back.

    They go on from their last checkpoints with `kerastudy resume STUDY`.
    """
    _controls("pause", door, study, as_json=as_json)


@commands.command()
@_study
@_json
@_with_door
def stop(door: Here | Remote, study: str, as_json: bool) -> None:
    """End STUDY early: running trials may finish, none begins.

    The best model so far is registered, as at the end of the budget.
    """
    _controls("stop", door, study, as_json=as_json)


@commands.command()
@_study
@_json
@_with_door
def cancel(door: Here | Remote, study: str, as_json: bool) -> None:
    """End STUDY at once and for good.

    Running trials are cancelled; what was finished stays, and can be exported.
    """
    _controls("cancel", door, study, as_json=as_json)


@commands.command()
@_file
@_set
@_json
def validate(file: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check FILE, its data and its models.

    The smallest and the largest model that the space can ask for are built and timed; nothing is kept.
    """
    from pipelines.foreground import validate_in_foreground
    from pipelines.study_file import load_study

    study = load_study(file, overrides)
    _print_notes(study.notes())
    validate_in_foreground(study, as_json=as_json)


@commands.command()
def schema() -> None:
    """Print the JSON Schema of study files."""
    from pipelines.study_file import schema as study_schema
    from pipelines.tables import print_json

    print_json(study_schema())


@commands.command()
@click.argument("name", required=False)
@click.option("--export", "to_format", metavar="FORMAT", help=f"Print it for another tool: {_FORMATS}.")
@_json
def spaces(name: str | None, to_format: str | None, as_json: bool) -> None:
    """List the shipped spaces, or print the one called NAME, or the space of the file NAME in full."""
    from pipelines import space_tools, tables

    if to_format and (as_json or name is None):
        raise InputError(f"--export: expected {'no --json beside it' if name else 'the name of a space or a file'}")
    if name is None:
        (tables.print_json if as_json else tables.print_spaces)(space_tools.shipped_spaces())
    elif to_format:
        _print_noted(space_tools.exported_space(name, to_format))
    elif as_json:
        tables.print_json(space_tools.space_called(name).to_dict())
    else:
        click.echo(space_tools.space_text(name), nl=False)


@commands.command(name="import-space")
@_file
@click.option("--format", "from_format", metavar="FORMAT", help=f"{_FORMATS}; told by what is in FILE by default.")
def import_space(file: Path, from_format: str | None) -> None:
    """Print the space in another tool's FILE as ours; on standard error, what has no equivalent."""
    from pipelines import space_tools

    _print_noted(space_tools.imported_space(file, from_format))


def _print_noted(exported: Exported) -> None:
    _print_notes(exported.notes)
    click.echo(exported.text, nl=False)


def _print_notes(notes: Iterable[Problem | str]) -> None:
    for note in notes:
        click.echo(f"note: {note}", err=True)


@commands.command(name="list")
@_json
@_with_door
def list_studies(door: Here | Remote, as_json: bool) -> None:
    """List all studies."""
    from pipelines import tables

    (tables.print_json if as_json else tables.print_studies)(door.studies())


@commands.command()
@_study
@_json
@_with_door
def show(door: Here | Remote, study: str, as_json: bool) -> None:
    """Show how STUDY stands."""
    from pipelines import tables

    (tables.print_json if as_json else tables.print_study)(door.study(study))


@commands.command()
@_study
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@_json
@_with_door
def trials(door: Here | Remote, study: str, as_csv: bool, as_json: bool) -> None:
    """List the trials of STUDY."""
    from pipelines import tables

    if as_csv and as_json:
        raise InputError("--csv and --json: expected one of them")
    print_trials = tables.print_json if as_json else tables.print_csv if as_csv else tables.print_trials
    print_trials(door.trials(study))


@commands.command()
@_study
@_json
@_with_door
def best(door: Here | Remote, study: str, as_json: bool) -> None:
    """Show the best trial of STUDY."""
    from pipelines import tables

    (tables.print_json if as_json else tables.print_best)(door.best(study))


@commands.command()
@_study
@click.option("--trial", type=_Whole(0), metavar="N", help="Which trial; the winner by default.")
@click.option(
    "--at-most",
    multiple=True,
    metavar="OBJECTIVE=VALUE",
    help="Of several objectives: the best trial by the first whose others are at most so large.",
)
@click.option("--at-least", multiple=True, metavar="OBJECTIVE=VALUE", help="Likewise, at least so large.")
@click.option("--ensemble", is_flag=True, help="The mean of the finalists' models, where it beat the winner.")
@click.option("--format", "formats", metavar="A,B", help=f"{_EXPORT_FORMATS}; default: the study file's.")
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="Folder to create.")
@_json
@_with_door
def export(
    door: Here | Remote,
    study: str,
    trial: int | None,
    at_most: tuple[str, ...],
    at_least: tuple[str, ...],
    ensemble: bool,
    formats: str | None,
    target: Path,
    as_json: bool,
) -> None:
    """Write the best model of STUDY, proven equal.

    Each file is loaded again in a fresh process, and compared with the Keras model on real rows before anything is
    handed over. The formats onnx and openvino need the extras of these names.
    """
    from pipelines import tables
    from pipelines.views import point_on_front

    chosen = None if formats is None else [name.strip() for name in formats.split(",")]
    if at_most or at_least:
        if trial is not None or ensemble:
            raise InputError("expected one way to choose a model: --trial, --ensemble, or bounds of objectives")
        trial = point_on_front(door.best(study), _bounds("--at-most", at_most), _bounds("--at-least", at_least))
    written = door.export(study, trial, chosen, target, ensemble=ensemble)
    (tables.print_json if as_json else tables.print_export)(written)


def _bounds(option: str, written: Sequence[str]) -> dict[str, float]:
    """Return the bounds in an option that is given as `NAME=VALUE`."""
    bounds = {}
    for each in written:
        name, _, value = each.partition("=")
        try:
            bounds[name.strip()] = float(value)
        except ValueError:
            raise InputError(f"{option}: expected OBJECTIVE=VALUE such as size_mb=0.5, got {each!r}") from None
    return bounds


@commands.command()
@_study
@click.option("--trial", type=_Whole(0), metavar="N", help="Which trial; the best one by default.")
@click.option("--alias", metavar="NAME", help="Which alias; default: the study file's, champion where it names none.")
@click.option("--force", is_flag=True, help="Also if it is worse, or cannot be compared.")
@_json
@_with_door
def promote(door: Here | Remote, study: str, trial: int | None, alias: str | None, force: bool, as_json: bool) -> None:
    """Make the best model of STUDY the champion.

    It is compared on the study's test rows with the version that holds the alias, and gets the alias if it is at least
    as good. The exit code is 1 where it is not, and nothing was changed.
    """
    from pipelines import tables

    done = door.promote(study, trial, alias, force=force)
    (tables.print_json if as_json else tables.print_promoted)(done)
    sys.exit(0 if done.is_promoted else 1)


@commands.command()
@_study
@click.argument("trial", type=_Whole(0))
@click.option("--to", "target", type=click.Path(path_type=Path), help="Folder to create for what the training leaves.")
@_json
@_with_door
def replay(door: Here | Remote, study: str, trial: int, target: Path | None, as_json: bool) -> None:
    """Train TRIAL of STUDY again, and report every difference.

    Its data is prepared anew; data, code, environment, seed, values, each epoch, score and weights are compared with
    what was recorded. The exit code is 0 where the training came out equal, but for rounding, and 1 otherwise; what
    else differs does not count. Nothing of the study is changed.
    """
    from pipelines import tables

    replayed = door.replay(study, trial, target)
    (tables.print_json if as_json else tables.print_replayed)(replayed)
    sys.exit(1 if replayed.verdict == "different" else 0)


_wait = click.option(
    "--wait",
    "wait_s",
    type=_Whole(0),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="Give up when MLflow takes nothing for so long.",
)


@commands.command()
@click.argument("studies", nargs=-1, metavar="[STUDY]...")
@_wait
@_json
@_with_home
def sync(home: Home, studies: tuple[str, ...], wait_s: int, as_json: bool) -> None:
    """Deliver what waits for MLflow, of each STUDY or of all.

    Nothing is trained. What MLflow has refused so far is tried again.
    """
    from pipelines.foreground import sync_in_foreground

    sys.exit(sync_in_foreground(home, studies, wait_s, as_json=as_json))


@commands.command(name="rebuild-tracking")
@_study
@_wait
@_json
@_with_home
def rebuild_tracking(home: Home, study: str, wait_s: int, as_json: bool) -> None:
    """Tell MLflow of STUDY anew, from the store and the home.

    For an MLflow that was lost, or lost a part. What it has already stays as it is.
    """
    from pipelines.foreground import rebuild_in_foreground

    sys.exit(rebuild_in_foreground(home, study, wait_s, as_json=as_json))


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5000, show_default=True, type=_Whole(1, 65535), help="Port to try first.")
@_with_home
def ui(home: Home, host: str, port: int) -> None:
    """Start the MLflow UI.

    Prints where each study is seen; Ctrl-C ends it.
    """
    from pipelines.foreground import ui_in_foreground

    ui_in_foreground(home, host, port)


@commands.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="The service's file; service.yaml in the home by default."
)
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=_Whole(1, 65535), metavar="N", help="Port to listen on.")
@click.option("--studies", type=_Whole(1, 64), metavar="N", help="Studies that run at a time.")
@click.option("--tls-in-front", is_flag=True, help="A proxy in front speaks TLS, so a public address will do.")
@_with_home
def serve(
    home: Home, config: Path | None, host: str | None, port: int | None, studies: int | None, tls_in_front: bool
) -> None:
    """Run the service: studies are submitted to it over HTTP.

    What is not given here is taken from its file. Ctrl-C and SIGTERM end it; running studies are put back into its
    queue and go on after the next start.
    """
    from pipelines.service.config import read_config
    from pipelines.serving import serve as serve_home

    given = {"host": host, "port": port, "studies": studies, "tls_in_front": tls_in_front or None}
    spec = read_config(config, home.folder)
    spec = spec.model_copy(update={key: value for key, value in given.items() if value is not None})
    serve_home(home, spec, lambda line: print(line, flush=True))


@commands.command(hidden=True)
@_study
@click.option("--most-trials", type=_Whole(1))
@click.option("--most-workers", type=_Whole(1))
@_with_home
def work(home: Home, study: str, most_trials: int | None, most_workers: int | None) -> None:
    """Work on STUDY for the service that holds standard input."""
    from pipelines.service.work import work_on

    work_on(study, home, most_trials, most_workers)


@commands.command()
@click.argument("url", required=False)
@click.option("--token-file", type=click.Path(path_type=Path), help="File that holds the token; asked for by default.")
def login(url: str | None, token_file: Path | None) -> None:
    """Keep a token for the service at URL, or at KERASTUDY_URL, in a file that only you can read."""
    from pipelines.remote import login as log_in

    url = url or os.environ.get("KERASTUDY_URL", "")
    if not url.startswith(("http://", "https://")):
        raise InputError(f"expected the address of a service, such as http://127.0.0.1:8080, got {url or 'none'}")
    if token_file is not None:
        token = token_file.read_text(encoding="utf-8").strip()
    else:
        token = click.prompt("Token", hide_input=True).strip()
    mine = log_in(url, token)
    click.echo(f"logged in at {url} as {mine.name}, who may {mine.scope}")


@commands.group()
def token() -> None:
    """Make, list and remove the tokens of a service."""


@token.command(name="create")
@click.argument("name")
@click.option("--scope", type=click.Choice(["read", "submit", "admin"]), default="submit", show_default=True)
@click.option("--running-trials", type=_Whole(1), metavar="N", help="Most trials of its studies that train at once.")
@_with_door
def create_token(door: Here | Remote, name: str, scope: Any, running_trials: int | None) -> None:
    """Make a token for NAME and print it: this once."""
    click.echo(door.create_token(name, scope, running_trials))


@token.command(name="list")
@_json
@_with_door
def list_tokens(door: Here | Remote, as_json: bool) -> None:
    """List all tokens, without their secrets."""
    from pipelines import tables

    (tables.print_json if as_json else tables.print_tokens)(door.tokens())


@token.command(name="remove")
@click.argument("name")
@_with_door
def remove_token(door: Here | Remote, name: str) -> None:
    """Remove the token of NAME; it is refused from now on."""
    door.remove_token(name)
