"""Command line: one interface to the operations, without logic.

Each verb imports what it needs when it runs, so that `kerastudy --help` answers at once.
"""

from __future__ import annotations

import atexit
import errno
import os
import sys
import traceback
from contextlib import suppress

import click

from pipelines.cli import access, life_cycle, maintenance, reports, results, sharing, spaces, studies
from pipelines.cli.safe_stream import guard_output
from search_spaces.errors import KerastudyError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_DEFECT = (*_NO_ROOM, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG)
"""Errors of the machine and not of the code: rights, space, an impossible path."""


# click folds help at 80 columns by default, which leaves too few for the meanings of long options.
@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--home", metavar="FOLDER", help="Where all state is kept; default: KERASTUDY_HOME or .kerastudy.")
@click.version_option(package_name="kerastudy", message="%(version)s")
@click.pass_context
def commands(context: click.Context, home: str | None) -> None:
    """Tune Keras models: run studies, browse their trials in MLflow, export the best model."""
    context.obj = home


for _verb in (
    studies.run,
    studies.submit,
    studies.wait,
    studies.print_logs,
    studies.resume,
    studies.pause,
    studies.stop,
    studies.cancel,
    life_cycle.archive,
    life_cycle.unarchive,
    life_cycle.delete,
    life_cycle.usage,
    life_cycle.gc,
    life_cycle.back_up,
    life_cycle.verify,
    life_cycle.restore,
    spaces.init,
    spaces.validate,
    spaces.print_schema,
    spaces.list_spaces,
    spaces.import_space,
    results.list_studies,
    results.show,
    results.list_trials,
    results.show_best,
    results.export,
    results.predict,
    reports.report,
    reports.compare,
    results.promote,
    results.replay,
    sharing.model,
    sharing.uploads,
    maintenance.sync,
    maintenance.rebuild_tracking,
    maintenance.ui,
    maintenance.serve,
    maintenance.supervise,
    maintenance.hosts,
    maintenance.warm,
    maintenance.upgrade_store,
    maintenance.login,
    access.token,
    access.account,
    access.print_audit,
):
    commands.add_command(_verb)


def command() -> None:
    """Run `main` as the only work of a process, and end the process.

    Python takes more than a second to tear down the modules of a study; the system frees all of it at once.
    """
    from pipelines.cli.command_process import mark_command_process

    status: object = 1

    def leave() -> None:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 0)

    mark_command_process()
    atexit.register(leave)  # registered first, called last: after all threads and all other handlers
    try:
        main()
    except SystemExit as ended:
        status = ended.code


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    guard_output()
    try:
        # click's standalone mode would end the process itself: with 1 after Ctrl-C, where shells expect 130.
        status = commands.main(prog_name="kerastudy", standalone_mode=False)
        # Here, where a closed pipe is caught, and not at the end of the process.
        sys.stdout.flush()
    except click.exceptions.Abort:
        # 128 and the number of SIGINT, as shells count; click turns a Ctrl-C into Abort.
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except KerastudyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        # Otherwise the flush at the end of the process fails in the same way, and prints a warning.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_DEFECT:
            # What is written to an open file that finds no room has no name.
            place = error.filename or ("the disk of what is written" if error.errno in _NO_ROOM else "a file")
            print(f"{place}: {error.strerror}", file=sys.stderr)
            sys.exit(1)
        if isinstance(error, FileNotFoundError) and _is_folder_gone():
            print("the current folder was removed: change to another one", file=sys.stderr)
            sys.exit(1)
        traceback.print_exc()
        print("This is a defect in kerastudy; please report it with the lines above.", file=sys.stderr)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _is_folder_gone() -> bool:
    """Return whether the current folder was removed."""
    try:
        os.getcwd()  # noqa: PTH109  # pathlib calls the same
    except FileNotFoundError:
        return True
    return False
