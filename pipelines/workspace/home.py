"""Home: the folder of all files, `.kerastudy/` unless `--home` or `KERASTUDY_HOME` names another.

::

    kerastudy.db          the store: Optuna's tables, the queue, the outbox
    mlflow.db, mlruns/    MLflow's files, unless MLFLOW_TRACKING_URI points elsewhere
    studies/<study>/      study.json, data/, objects/, trials/<number>/, retrainings/<number>/<name>/, report/
    programs/             programs that JAX compiled, for later studies, unless KERASTUDY_PROGRAMS names another folder
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.workspace.restoration_mark import read_mark
from search_spaces.errors import InputError

PROGRAMS: Final = "KERASTUDY_PROGRAMS"
"""Variable with a folder of compiled programs for several homes."""

_SHARED: Final = "kerastudy-programs"


@dataclass(frozen=True)
class Home:
    """The folder that holds all state, and the addresses that may point elsewhere.

    Attributes:
        store: the database: this folder, or a URL.
    """

    folder: Path
    store: str

    @classmethod
    def find(cls, folder: str | None, environment: Mapping[str, str] = os.environ, *, unfinished: bool = False) -> Home:
        """Return the home in `folder`, or in the folder that the environment names.

        Args:
            folder: the folder; None for that of the environment.
            environment: the environment.
            unfinished: whether it may be one that is being restored.

        Raises:
            InputError: if there is a file of that name, or its restoration was cut off.
        """
        chosen = Path(folder or environment.get("KERASTUDY_HOME") or ".kerastudy").absolute()
        # The folder may not exist yet: a file anywhere on its path would fail much later, with a message of the system.
        if next(path for path in (chosen, *chosen.parents) if path.exists()).is_file():
            raise InputError(f"{chosen}: expected a folder to keep studies in, got a file; name another --home")
        if not unfinished and (mark := read_mark(chosen)) is not None:
            command = ("kerastudy", "--home", str(chosen), "restore", str(mark.path))
            raise InputError(
                f"{chosen} is being restored, or its restoration was cut off: once that process has ended, run "
                f"{shlex.join(command)} again (the backup of {mark.made})"
            )
        return cls(chosen, environment.get("KERASTUDY_STORE") or str(chosen))

    def make_environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a process that works on this home, even if `environ` names a service."""
        # KERASTUDY_URL would send the process's commands to that service instead of this home.
        ours = {"KERASTUDY_HOME": str(self.folder), "KERASTUDY_STORE": self.store}
        return {name: value for name, value in {**environ, **ours}.items() if name != "KERASTUDY_URL"}

    @property
    def is_initialized(self) -> bool:
        """Whether a study was ever submitted here."""
        # A look into a database on a server would need a connection.
        return "://" in self.store or (Path(self.store) / "kerastudy.db").exists()

    @property
    def programs(self) -> Path:
        """Return the folder of compiled programs, which homes may share; it can be removed at any time."""
        shared = os.environ.get(PROGRAMS)
        # A folder below it: the oldest files in it are removed, and the folder may hold others.
        return Path(shared).absolute() / _SHARED if shared else self.folder / "programs"

    @property
    def uploads(self) -> Path:
        """Return the folder of uploaded data files."""
        return self.folder / "uploads"

    def locate_study(self, name: str) -> Path:
        """Return the folder of a study."""
        return self.folder / "studies" / name

    def locate_data(self, name: str) -> Path:
        """Return the folder of a study's prepared data."""
        return self.locate_study(name) / "data"

    def locate_objects(self, name: str) -> Path:
        """Return the folder of the model and the data that a study got as Python objects."""
        return self.locate_study(name) / "objects"

    def locate_trial(self, name: str, number: int) -> Path:
        """Return the folder of a trial."""
        return self.locate_study(name) / "trials" / f"{number:04d}"

    def locate_retraining_data(self, name: str, division: str) -> Path:
        """Return the folder of a study's data prepared in another division; see `Division.name`."""
        return self.locate_study(name) / f"data-{division}"

    def locate_retraining(self, name: str, number: int, retraining: str) -> Path:
        """Return the folder of a retraining of a trial."""
        return self.locate_study(name) / "retrainings" / f"{number:04d}" / retraining

    def locate_worker_log(self, name: str, number: int) -> Path:
        """Return the file of the output of a trial's worker."""
        return self.locate_trial(name, number) / "artifacts" / "worker.log"

    def locate_report(self, name: str) -> Path:
        """Return the folder of the files that MLflow shows for the study as a whole."""
        return self.locate_study(name) / "report"
