"""The home on this machine, seen from the command line: the same questions and answers as of a service (`remote`)."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.source_paths import check_source_paths
from pipelines.export.export import ExportResult
from pipelines.operations.control import Standing
from pipelines.operations.promote import Promoted, promote_trial
from pipelines.operations.submit import hand_in
from pipelines.queries.study_reader import Lookup
from pipelines.queries.views import BestTrial, StudyRow, StudyView, TrialRow
from pipelines.study.load import Study
from pipelines.supervisor.event_log import LOG_FILE
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, UnknownError
from tracking.store.database import Store
from tracking.store.study_queue import OVER, StudyQueue, Wish
from tracking.store.submissions import Submissions
from tracking.store.tokens import Scope, Token, Tokens

if TYPE_CHECKING:
    from pipelines.operations.replay.replay import Replayed

_LOOK_EVERY_S = 0.5
_PIECE_BYTES = 1 << 16


class Here:
    """A home."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    # Studies -------------------------------------------------------------------------------------------------

    def submit(self, study: Study, *, priority: int = 0) -> tuple[str, bool]:
        """Put a study in the home's queue, for a service to work on; return its name, and whether it is new there.

        Raises:
            InputError: if its files are not there, or there is another study of that name.
        """
        try:
            check_source_paths(study.spec.data, study.base)
        except InputError as error:
            raise study.placed(error) from None
        with Store.open(self.home.store) as store, store.write() as connection:
            is_new = hand_in(study, StudyQueue(store), connection)
            Submissions(store).put(study.name, getpass.getuser(), priority, connection)
        return study.name, is_new

    def with_uploads(self, study: Study) -> Study:
        """Refuse to send files to where they are."""
        raise InputError("--upload: there is no service to send files to; set KERASTUDY_URL")

    def studies(self) -> Sequence[StudyRow]:
        """Return every study, oldest first."""
        with Lookup.open(self.home) as lookup:
            return lookup.studies()

    def study(self, name: str) -> StudyView:
        """Return one study."""
        with Lookup.open(self.home) as lookup:
            return lookup.study(name)

    def trials(self, name: str) -> Sequence[TrialRow]:
        """Return a study's trials."""
        with Lookup.open(self.home) as lookup:
            return lookup.trials(name)

    def best(self, name: str) -> BestTrial:
        """Return a study's best trial."""
        with Lookup.open(self.home) as lookup:
            return lookup.best(name)

    def ask(self, name: str, wish: Wish) -> Standing:
        """Pause, stop or cancel a study; return how it stands then."""
        from pipelines.cli.foreground import control_in_foreground

        return control_in_foreground(name, self.home, wish)

    def log(self, name: str, trial: int | None, *, follow: bool) -> Iterator[str]:
        """Yield a study's log, or a trial's, piece by piece; with `follow`, until nobody works on the study."""
        file = self._log_file(name, trial)
        position = 0
        while True:
            is_over = not follow or self.study(name).state in (*OVER, "parked", "interrupted")
            while file.exists():
                with file.open("rb") as stream:
                    stream.seek(position)
                    piece = stream.read(_PIECE_BYTES)
                if not piece:
                    break
                position += len(piece)
                yield piece.decode(errors="replace")
            if is_over:
                return
            time.sleep(_LOOK_EVERY_S)

    def _log_file(self, name: str, trial: int | None) -> Path:
        if trial is None:
            self.study(name)
            return self.home.study(name) / LOG_FILE
        if trial not in {each.number for each in self.trials(name)}:
            raise UnknownError(f"{name} has no trial {trial}")
        return self.home.worker_log(name, trial)

    def export(
        self, name: str, trial: int | None, formats: Sequence[str] | None, target: Path, *, ensemble: bool = False
    ) -> ExportResult:
        """Write a model of a study to a new folder; see `export_study`."""
        from pipelines.operations.export import export_study

        return export_study(self.home, name, trial, formats, target, ensemble=ensemble)

    def promote(self, name: str, trial: int | None, alias: str | None, *, force: bool) -> Promoted:
        """Give a trial's model an alias, if it is at least as good as what holds it."""
        return promote_trial(self.home, name, trial, alias, force=force)

    def replay(self, name: str, trial: int, target: Path | None) -> Replayed:
        """Train a trial again and compare it with what was recorded."""
        from pipelines.cli.foreground import replay_in_foreground

        return replay_in_foreground(self.home, name, trial, target)

    # Tokens --------------------------------------------------------------------------------------------------

    def tokens(self) -> Sequence[Token]:
        """Return all tokens of the home's service."""
        with Store.open(self.home.store) as store:
            return Tokens(store).list()

    def create_token(self, name: str, scope: Scope, running_trials: int | None) -> str:
        """Make a token and return it as it is written."""
        with Store.open(self.home.store) as store:
            return Tokens(store).create(name, scope, running_trials)

    def remove_token(self, name: str) -> None:
        """Remove a token."""
        with Store.open(self.home.store) as store:
            Tokens(store).remove(name)
