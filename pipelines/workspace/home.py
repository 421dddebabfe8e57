"""Where things are kept: one folder, `.kerastudy/` unless `--home` or `KERASTUDY_HOME` say otherwise.

::

    kerastudy.db          the store: Optuna's tables, the queue, the outbox
    mlflow.db, mlruns/    MLflow's own, unless MLFLOW_TRACKING_URI points elsewhere
    studies/<study>/      study.json, data/, trials/<number>/, retrainings/<number>/<name>/, report/
    programs/             what JAX compiled, for later studies
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from search_spaces.errors import InputError


@dataclass(frozen=True)
class Home:
    """The folder that holds all state, and the addresses that may point elsewhere.

    Attributes:
        store: the database: this folder, or a URL.
    """

    folder: Path
    store: str

    @classmethod
    def find(cls, folder: str | None, environment: Mapping[str, str] = os.environ) -> Home:
        """Return the home in `folder`, or where the environment says.

        Raises:
            InputError: if there is a file of that name.
        """
        chosen = Path(folder or environment.get("KERASTUDY_HOME") or ".kerastudy").absolute()
        if next(path for path in (chosen, *chosen.parents) if path.exists()).is_file():
            raise InputError(f"{chosen}: expected a folder to keep studies in, got a file; name another --home")
        return cls(chosen, environment.get("KERASTUDY_STORE") or str(chosen))

    def make_environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a process that is to work on this home, whatever service `environ` names."""
        ours = {"KERASTUDY_HOME": str(self.folder), "KERASTUDY_STORE": self.store}
        return {name: value for name, value in {**environ, **ours}.items() if name != "KERASTUDY_URL"}

    @property
    def is_initialized(self) -> bool:
        """Return whether a study was ever submitted here."""
        return "://" in self.store or (Path(self.store) / "kerastudy.db").exists()

    @property
    def programs(self) -> Path:
        """Return the folder of compiled programs; it can be removed at any time."""
        return self.folder / "programs"

    def study(self, name: str) -> Path:
        """Return the folder of a study."""
        return self.folder / "studies" / name

    def data(self, name: str) -> Path:
        """Return the folder of a study's prepared data."""
        return self.study(name) / "data"

    def trial(self, name: str, number: int) -> Path:
        """Return the folder of a trial."""
        return self.study(name) / "trials" / f"{number:04d}"

    def data_anew(self, name: str, folds: int) -> Path:
        """Return the folder of a study's data prepared in another division; see `DataJob.folds_again`."""
        return self.study(name) / f"data-{folds}-folds" if folds > 1 else self.study(name) / "data-refit"

    def retraining(self, name: str, number: int, retraining: str) -> Path:
        """Return the folder of a retraining of a trial."""
        return self.study(name) / "retrainings" / f"{number:04d}" / retraining

    def worker_log(self, name: str, number: int) -> Path:
        """Return the file of what a trial's worker printed."""
        return self.trial(name, number) / "artifacts" / "worker.log"

    def report(self, name: str) -> Path:
        """Return the folder of what MLflow shows for the study as a whole."""
        return self.study(name) / "report"
