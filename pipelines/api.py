"""Python API: load or make a study, run it, use its result. The package `kerastudy` exports it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.queries.views import BestTrial, TrialRow
from pipelines.spec.search_guard import stop_if_importing
from pipelines.study.load import check_document
from pipelines.study.load import load_study as _load_study
from pipelines.study.study import Study
from pipelines.supervisor.events import StudyEvent
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, KerastudyError, StudyFailedError
from search_spaces.parameters import Categorical, Fixed, Float, Int
from search_spaces.space import Space
from search_spaces.yaml_document import make_document

if TYPE_CHECKING:
    from pipelines.export.export import Parity

__all__ = [
    "Categorical",
    "Fixed",
    "Float",
    "InputError",
    "Int",
    "KerastudyError",
    "Space",
    "Study",
    "StudyFailedError",
    "StudyResult",
    "load_study",
    "make_study",
    "run_study",
]


@dataclass(frozen=True)
class StudyResult:
    """Result of a study.

    Attributes:
        study: its name.
        home: the folder that holds its state.
        state: finished or paused.
        reason: why it ended.
        trials: every trial, in order.
        winner: the best trial, with its scores on the test rows.
    """

    study: str
    home: Home
    state: str
    reason: str
    trials: tuple[TrialRow, ...]
    winner: BestTrial

    @property
    def best(self) -> TrialRow:
        """The best trial."""
        return self.winner.trial

    def load_model(self) -> Any:
        """Return the winner's `keras.Model`, which takes raw columns by name; imports Keras."""
        import keras  # takes five seconds: only a result that is used pays for it

        from pipelines.selection.model_locations import locate_refit, locate_trial
        from pipelines.training.write_models import ensure_model_file

        # The refit saw the validation rows too, and is the model that the study delivers.
        locate = locate_refit if self.winner.refit else locate_trial
        return keras.models.load_model(ensure_model_file(locate(self.home, self.study, self.best.number)))

    def export(self, folder: str | Path, formats: Sequence[str] = ("keras",)) -> tuple[Parity, ...]:
        """Write the best model to a new folder, and compare each file with the Keras model.

        Args:
            folder: the folder to create.
            formats: names of formats, such as `keras`, `saved_model`, `litert` or `onnx`.

        Returns:
            For each file: its size, its largest difference from the Keras model, its score.

        Raises:
            InputError: if a format is unknown or needs packages that are not installed, or the folder exists.
            ExportError: if a file differs from the Keras model; nothing is written.
        """
        from pipelines.operations.export import export_study

        return export_study(self.home, self.study, None, formats, Path(folder)).files


def load_study(file: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        file: a YAML or JSON file.
        overrides: `KEY=VALUE` pairs with dotted keys, such as `budget.trials=5`.

    Warns:
        UserWarning: about settings that are allowed, but seldom intended.

    Raises:
        InputError: with every problem of the file.
    """
    return _warn(_load_study(Path(file), overrides))


def make_study(written: Mapping[str, Any], *, space: Space | None = None, folder: str | Path = ".") -> Study:
    """Check a study that is written in Python, with the keys of a study file.

    Args:
        written: such as `{"study": "a", "data": {"source": "sklearn:digits"}, "model": "cnn"}`.
        space: the search space, in place of a key `space`.
        folder: the folder that relative paths start from.

    Warns:
        UserWarning: about settings that are allowed, but seldom intended.

    Raises:
        InputError: with every problem found.
    """
    content = {**written, "space": space.to_dict()} if space is not None else dict(written)
    return _warn(check_document(make_document(content, str(written.get("study", "study"))), Path(folder).resolve()))


def _warn(study: Study) -> Study:
    for note in study.list_notes():
        warnings.warn(str(note), stacklevel=3)  # points at the caller of load_study or make_study
    return study


def run_study(
    study: Study, *, home: str | Path | None = None, listen: Callable[[StudyEvent], None] = lambda event: None
) -> StudyResult:
    """Run a study until its budget is used up; a study that has begun is resumed.

    Args:
        study: the result of `load_study` or `make_study`.
        home: the folder for all state; `KERASTUDY_HOME` or `.kerastudy` by default.
        listen: is called with every event; see `pipelines.supervisor.events`.

    Raises:
        InputError: if its data or model cannot be used, or a study of this name searches something else.
        StudyBusyError: if another process works on it.
        StudyFailedError: if no trial completed.
    """
    stop_if_importing("kerastudy.run_study")
    # Not at the top: a worker may import the user's script, and with it this module, but runs no study.
    from pipelines.operations.run import run_to_end, supervise
    from pipelines.queries.study_reader import StudyReader

    chosen = Home.find(str(home) if home is not None else None)
    with supervise(study, chosen) as supervisor:
        ended = run_to_end(supervisor, listen)
    # A result without a model would fail later and further away, at `load_model`.
    if ended.winner is None:
        raise StudyFailedError(f"no trial of {study.name} completed: {ended.reason}")
    with StudyReader.open(chosen) as reader:
        trials, winner = reader.list_trials(study.name), reader.find_best_trial(study.name)
    return StudyResult(study.name, chosen, ended.state, ended.reason, trials, winner)
