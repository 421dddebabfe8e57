"""Models of a service's studies: exported into an archive, promoted in MLflow.

Models are loaded by worker processes, so the service itself loads no Keras. A promotion loads MLflow's client into the
service, 110 MB once.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from pipelines.engines.fork_server import stop_servers
from pipelines.operations.export import export_study
from pipelines.operations.promote import PromotionResult, check_alias, promote_trial
from pipelines.queries.study_reader import StudyReader
from pipelines.service.config import ServiceSpec
from pipelines.service.studies.export_slots import ExportSlots
from pipelines.service.studies.ownership import Ownership
from pipelines.service.supervisors.bounded_engine import BoundedEngine
from pipelines.workspace.home import Home
from tracking.store.accounts import Identity
from tracking.store.database import Store

_LIMIT_S = 1800.0  # chosen: a large model in all formats takes minutes


class ModelService:
    """Exports and promotions, a few at a time."""

    def __init__(self, home: Home, store: Store, spec: ServiceSpec) -> None:
        self._home = home
        self._reader = StudyReader(home, store, place="this service")
        self._ownership = Ownership(store, spec.protected_aliases)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._engines = 0
        self._slots = ExportSlots(spec.ceilings.exports)

    @property
    def running(self) -> int:
        """How many exports and promotions are at work."""
        return self._engines

    def stop(self) -> None:
        """End the exports and promotions that run; their workers end within a second."""
        self._stopped.set()

    @contextmanager
    def export(
        self, study: str, trial: int | None, formats: Sequence[str], caller: Identity, *, ensemble: bool = False
    ) -> Iterator[Path]:
        """Yield a ZIP archive with a model in the formats, as `export_study` chooses it, and remove it afterwards.

        Raises:
            UnknownError: if there is no such study or trial.
            ConflictError: if the trial is not complete, no trial is, or no ensemble beats the winner.
            BusyError: if too many exports run, of the caller or in all.
            KerastudyError: if a file cannot be written or differs from the Keras model, or at the time limit.
        """
        number = self._reader.find_complete_trial(study, trial)
        # Up to the end of the download: archives are as large as models.
        with self._slots.acquire(caller), tempfile.TemporaryDirectory(prefix="kerastudy-export-") as scratch:
            folder = Path(scratch) / f"{study}-t{number:03d}"
            with self._start_engine() as engine:
                export_study(self._home, study, trial, formats or None, folder, ensemble=ensemble, engine=engine)
            yield _archive(folder)

    def promote(
        self, study: str, trial: int | None, alias: str | None, caller: Identity, *, force: bool
    ) -> PromotionResult:
        """Give a trial's model an alias, if it is at least as good as the version that holds it.

        Raises:
            UnknownError: if there is no such study or trial.
            ConflictError: if the trial is not complete, or no trial is.
            InputError: if MLflow takes no such alias.
            ForbiddenError: if the study, or the registered model, belongs to another submitter.
            BusyError: if too many exports run, of the caller or in all.
            KerastudyError: if MLflow does not answer, or at the time limit.
        """
        # Two owners: the name under which the study registers may be another submitter's, and others deploy from it.
        self._ownership.require_study(study, caller)
        check_alias(alias)
        loaded = self._reader.load_study(study)
        self._ownership.require_alias(loaded.registered_name, alias or loaded.spec.export.alias, caller)
        number = self._reader.find_complete_trial(study, trial)
        with self._slots.acquire(caller), self._start_engine() as engine:
            return promote_trial(self._home, study, number, alias, force=force, engine=engine)

    @contextmanager
    def _start_engine(self) -> Iterator[BoundedEngine]:
        """Yield an engine; the last one to close frees the memory of the server that workers are forked from."""
        with self._lock:
            self._engines += 1
        try:
            with closing(BoundedEngine(_LIMIT_S, self._stopped)) as engine:
                yield engine
        finally:
            with self._lock:
                self._engines -= 1
                # Under the lock: another engine may be starting with this server.
                if self._engines == 0:
                    stop_servers()


def _archive(folder: Path) -> Path:
    """Replace a folder by a ZIP archive beside it and return the archive."""
    archive = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for each in sorted(path for path in folder.rglob("*") if path.is_file()):
            file.write(each, Path(folder.name) / each.relative_to(folder))
    shutil.rmtree(folder)
    return archive
