"""kerastudy from Python: load a study, run it, use its result.

::

    from pipelines.api import load_study, run_study

    if __name__ == "__main__":  # workers import this file
        result = run_study(load_study("studies/breast-cancer.yaml"))
        print(result.best.values, result.best.params)
        model = result.load_model()
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.export.export import Parity
from pipelines.operations.export import export_study
from pipelines.operations.run import supervised
from pipelines.queries.study_reader import Lookup
from pipelines.queries.views import BestTrial, TrialRow
from pipelines.selection.model_locations import past_trial, refit_of
from pipelines.study.load import Study, check_document
from pipelines.study.load import load_study as _load_study
from pipelines.supervisor.events import Progress, StudyEnded
from pipelines.workspace.home import Home
from search_spaces.errors import StudyFailedError
from search_spaces.space import Space
from search_spaces.yaml_document import plain_document

__all__ = ["StudyResult", "load_study", "make_study", "run_study"]


@dataclass(frozen=True)
class StudyResult:
    """What a study came to.

    Attributes:
        state: finished or parked.
        trials: every trial, in order.
        winner: the best one, with its scores on the test rows.
    """

    study: str
    home: Home
    state: str
    reason: str
    trials: tuple[TrialRow, ...]
    winner: BestTrial

    @property
    def best(self) -> TrialRow:
        """Return the best trial."""
        return self.winner.trial

    def load_model(self) -> Any:
        """Return the winner's `keras.Model`, which takes raw columns by name; imports Keras."""
        import keras

        from pipelines.training.write_models import model_file

        made = refit_of if self.winner.refit else past_trial
        return keras.models.load_model(model_file(made(self.home, self.study, self.best.number)))

    def export(self, folder: str | Path, formats: Sequence[str] = ("keras",)) -> tuple[Parity, ...]:
        """Write the best model to a new folder, each format proven equal to the Keras model.

        Raises:
            InputError: if a format is unknown or needs packages that are not installed, or the folder exists.
            ExportError: if a file differs from the Keras model; nothing is written.
        """
        return export_study(self.home, self.study, None, formats, Path(folder)).files


def load_study(file: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        file: a YAML or JSON file.
        overrides: `KEY=VALUE` pairs with dotted keys, such as `budget.trials=5`.

    Warns:
        UserWarning: of what is allowed, yet seldom meant.

    Raises:
        InputError: with every problem of the file.
    """
    return _noted(_load_study(Path(file), overrides))


def make_study(written: Mapping[str, Any], *, space: Space | None = None, folder: str | Path = ".") -> Study:
    """Check a study that is written in Python, with the keys of a study file.

    Args:
        written: such as `{"study": "a", "data": {"source": "sklearn:digits"}, "model": "cnn"}`.
        space: the search space, in place of a key `space`.
        folder: where relative paths start from.

    Warns:
        UserWarning: of what is allowed, yet seldom meant.

    Raises:
        InputError: with every problem found.
    """
    content = {**written, "space": space.to_dict()} if space is not None else dict(written)
    return _noted(check_document(plain_document(content, str(written.get("study", "study"))), Path(folder).resolve()))


def _noted(study: Study) -> Study:
    for note in study.notes():
        warnings.warn(str(note), stacklevel=3)
    return study


def run_study(
    study: Study, *, home: str | Path | None = None, listen: Callable[[Progress], None] = lambda event: None
) -> StudyResult:
    """Run a study, or go on with it, until its budget is used up.

    Args:
        study: what `load_study` or `make_study` returned.
        home: where state is kept; `KERASTUDY_HOME` or `.kerastudy` when left out.
        listen: called with everything that happens; see `pipelines.supervisor.events`.

    Raises:
        InputError: if its data or model cannot be used, or the study exists and searches something else.
        StudyBusyError: if another process works on it.
        StudyFailedError: if no trial completed.
    """
    chosen = Home.at(str(home) if home is not None else None)
    with supervised(study, chosen) as supervisor:
        for event in supervisor.run():
            listen(event)
    if not isinstance(event, StudyEnded) or event.winner is None:
        raise StudyFailedError(f"no trial of {study.name} completed: {getattr(event, 'reason', '')}")
    with Lookup.open(chosen) as lookup:
        trials, winner = lookup.trials(study.name), lookup.best(study.name)
    return StudyResult(study.name, chosen, event.state, event.reason, trials, winner)
