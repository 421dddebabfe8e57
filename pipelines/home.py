"""Where things are kept: one folder, `.kerastudy/` unless `--home` or `KERASTUDY_HOME` say otherwise.

::

    kerastudy.db          the store: Optuna's tables, the queue, the outbox
    mlflow.db, mlruns/    MLflow's own, unless MLFLOW_TRACKING_URI points elsewhere
    studies/<study>/      study.json, data/, trials/<number>/, report/
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The folder that holds all state, and the addresses that may point elsewhere.

    Attributes:
        store: the database: this folder, or a URL.
    """

    folder: Path
    store: str

    @classmethod
    def at(cls, folder: str | None, environment: Mapping[str, str] = os.environ) -> Home:
        """Return the home in `folder`, or where the environment says."""
        chosen = Path(folder or environment.get("KERASTUDY_HOME") or ".kerastudy").absolute()
        return cls(chosen, environment.get("KERASTUDY_STORE") or str(chosen))

    def study(self, name: str) -> Path:
        """Return the folder of a study."""
        return self.folder / "studies" / name

    def data(self, name: str) -> Path:
        """Return the folder of a study's prepared data."""
        return self.study(name) / "data"

    def trial(self, name: str, number: int) -> Path:
        """Return the folder of a trial."""
        return self.study(name) / "trials" / f"{number:04d}"

    def report(self, name: str) -> Path:
        """Return the folder of what MLflow shows for the study as a whole."""
        return self.study(name) / "report"
