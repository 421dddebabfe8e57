"""Python API: load or make a study, run it, use its result. The package `kerastudy` exports it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.queries.views import BestTrial, TrialRow
from pipelines.spec.search_guard import stop_if_importing
from pipelines.study.load import Written, check_document
from pipelines.study.load import load_study as _load_study
from pipelines.study.study import Study
from pipelines.supervisor.event_lines import EventLines
from pipelines.supervisor.event_text import format_end
from pipelines.supervisor.events import StudyEvent
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, KerastudyError, StudyFailedError
from search_spaces.parameters import Categorical, Fixed, Float, Int
from search_spaces.space import Space
from search_spaces.yaml_document import make_document

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.export.export import Parity

__all__ = [
    "BestTrialResult",
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
    "run",
    "run_study",
]


@dataclass(frozen=True)
class BestTrialResult(TrialRow):
    """The best trial of a study, with the model that the study delivers.

    Attributes:
        folder: the folder of that model: the trial's, or its refit's.
        data: the folder of its prepared data.
        home: the home that both are in.
    """

    folder: Path = field(default=Path(), repr=False)
    data: Path = field(default=Path(), repr=False)
    home: Home | None = field(default=None, repr=False)

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
    def best(self) -> BestTrialResult:
        """The best trial."""
        from pipelines.selection.model_locations import locate_refit, locate_trial

        # The refit saw the validation rows too, and is the model that the study delivers.
        locate = locate_refit if self.winner.refit else locate_trial
        found = locate(self.home, self.study, self.winner.trial.number)
        return BestTrialResult(
            **vars(self.winner.trial), folder=Path(found.folder), data=Path(found.data), home=self.home
        )

    def load_model(self) -> Any:
        """Return the winner's `keras.Model`; see `BestTrialResult.load_model`."""
        return self.best.load_model()

    def to_frame(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each trial: its state, its score, its hyperparameters and its metrics."""
        import pandas as pd

        rows = [
            {
                "trial": trial.number,
                "state": trial.state,
                self.winner.metric: trial.values[0] if trial.values else None,
                **trial.params,
                **{name: value for name, value in trial.metrics.items() if name != self.winner.metric},
                "seconds": trial.seconds,
                "reason": trial.reason,
            }
            for trial in self.trials
        ]
        return pd.DataFrame(rows).set_index("trial")

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


def load_study(file: Written, overrides: Sequence[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        file: a YAML or JSON file; or text of one, or a mapping with its keys.
        overrides: `KEY=VALUE` pairs with dotted keys, such as `budget.trials=5`.

    Warns:
        UserWarning: about settings that are allowed, but seldom intended.

    Raises:
        InputError: with every problem of the file.
    """
    return _warn(_load_study(file, overrides))


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
    study: Study | Written,
    *,
    home: str | Path | None = None,
    listen: Callable[[StudyEvent], None] = lambda event: None,
) -> StudyResult:
    """Run a study until its budget is used up; a study that has begun is resumed.

    Args:
        study: the result of `load_study` or `make_study`, or a study file: its path, its text or its keys.
        home: the folder for all state; `KERASTUDY_HOME` or `.kerastudy` by default.
        listen: is called with every event; see `pipelines.supervisor.events`.

    Raises:
        InputError: if its data or model cannot be used, or a study of this name searches something else.
        StudyBusyError: if another process works on it.
        StudyFailedError: if no trial completed.
        KeyboardInterrupt: after Ctrl-C, once the study is paused.
    """
    return run(study, home=home, listen=listen)


def run(
    file: Study | Written | None = None,
    /,
    *,
    study: str | None = None,
    model: Any = None,
    data: Any = None,
    space: Space | Mapping[str, Any] | None = None,
    objective: str | Mapping[str, Any] | None = None,
    budget: int | Mapping[str, Any] | None = None,
    home: str | Path | None = None,
    evolve: bool = False,
    listen: Callable[[StudyEvent], None] | None = None,
    **settings: Any,
) -> StudyResult:
    """Run a study whose model and data may be Python objects; the same call again resumes it.

    Functions, classes and data are written to the home once: a notebook cell, a script and standard input are all
    fine, and the study is resumed, exported and replayed as one with a file.

    Args:
        file: a study file, its text or its keys, which the arguments below complete; or a checked study.
        study: the study's name; the model's by default.
        model: a function of `hp`, a `HyperModel` class or instance, the name of a family, or `"file.py:function"`.
        data: `(x, y)` or `(x, y, sample_weight)`, a DataFrame, a dataset, a function that returns one of these, a dict
            of parts (`train`, `validation`, `test`) made of these, or a source of a study file; or a mapping with the
            keys of its section `data`, where `source` is any of these.
        space: the search space.
        objective: a metric, or the keys of the section `objective`.
        budget: the number of trials, or the keys of the section `budget`.
        home: the folder for all state; `KERASTUDY_HOME` or `.kerastudy` by default.
        evolve: whether a study of this name is resumed in a changed space.
        listen: is called with every event; by default each is printed in a line.
        **settings: further keys of a study file, such as `selection={"finalists": 3}`.

    Raises:
        InputError: if the study is not valid, an object cannot be sent to worker processes, or a study of this name
            has other code or other data.
        StudyBusyError: if another process works on it.
        StudyFailedError: if no trial completed.
        KeyboardInterrupt: after Ctrl-C, once the study is paused.
    """
    stop_if_importing("kerastudy.run")
    # Not at the top: a worker may import the user's script, and with it this module, but runs no study.
    from pipelines.operations.receive import read_keys, receive_study
    from pipelines.operations.run import run_unless_finished
    from pipelines.queries.study_reader import StudyReader

    named = {"study": study, "model": model, "data": data, "space": space, "objective": objective, "budget": budget}
    keys = {key: _expand(key, value) for key, value in named.items() if value is not None} | settings
    chosen = Home.find(str(home) if home is not None else None)
    show = listen or _EventPrinter().show
    if isinstance(file, Study):
        if keys:
            raise InputError(f"a checked study cannot be changed; pass its keys ({', '.join(keys)}) to make_study")
        receiving: AbstractContextManager[Study] = nullcontext(file)
    else:
        document, folder, objects = read_keys(file, keys)
        receiving = receive_study(document, objects, folder, chosen, evolve=evolve)
    checked, ended = run_unless_finished(receiving, chosen, show, evolve=evolve)
    if listen is None:
        print("\n".join(format_end(ended)), flush=True)
    # A result without a model would fail later and further away, at `load_model`.
    if ended.winner is None:
        raise StudyFailedError(f"no trial of {checked.name} completed: {ended.reason}")
    with StudyReader.open(chosen) as reader:
        trials, winner = reader.list_trials(checked.name), reader.find_best_trial(checked.name)
    return StudyResult(checked.name, chosen, ended.state, ended.reason, trials, winner)


def _expand(key: str, value: Any) -> Any:
    """Return the section of a study file that a short form stands for."""
    if key == "budget" and isinstance(value, int):
        return {"trials": value}
    if key == "objective" and isinstance(value, str):
        return {"metric": value}
    return value.to_dict() if isinstance(value, Space) else value


class _EventPrinter:
    """Printer of events, a line each: what a notebook, a script and a log show alike."""

    def __init__(self) -> None:
        self._lines = EventLines()

    def show(self, event: StudyEvent) -> None:
        """Print an event, unless logs leave it out."""
        if (line := self._lines.format_event(event)) is not None:
            print(line, flush=True)
