"""Replay of a trial: its data is prepared anew, it is trained again, and all of it is compared with the record.

All files are written to a new folder: the study's folder, the store and MLflow are not changed.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.data.prepared_folder import load_summary
from pipelines.engines.base import Engine
from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import JobError
from pipelines.export.export import check_target
from pipelines.operations.check import prepare_data
from pipelines.operations.replay.compare_data import compare_data
from pipelines.operations.replay.compare_training import (
    compare_code,
    compare_configurations,
    compare_environments,
    compare_outcomes,
)
from pipelines.operations.replay.comparison import Agreement, ItemComparison, find_worst
from pipelines.operations.replay.rerun import read_recorded_trial, train_again
from pipelines.queries.study_reader import StudyReader
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.code_references import split_reference
from pipelines.study.context import StudyContext
from pipelines.study.study import Study
from pipelines.workspace.atomic_files import write_text
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError
from search_spaces.values import replace_not_finite

Report = Callable[[str], None]


@dataclass(frozen=True)
class ReplayResult:
    """Result of a replay.

    Attributes:
        study: the study's name.
        trial: the trial's number.
        agreement: the worst one of the comparisons of the topic `result`; the other topics explain it.
        trainer: the trainer of the new training.
        trained_on: its data, in words.
        seconds: duration of the replay.
        notes: facts that limit the comparison.
        compared: all comparisons.
        folder: the folder with the files of the training; None if they are not kept.
    """

    study: str
    trial: int
    agreement: Agreement
    trainer: str
    trained_on: str
    seconds: float
    notes: tuple[str, ...]
    compared: tuple[ItemComparison, ...]
    folder: str | None = None


def replay(
    home: Home, study: str, number: int, target: Path | None = None, report: Report = lambda step: None
) -> ReplayResult:
    """Train a trial that has ended again, and compare it with the record.

    Args:
        home: the home that holds the study.
        study: its name.
        number: the trial's number.
        target: the folder to create for the files of the training; None keeps none.
        report: is called with each step, in words.

    Raises:
        InputError: if study or trial are unknown, the trial has not ended, or neither its data nor its code is there.
        JobError: if the disk is full.
    """
    if target is not None:
        check_target(target)
    with StudyReader.open(home) as reader:
        checked, fingerprint = reader.load_study(study), reader.read_fingerprint(study)
        trial = reader.find_ended_trial(study, number)
    if checked.has_user_model:
        # For its error, before the data is prepared: the code may be gone.
        split_reference(checked.spec.model, checked.base, "model")
    recorded = read_recorded_trial(trial, home.locate_trial(study, number))
    started = time.monotonic()
    with (
        _make_scratch(target) as scratch,
        closing(LocalEngine(checked.spec.resources.workers)) as engine,  # each worker has as many threads as then
    ):
        report("preparing the data anew")
        data = _prepare(checked, home, scratch, engine)
        report("training again")
        folder = scratch / "trial"
        context = StudyContext.from_study(checked, load_summary(data.folder), home)
        now = train_again(
            context,
            recorded,
            data.folder,
            folder,
            engine,
            lambda done: report(f"training again: epoch {done.epoch + 1} of {done.of}"),
        )
        report("comparing")
        compared = (
            *compare_outcomes(recorded.outcome, now, home.locate_trial(study, number), folder, engine),
            *compare_configurations(checked, recorded, now),
            *data.compared,
            *compare_code(checked, fingerprint, home.locate_report(study)),
            *compare_environments(home.locate_report(study)),
        )
        replayed = ReplayResult(
            study=study,
            trial=number,
            agreement=find_worst(each for each in compared if each.topic == "result"),
            trainer=now.trainer,
            trained_on=data.described,
            seconds=time.monotonic() - started,
            notes=tuple(_list_notes(trial)),
            compared=compared,
            folder=None if target is None else str(target),
        )
        if target is not None:
            # Before the rename, so that a folder at the target is always complete.
            content = json.dumps(replace_not_finite(asdict(replayed)), indent=2, ensure_ascii=False, allow_nan=False)
            write_text(folder / "replay.json", content + "\n")
            folder.rename(target)
    return replayed


@contextmanager
def _make_scratch(target: Path | None) -> Iterator[Path]:
    """Yield a temporary folder on the disk of the target."""
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
    # On the target's disk: only there is the rename at the end atomic.
    beside = {"prefix": "kerastudy-replay-"} if target is None else {"prefix": f".{target.name}-", "dir": target.parent}
    with tempfile.TemporaryDirectory(**beside) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class _Data:
    """Data for the new training: its folder, its name in words, its comparison with the record."""

    folder: Path
    described: str
    compared: tuple[ItemComparison, ...]


def _prepare(study: Study, home: Home, scratch: Path, engine: Engine) -> _Data:
    """Prepare a study's data anew; if its source has changed, the study's prepared copy is used for the training."""
    source, kept = study.spec.data.describe_source(), home.locate_data(study.name)
    report = home.locate_report(study.name)
    has_copy = (kept / "summary.json").exists()
    try:
        summary = prepare_data(study, scratch, engine)
    except (InputError, JobError) as error:
        # Data that is gone does not prevent a replay, as long as the study's copy is there.
        reason = "; ".join((error.reason if isinstance(error, JobError) else str(error)).splitlines())
        if not has_copy:
            raise ConflictError(f"{reason}; and the data that the study prepared is gone from {kept}") from error
        gone = ItemComparison("data", "source", "different", source, None, note=reason)
        return _Data(kept, "the study's own copy, since its source cannot be prepared", (gone,))
    anew = scratch / "data"
    compared = tuple(compare_data(report, kept, anew, summary))
    # The first item is the digest of the raw values.
    if compared[0].agreement != "different":
        return _Data(anew, f"data prepared anew from {source}", compared)
    if has_copy:
        return _Data(kept, f"the study's own copy, since {source} has changed", compared)
    return _Data(anew, f"{source} as it is now: it has changed, and the study's own copy is gone", compared)


def _list_notes(trial: TrialSummary) -> Iterator[str]:
    if trial.failed_attempts:
        yield (
            f"the trial was recorded after {len(trial.failed_attempts)} failed attempts, the last one: "
            f"{trial.failed_attempts[-1].reason}; it may have gone on from a checkpoint"
        )
