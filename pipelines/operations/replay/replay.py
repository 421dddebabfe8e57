"""Replays a trial: prepares its data anew, trains it again, and compares all of it with what was recorded.

Everything is made in a folder of its own: the study's folder, the store and MLflow stay as they are.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.engines.base import Engine, Job
from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import JobError, run_job
from pipelines.export.export import check_target
from pipelines.operations.check import prepare_data
from pipelines.operations.replay.compare_data import compare_data
from pipelines.operations.replay.compare_weights import WeightsJob
from pipelines.operations.replay.comparison import (
    Agreement,
    ItemComparison,
    compare_curves,
    compare_mappings,
    compare_number,
    compare_values,
    find_worst,
    tolerance_for,
)
from pipelines.operations.replay.jobs import COMPARE_WEIGHTS
from pipelines.operations.replay.rerun import TrainingOutcome, read_recorded_outcome, train_again
from pipelines.queries.study_reader import StudyReader
from pipelines.recording.provenance import code, environment
from pipelines.search.optuna_search import TrialSummary
from pipelines.spec.code_references import split_reference
from pipelines.study.fingerprint import StudyFingerprint
from pipelines.study.study import Study
from pipelines.supervisor.running_trials import compute_trial_seed
from pipelines.workspace.atomic_files import write_text
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError

_ATTEMPTS = re.compile(r" \(attempt \d+ of \d+\)$")
Show = Callable[[str], None]


@dataclass(frozen=True)
class ReplayResult:
    """What came of training a trial again.

    Attributes:
        verdict: on the result alone, the worst of its comparisons; whatever else differs explains it.
        trainer: what trained it this time.
        trained_on: which data it was trained on, in words.
        folder: where the files of the training are; None where they were not to be kept.
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
    home: Home, study: str, number: int, target: Path | None = None, show: Show = lambda step: None
) -> ReplayResult:
    """Train a trial that has ended again and compare it with what was recorded.

    Args:
        home: the home that holds the study.
        study: its name.
        number: the trial's.
        target: folder to create for what the training leaves; None keeps nothing.
        show: is told what is done next.

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
        split_reference(checked.spec.model, checked.base, "model")
    past = read_recorded_outcome(trial, home.trial(study, number))
    started = time.monotonic()
    with (
        _make_scratch(target) as scratch,
        closing(LocalEngine(checked.spec.resources.workers)) as engine,  # as many threads in each worker as then
    ):
        show("preparing the data anew")
        data = _prepare(checked, home, scratch, engine)
        show("training again")
        folder = scratch / "trial"
        now = train_again(
            checked,
            home,
            trial,
            past,
            data.folder,
            folder,
            engine,
            lambda done: show(f"training again: epoch {done.epoch + 1} of {done.of}"),
        )
        show("comparing")
        compared = (
            *_compare_results(past, now, checked, home.trial(study, number), folder, engine),
            *_compare_trials(checked, trial, past, now),
            *data.compared,
            *_compare_code(checked, fingerprint, home.report(study)),
            *_compare_environments(home.report(study)),
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
            write_text(folder / "replay.json", json.dumps(asdict(replayed), indent=2, ensure_ascii=False) + "\n")
            folder.rename(target)
    return replayed


@contextmanager
def _make_scratch(target: Path | None) -> Iterator[Path]:
    """Yield a folder that is gone in the end, on the disk of the target."""
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
    beside = {"prefix": "kerastudy-replay-"} if target is None else {"prefix": f".{target.name}-", "dir": target.parent}
    with tempfile.TemporaryDirectory(**beside) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class _Data:
    """The data that a trial is trained on again, what to call it, and how it compares with what was recorded."""

    folder: Path
    described: str
    compared: tuple[ItemComparison, ...]


def _prepare(study: Study, home: Home, scratch: Path, engine: Engine) -> _Data:
    """Prepare a study's data anew; where that is not the data it was, the study's own copy is trained on."""
    source, kept, report = study.spec.data.source, home.data(study.name), home.report(study.name)
    has_copy = (kept / "summary.json").exists()
    try:
        summary = prepare_data(study, scratch, engine)
    except (InputError, JobError) as error:
        reason = "; ".join((error.reason if isinstance(error, JobError) else str(error)).splitlines())
        if not has_copy:
            raise ConflictError(f"{reason}; and the data that the study prepared is gone from {kept}") from error
        gone = ItemComparison("data", "source", "different", source, None, note=reason)
        return _Data(kept, "the study's own copy, since its source cannot be prepared", (gone,))
    anew = scratch / "data"
    compared = tuple(compare_data(report, kept, anew, summary))
    if compared[0].agreement != "different":
        return _Data(anew, f"data prepared anew from {source}", compared)
    if has_copy:
        return _Data(kept, f"the study's own copy, since {source} has changed", compared)
    return _Data(anew, f"{source} as it is now: it has changed, and the study's own copy is gone", compared)


def _compare_results(
    past: TrainingOutcome, now: TrainingOutcome, study: Study, recorded: Path, folder: Path, engine: Engine
) -> Iterator[ItemComparison]:
    """Compare how the two trainings went."""
    close = tolerance_for(past.trainer, now.trainer)
    yield compare_values("result", "state", past.state, now.state, "" if past.state == now.state else now.reason)
    if past.state == "failed" or past.was_rejected:
        reasons = (_ATTEMPTS.sub("", course.reason) for course in (past, now))
        yield compare_values("result", "reason", *reasons)
    if past.epochs:
        yield from compare_curves(past.epochs, now.epochs, close)
    elif past.state == "complete":
        yield ItemComparison("result", "epochs", "unknown", note=f"the trial's files are gone from {recorded}")
    if past.value is not None:
        yield compare_values("result", "best epoch", past.best_epoch, now.best_epoch)
        yield compare_number("result", "score", past.value, now.value, close)
    if past.state == now.state == "complete":
        kept = WeightsJob(str(recorded), str(folder), close)
        job = Job("weights", COMPARE_WEIGHTS, kept, folder.parent / "weights.log")
        yield run_job(engine, job)


def _compare_trials(
    study: Study, trial: TrialSummary, past: TrainingOutcome, now: TrainingOutcome
) -> Iterator[ItemComparison]:
    """Compare what the two trainings were given."""
    used, seed = past.config.get("seed"), compute_trial_seed(study.spec.search.seed, trial.number)
    note = "" if used in (None, seed) else "the study's seed has changed since; the trial's own was used"
    yield compare_values("trial", "seed", used, seed, note)
    if now.config:
        yield compare_mappings("trial", "values", trial.params, now.config["params"])
        yield compare_mappings("trial", "defaults", _extract_defaults(past.config), _extract_defaults(now.config) or {})
        yield compare_mappings("trial", "training", _extract_training(past.config), _extract_training(now.config) or {})
    if past.trainer and now.trainer:
        yield compare_values("trial", "trainer", past.trainer, now.trainer)


def _extract_defaults(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the hyperparameters that a model asked for and the trial has no values of."""
    if not config:
        return None
    return {name: value for name, value in config["requested"].items() if name not in config["params"]}


def _extract_training(config: Mapping[str, Any]) -> dict[str, Any] | None:
    return {**config["training"], **config["objective"]} if config else None


def _compare_code(study: Study, fingerprint: StudyFingerprint | None, report: Path) -> Iterator[ItemComparison]:
    recorded, now = _read_json(report / "code.json"), code(study)
    for name in {**recorded, **now}:
        was = recorded.get(name)
        if was is None and study.has_user_model and name == study.spec.model.rpartition(":")[0]:
            yield _compare_by_fingerprint(study, fingerprint, name)
        else:
            yield compare_values("code", name, was, now.get(name))


def _compare_by_fingerprint(study: Study, fingerprint: StudyFingerprint | None, name: str) -> ItemComparison:
    """Compare the code of a study's model by the study's own digest, as an older study has no other."""
    same = study.compute_fingerprint().has_same_definition(fingerprint)
    return ItemComparison("code", name, "equal" if same else "different", note="by the study's digest")


def _compare_environments(report: Path) -> Iterator[ItemComparison]:
    recorded, now = _read_json(report / "environment.json"), environment()
    for name in {**recorded, **now}:
        yield compare_values("environment", name, recorded.get(name), now.get(name))


def _list_notes(trial: TrialSummary) -> Iterator[str]:
    if trial.failed_attempts:
        yield (
            f"the trial was recorded after {len(trial.failed_attempts)} failed attempts, the last one: "
            f"{trial.failed_attempts[-1].reason}; it may have gone on from a checkpoint"
        )


def _read_json(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return read
