"""Verbs that read data and show the steps on a terminal: validate, init."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from pipelines.cli import output
from pipelines.cli.safe_console import make_console
from pipelines.cli.status_line import StatusListener
from pipelines.engines.local_engine import LocalEngine
from pipelines.operations.check import check_study
from pipelines.operations.starter.init_study import StarterFile, init_study
from pipelines.operations.starter.series import SeriesRequest
from pipelines.study.study import Study


def validate_in_foreground(study: Study, *, as_json: bool) -> None:
    """Check a study's data and models and print the results.

    Raises:
        InputError: if the data or the model cannot be used.
    """
    engine = LocalEngine(1, user_code=study.has_user_model)
    # Not in the home: a check leaves nothing that a later run would take for prepared data.
    with tempfile.TemporaryDirectory(prefix="kerastudy-") as folder, closing(engine):
        checked = check_study(study, Path(folder) / "study", engine, timed=True)
    if as_json:
        output.print_json(checked)
    else:
        output.print_check(study.name, checked)


def init_in_foreground(
    source: str, targets: Sequence[str], file: Path | None, name: str | None, request: SeriesRequest
) -> StarterFile:
    """Write a study file for a data source, and show the steps on a terminal.

    Raises:
        InputError: if the data cannot be used, or the file exists; nothing is written.
    """
    # On standard error, so that `--json` output can be read by another program.
    status = make_console(stderr=True).status("reading the data")
    with status:
        return init_study(source, targets, file=file, name=name, request=request, listener=StatusListener(status))
