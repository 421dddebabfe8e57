"""Models of a service's studies: exported into an archive, promoted in MLflow, used to predict, and compared.

Models are loaded by worker processes, so the service itself loads no Keras. The process of a prediction stays a while
for the next one with its model; see `kept_models`. A promotion loads MLflow's client into the service, 110 MB once.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import psutil

from pipelines.engines.fork_server import stop_servers
from pipelines.engines.run_job import JobError
from pipelines.export.jobs import PredictionJob
from pipelines.operations.compare import compare_studies
from pipelines.operations.export import export_study
from pipelines.operations.predict import Predictions, predict_file
from pipelines.operations.promote import PromotionResult, check_alias, promote_trial
from pipelines.queries.study_reader import StudyReader
from pipelines.service.config import ServiceSpec
from pipelines.service.errors import ForbiddenError, TooMuchError
from pipelines.service.studies.export_slots import SENDING, ExportSlots
from pipelines.service.studies.kept_models import KeptModels, ServedModel
from pipelines.service.studies.ownership import Ownership
from pipelines.service.studies.sent_rows import SentRows
from pipelines.service.supervisors.bounded_engine import BoundedEngine
from pipelines.workspace.home import Home
from tracking.reports.comparison import StudyComparison
from tracking.store.accounts import Identity
from tracking.store.database import Store

_LIMIT_S = 1800.0  # chosen: a large model in all formats takes minutes
_SHARE_OF_MEMORY = 0.5  # chosen: the other half is for the studies
_KEPT_SHARE = 0.1  # chosen: as much as what is kept for the next command


class ModelService:
    """Exports, promotions, predictions and comparisons, a few at a time."""

    def __init__(self, home: Home, store: Store, spec: ServiceSpec) -> None:
        self._home = home
        self._spec = spec
        self._reader = StudyReader(home, store, place="this service")
        self._ownership = Ownership(store, spec.protected_aliases)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._engines = 0
        self._slots = ExportSlots(spec.ceilings.exports)
        room = spec.kept_models if spec.kept_models is not None else int(_total_memory() * _KEPT_SHARE)
        self._kept = KeptModels(room)
        self._sending = ExportSlots(spec.ceilings.exports, SENDING, "predictions whose rows are sent")

    @property
    def running(self) -> int:
        """How many exports, promotions, predictions and comparisons are at work."""
        return self._engines

    def stop(self) -> None:
        """End those that run, and what is kept; their workers end within a second."""
        self._stopped.set()
        self._kept.close()

    def forget(self, study: str) -> None:
        """End the processes that keep models of a study, which was deleted."""
        with self._lock:
            self._kept.drop(study)
            self._stop_unused_servers()

    def end_idle(self) -> None:
        """End the processes whose models nobody used for long, or whose studies are gone."""
        with self._lock:
            self._kept.end_idle(lambda study: self._home.locate_study(study).exists())
            self._stop_unused_servers()

    @contextmanager
    def export(
        self,
        study: str,
        trial: int | None,
        formats: Sequence[str],
        caller: Identity,
        *,
        ensemble: bool = False,
        left: threading.Event | None = None,
    ) -> Iterator[Path]:
        """Yield a ZIP archive with a model in the formats, as `export_study` chooses it, and remove it afterwards.

        Once `left` is set, the client has gone and the work ends.

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
            with self._start_engine(left) as engine:
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
    def receive_rows(self, study: str, trial: int | None, file: str, caller: Identity) -> Iterator[SentRows]:
        """Yield an open file for rows to predict, and remove it and its predictions afterwards.

        Args:
            study: the study's name.
            trial: a trial's number; the winner's if None.
            file: the client's name of the file; its suffix is the kind of table.
            caller: who sends it.

        Raises:
            UnknownError: if there is no such study or trial.
            ConflictError: if the trial is not complete, or no trial is.
            ForbiddenError: if this service takes no files.
            InputError: if the suffix is no kind of table.
            BusyError: if too many are sent, by the caller or in all.
        """
        # All that can be refused is refused before the body is read.
        self._reader.find_complete_trial(study, trial)
        if self._spec.uploads is None:
            raise ForbiddenError(
                "this service takes no files, and so no rows to predict: its operator can allow them with `uploads`; "
                f"kerastudy export {study} --to FOLDER writes the model"
            )
        # Slots of their own: a slow line must not keep others from exports.
        with ExitStack() as sending, tempfile.TemporaryDirectory(prefix="kerastudy-predict-") as scratch:
            sending.enter_context(self._sending.acquire(caller))
            # Released when they have arrived: who has the answer may send the next ones at once.
            rows = SentRows(Path(scratch), file, self._spec.uploads, sending.close)
            try:
                yield rows
            finally:
                rows.close()

    def predict(
        self, study: str, trial: int | None, rows: SentRows, caller: Identity, left: threading.Event | None = None
    ) -> Predictions:
        """Predict rows that were received; return where their predictions are, beside them.

        Once `left` is set, the client has gone and the work ends.

        Raises:
            UnknownError: if there is no such study or trial.
            ConflictError: if the trial left no model.
            InputError: if the rows cannot be read, lack a column or name pictures.
            TooMuchError: if they take too much memory.
            BusyError: if too many exports or the like run, of the caller or in all.
            KerastudyError: at the time limit, or if the model cannot be loaded.
        """
        rows.finish()
        memory = self._spec.memory or int(_total_memory() * _SHARE_OF_MEMORY)
        target = rows.file.with_name("predictions.out.csv")  # two dots: no name of sent rows has them
        # The rows are a stranger's, as a study's data is: read within the same limits.
        limit_s = min(_LIMIT_S, self._spec.data_time)

        def open_engine(job: PredictionJob) -> AbstractContextManager[BoundedEngine]:
            model = ServedModel(study, job.trial, job.digest)
            return self._take_engine(model, limit_s, memory, left)

        with self._slots.acquire(caller):
            try:
                return predict_file(
                    self._home, study, rows.file, target, trial=trial, open_engine=open_engine, is_sent=True
                )
            except JobError as error:
                if error.kind != "memory":
                    raise
                message = f"the prediction takes more than the {memory / 1e9:.1f} GB of memory that it may take here"
                raise TooMuchError(f"{message} (memory): send fewer rows at once") from None

    def compare(self, studies: Sequence[str], caller: Identity, left: threading.Event | None = None) -> StudyComparison:
        """Compare studies; winners of different data are scored on the test rows of the first one.

        Once `left` is set, the client has gone and the work ends.

        Raises:
            UnknownError: if there is no such study.
            InputError: if only one is named.
            BusyError: if too many exports or the like run, of the caller or in all.
            KerastudyError: at the time limit.
        """
        for name in studies:  # for its error, which names no folder of this machine
            self._reader.read_study(name)
        with self._slots.acquire(caller), self._start_engine(left) as engine:
            return compare_studies(self._home, studies, engine=engine)

    @contextmanager
    def _start_engine(self, left: threading.Event | None = None) -> Iterator[BoundedEngine]:
        """Yield an engine, and end it."""
        with self._count_engine(), closing(BoundedEngine(_LIMIT_S, self._stopped, left=left)) as engine:
            yield engine

    @contextmanager
    def _take_engine(
        self, model: ServedModel, limit_s: float, memory: int, left: threading.Event | None
    ) -> Iterator[BoundedEngine]:
        """Yield the engine whose process has loaded a model, or a new one, and keep it for the next prediction."""
        with self._count_engine():
            engine = self._kept.take(model) or BoundedEngine(limit_s, self._stopped, memory)
            engine.begin_request(limit_s, left)
            try:
                yield engine
            finally:
                self._kept.put(model, engine)

    @contextmanager
    def _count_engine(self) -> Iterator[None]:
        """Count an engine; the last one frees the memory of the server that workers are forked from."""
        with self._lock:
            self._engines += 1
        try:
            yield
        finally:
            with self._lock:
                self._engines -= 1
                self._stop_unused_servers()

    def _stop_unused_servers(self) -> None:
        # Under the lock: another engine may be starting with this server. It ends after the last of its processes.
        if self._engines == 0 and len(self._kept) == 0:
            stop_servers()


def _total_memory() -> int:
    return int(psutil.virtual_memory().total)


def _archive(folder: Path) -> Path:
    """Replace a folder by a ZIP archive beside it and return the archive."""
    archive = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for each in sorted(path for path in folder.rglob("*") if path.is_file()):
            file.write(each, Path(folder.name) / each.relative_to(folder))
    shutil.rmtree(folder)
    return archive
