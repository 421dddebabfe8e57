"""Results of a study in Python: its trials, its best model, its figures and its report."""

from __future__ import annotations

import html
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.api.plots import StudyPlots
from pipelines.queries.views import BestTrial, TrialRow
from pipelines.supervisor.event_text import format_cell, format_count, format_trial_name
from pipelines.workspace.home import Home

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.export.export import Parity

_SHOWN = 5  # trials of a study in a notebook


@dataclass(frozen=True, repr=False)
class BestTrialResult(TrialRow):
    """The best trial of a study, with the model that the study delivers.

    Attributes:
        folder: the folder of that model: the trial's, or its refit's.
        data: the folder of its prepared data.
        home: the home that both are in.
        study: the study's name.
    """

    folder: Path = field(default=Path(), repr=False)
    data: Path = field(default=Path(), repr=False)
    home: Home | None = field(default=None, repr=False)
    study: str = ""

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={format_cell(value)}" for name, value in self.params.items())
        return f"<trial {format_trial_name(self.number)} of {self.study}: {self.value:.6g} with {values}>"

    @property
    def value(self) -> float:
        """The score: the first of `values`."""
        return self.values[0]

    def load_model(self) -> Any:
        """Return the `keras.Model`; imports Keras.

        Raises:
            InputError: if the trial left no model; with the reason.
            ModelChangedError: if its files are not those that were registered.
        """
        # Keras takes five seconds: only a result that is used pays for it.
        from pipelines.export.trained_model import load_trained_model
        from pipelines.selection.registered_files import check_registered_files
        from pipelines.training.messages import PastTrial

        model = PastTrial(str(self.folder), str(self.data))
        if self.home is not None:
            check_registered_files(self.home, model)
        return load_trained_model(model)

    def predict(self, rows: Any) -> Any:
        """Return the model's predictions for new rows; imports Keras.

        Args:
            rows: a DataFrame with the columns of the study's data, where that is a table; the target may be absent. Of
                a study of series, the newest rows of each. Otherwise what the model takes, such as an array.

        Returns:
            A DataFrame with the rows and a column for each prediction, or the forecasts with their times; for what is
            no DataFrame the output of `keras.Model.predict`.

        Warns:
            UserWarning: about choices made for the user.

        Raises:
            InputError: if a column is missing, or the trial left no model.
        """
        import pandas as pd

        if self.home is None or not isinstance(rows, pd.DataFrame):
            return self.load_model().predict(rows, verbose=0)
        from pipelines.operations.predict import predict_frame

        table, notes = predict_frame(self.home, self.study, rows)
        for note in notes:
            warnings.warn(note, stacklevel=2)
        return table


@dataclass(frozen=True, repr=False)
class StudyResult(StudyPlots):
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

    def __repr__(self) -> str:
        return f"<study {self.study}: {self._describe()}>"

    def _repr_html_(self) -> str:
        """Return the result for a notebook: its state, and its best trials."""
        frame = self.trials_frame()
        leaders = frame[frame["state"] == "complete"].sort_values(self.winner.metric, ascending=self._is_minimized)
        heading = f"<p><b>{html.escape(self.study)}</b>: {html.escape(self._describe())}</p>"
        return heading + str(leaders.head(_SHOWN).drop(columns="reason").to_html(border=0))

    def _describe(self) -> str:
        best = f"best {self.winner.metric} {self.winner.trial.values[0]:.6g}"
        which = format_trial_name(self.winner.trial.number)
        return f"{self.state} after {format_count(len(self.trials), 'trial')}, {best} ({which})"

    @property
    def _is_minimized(self) -> bool:
        return self.winner.direction == "minimize"

    @property
    def best(self) -> BestTrialResult:
        """The best trial."""
        from pipelines.selection.model_locations import locate_refit, locate_trial

        # The refit saw the validation rows too, and is the model that the study delivers.
        locate = locate_refit if self.winner.refit else locate_trial
        found = locate(self.home, self.study, self.winner.trial.number)
        return BestTrialResult(
            **vars(self.winner.trial),
            folder=Path(found.folder),
            data=Path(found.data),
            home=self.home,
            study=self.study,
        )

    def load_model(self) -> Any:
        """Return the winner's `keras.Model`; see `BestTrialResult.load_model`."""
        return self.best.load_model()

    def trials_frame(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each trial: score, hyperparameters, metrics, epochs, cost, reason."""
        import pandas as pd

        rows = [
            {
                "trial": trial.number,
                "state": trial.state,
                self.winner.metric: trial.values[0] if trial.values else None,
                **trial.params,
                **{name: value for name, value in trial.metrics.items() if name != self.winner.metric},
                "best_epoch": trial.best_epoch,
                "epochs": trial.epochs,
                "seconds": trial.seconds,
                "cpu_s": trial.resources.cpu_s,
                "peak_memory_bytes": trial.resources.peak_memory_bytes,
                "reason": trial.reason,
            }
            for trial in self.trials
        ]
        return pd.DataFrame(rows).set_index("trial")

    def to_frame(self) -> pd.DataFrame:
        """Return `trials_frame()`."""
        return self.trials_frame()

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

    def report(self, file: str | Path | None = None) -> Path:
        """Write the study's report to an HTML file that needs no network; an earlier report there is replaced.

        Args:
            file: the file; `STUDY-report.html` in the current folder by default.

        Raises:
            InputError: if the file's folder does not exist.
            ConflictError: if another file is there.
        """
        from pipelines.operations.report import write_report

        return Path(write_report(self.home, self.study, Path(file or f"{self.study}-report.html")).file)


def read_result(home: Home, study: str, state: str | None = None, reason: str | None = None) -> StudyResult:
    """Return a study's result; its state and reason are those of the store by default.

    Raises:
        InputError: if there is none of that name, or none of its trials is complete.
    """
    from pipelines.queries.study_reader import StudyReader  # loads Optuna and the store

    with StudyReader.open(home) as reader:
        if state is None:
            view = reader.read_study(study)
            state, reason = view.state, view.reason
        return StudyResult(study, home, state, reason or "", reader.list_trials(study), reader.find_best_trial(study))
