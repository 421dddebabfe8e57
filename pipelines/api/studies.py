"""Studies in Python: load or make one, run it, read its result."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.api.progress import choose_display
from pipelines.api.results import StudyResult, read_result
from pipelines.queries.views import TrialRow
from pipelines.spec.search_guard import stop_if_importing
from pipelines.study.load import Written, check_document
from pipelines.study.load import load_study as _load_study
from pipelines.study.study import Study
from pipelines.supervisor.event_text import format_end
from pipelines.supervisor.events import StudyEvent
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, StudyFailedError
from search_spaces.space import Space
from search_spaces.yaml_document import make_document

if TYPE_CHECKING:
    pass

TrialCallback = Callable[[TrialRow], bool | None]
"""Function of a trial that ended; returns True to end the study."""


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
    on_trial: TrialCallback | None = None,
) -> StudyResult:
    """Run a study until its budget is used up; a study that has begun is resumed.

    Args:
        study: the result of `load_study` or `make_study`, or a study file: its path, its text or its keys.
        home: the folder for all state; `KERASTUDY_HOME` or `.kerastudy` by default.
        listen: is called with every event; see `pipelines.supervisor.events`.
        on_trial: see `run`.

    Raises:
        InputError: if its data or model cannot be used, or a study of this name searches something else.
        StudyBusyError: if another process works on it.
        StudyFailedError: if no trial completed.
        KeyboardInterrupt: after Ctrl-C, once the study is paused.
    """
    return run(study, home=home, listen=listen, on_trial=on_trial)


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
    on_trial: TrialCallback | None = None,
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
        listen: is called with every event; by default a notebook and a terminal show the progress in place, and a file
            gets a line for each trial.
        on_trial: is called with each trial that ends; the study ends early, with its best trial so far, once a call
            returns True.
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

    named = {"study": study, "model": model, "data": data, "space": space, "objective": objective, "budget": budget}
    keys = {key: _expand(key, value) for key, value in named.items() if value is not None} | settings
    chosen = Home.find(str(home) if home is not None else None)
    display = choose_display() if listen is None else None
    if isinstance(file, Study):
        if keys:
            raise InputError(f"a checked study cannot be changed; pass its keys ({', '.join(keys)}) to make_study")
        receiving: AbstractContextManager[Study] = nullcontext(file)
    else:
        document, folder, objects = read_keys(file, keys)
        receiving = receive_study(document, objects, folder, chosen, evolve=evolve)
    with display or nullcontext():
        show = listen if display is None else display.show
        checked, ended = run_unless_finished(receiving, chosen, show or _ignore, on_trial=on_trial, evolve=evolve)
    if display is not None:
        print("\n".join(format_end(ended)), flush=True)
    # A result without a model would fail later and further away, at `load_model`.
    if ended.winner is None:
        raise StudyFailedError(f"{checked.name} has no best trial: {ended.reason}")
    return read_result(chosen, checked.name, ended.state, ended.reason)


def load_result(study: str, *, home: str | Path | None = None) -> StudyResult:
    """Return the result so far of a study that was run before, by whatever interface.

    Args:
        study: its name.
        home: the folder that holds it; `KERASTUDY_HOME` or `.kerastudy` by default.

    Raises:
        InputError: if there is none of that name, or none of its trials is complete.
    """
    return read_result(Home.find(str(home) if home is not None else None), study)


def _ignore(event: StudyEvent) -> None:
    """Do nothing with an event."""


def _expand(key: str, value: Any) -> Any:
    """Return the section of a study file that a short form stands for."""
    if key == "budget" and isinstance(value, int):
        return {"trials": value}
    if key == "objective" and isinstance(value, str):
        return {"metric": value}
    return value.to_dict() if isinstance(value, Space) else value
