"""Backfill of a study: its records for MLflow, built from the store and the files of its trials alone.

Times are those that the store and the files hold, so that a second backfill changes nothing. Runs that MLflow has are
found again, and a metric point that it has is not added a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, get_args
from zipfile import BadZipFile

import optuna
from optuna.trial import FrozenTrial

from pipelines.recording.records import (
    MLFLOW_MODEL,
    StudyOutcome,
    build_epochs_recorded,
    build_retraining_finished,
    build_study_closed,
    build_study_opened,
    build_trial_finished,
    write_mlflow_model,
)
from pipelines.search.space_evolution import list_generations, read_changes
from pipelines.search.trial_summaries import (
    PAUSED,
    TrialSummary,
    find_best,
    is_paused,
    select_kept,
    summarize_trials,
)
from pipelines.selection.ensemble import explain_ensemble
from pipelines.selection.evaluate import read_test_scores
from pipelines.selection.finalists import AUTO, ENSEMBLE, REFIT, count_folds, explain_finalists, rank_finalists
from pipelines.selection.model_locations import is_ensembled, is_refitted
from pipelines.selection.refit import COMPARISON, explain_refit
from pipelines.study.context import StudyContext
from pipelines.training.messages import EpochDone
from pipelines.training.trial_folder import WEIGHTS_FILE, read_epochs, read_result
from tracking.outbox.records import (
    ModelDisplaced,
    Record,
    StudyClosed,
    StudyOpened,
    StudyState,
    TrialPaused,
    TrialStarted,
)
from tracking.store.retrainings import Retraining
from tracking.store.study_queue import StudyRecord

_INTERRUPTED: Final = "nobody works on it; run the same file again to go on"


@dataclass(frozen=True)
class PreviousRecords:
    """Records of a study's last start and of its last end or pause, where the outbox has them."""

    opened: StudyOpened | None
    closed: StudyClosed | None


@dataclass(frozen=True)
class Backfill:
    """Records of a study.

    Attributes:
        trials: number of trials that they describe.
        notes: what is missing in them, and why.
    """

    records: tuple[Record, ...]
    trials: int
    notes: tuple[str, ...]


def backfill_study(
    context: StudyContext,
    record: StudyRecord,
    previous: PreviousRecords,
    storage: optuna.storages.BaseStorage,
    retrainings: Sequence[Retraining] = (),
    *,
    user: str = "",
) -> Backfill | None:
    """Return all records of a study; None where it has not started.

    Args:
        context: the study.
        record: its entry in the queue.
        previous: the records of its start and its end, for their times.
        storage: Optuna's.
        retrainings: all retrainings of its trials.
        user: who submitted it to a service.
    """
    try:
        generations = [
            optuna.load_study(study_name=name, storage=storage) for name in list_generations(storage, context.name)
        ]
    except KeyError:
        return None
    latest = summarize_trials(generations[-1])
    trials = _TrialBackfill(context, latest)
    rows = [
        row for pair in zip(generations, [None, *generations], strict=False) for row in trials.backfill_ended(*pair)
    ]
    rows += trials.backfill_running(generations[-1])
    count = sum(isinstance(row, TrialStarted) for row in rows)
    opened = _build_opened(context, record, previous.opened, rows, user)
    displaced = [ModelDisplaced(context.name, trial.number) for trial in latest if trials.is_displaced(trial)]
    rows += trials.backfill_retrainings(retrainings)
    end = _build_closed(context, find_outcome(context, record, latest, retrainings), latest, previous.closed)
    # Where no record has the time, the last end of a trial stands in: it is the same in every backfill.
    end = replace(end, finished_ms=end.finished_ms or trials.latest_ms or opened.started_ms)
    return Backfill((opened, *rows, *displaced, end), count, tuple(trials.notes))


class _TrialBackfill:
    """Records of a study's trials, in the order in which the trials ended.

    Args:
        context: the study.
        latest: its trials in the latest generation of its space.

    Attributes:
        latest_ms: end of the last trial or retraining.
        notes: what is missing, and why.
    """

    def __init__(self, context: StudyContext, latest: Sequence[TrialSummary]) -> None:
        self._context = context
        self._home = context.home
        self._folds, self._seeds = context.summary.folds, context.spec.training.seeds
        self._latest = latest
        self._kept = {trial.number for trial in select_kept(latest, context.objective, context.spec.models_kept)}
        self._ranked = {trial.number for trial in latest if trial.state == "complete" and trial.fits}
        self.latest_ms = 0
        self.notes: list[str] = []

    def is_displaced(self, trial: TrialSummary) -> bool:
        """Return whether a trial's model may have been kept once, and is not now."""
        return trial.state == "complete" and not self._keeps_model(trial.number)

    def _keeps_model(self, number: int) -> bool:
        """Return whether a trial's model is kept; one outside of today's space keeps the model that it has."""
        if number in self._ranked:
            return number in self._kept
        return (self._home.locate_trial(self._context.name, number) / MLFLOW_MODEL).exists()

    def backfill_ended(self, generation: optuna.Study, before: optuna.Study | None) -> Iterator[Record]:
        """Yield the records of the trials that ended in a generation of the space, or paused, with the one before."""
        objective = self._context.objective
        frozen = {trial.number: trial for trial in generation.get_trials(deepcopy=False)}
        ended = [trial for trial in summarize_trials(generation) if trial.has_ended]
        # Trials below this number were carried over; the generation that trained them has their records.
        carried = changes[-1].before if (changes := read_changes(generation)) else 0
        best = find_best([trial for trial in ended if trial.number < carried], objective)
        paused = (
            {trial.number: trial for trial in before.get_trials(deepcopy=False) if is_paused(trial)} if before else {}
        )
        for trial in ended:
            if trial.number in paused:  # the change of the space ended it
                yield from self._backfill_trial(trial, paused[trial.number], frozen[trial.number], best)
        new = [trial for trial in ended if trial.number >= carried]
        for trial in sorted(new, key=lambda each: (_read_end_ms(frozen[each.number]), each.number)):
            best = find_best([best, trial] if best else [trial], objective)
            yield from self._backfill_trial(trial, frozen[trial.number], frozen[trial.number], best)

    def backfill_running(self, generation: optuna.Study) -> Iterator[Record]:
        """Yield the records of the trials that have not ended."""
        frozen = {trial.number: trial for trial in generation.get_trials(deepcopy=False)}
        for trial in summarize_trials(generation):
            if not trial.has_ended:
                yield from self._backfill_start(trial, frozen[trial.number])
            if trial.state == "paused" and trial.value is not None:
                yield TrialPaused(self._context.name, trial.number, trial.value, trial.reason)

    def backfill_retrainings(self, retrainings: Sequence[Retraining]) -> Iterator[Record]:
        """Yield the records of retrainings, in the order in which they ended."""
        params = {trial.number: trial.params for trial in self._latest}
        for each in sorted(retrainings, key=lambda retraining: retraining.ended_ms):
            # A decision on ensemble or refit is no training, and has no run.
            is_model = each.name == ENSEMBLE and is_ensembled(self._context.study, self._home, each.number)
            if each.name in (COMPARISON, AUTO) or (each.name == ENSEMBLE and not is_model) or each.number not in params:
                continue
            study, number = each.study, each.number
            folder = self._home.locate_retraining(study, number, each.name)
            yield TrialStarted(study, number, dict(params[number]), each.started_ms, retraining=each.name)
            folds = count_folds(each.name, self._folds)
            yield from build_epochs_recorded(study, number, read_epochs(folder), folds, retraining=each.name)
            if folds > 1:
                mean = self._read_mean(folder, f"{each.name} of trial {number}")
                yield from build_epochs_recorded(study, number, mean, folds, mean=True, retraining=each.name)
            if each.name in (REFIT, ENSEMBLE):
                write_mlflow_model(folder, self._home.locate_data(study), overwrite=False)
            self.latest_ms = max(self.latest_ms, each.ended_ms)
            keeps_model = each.name in (REFIT, ENSEMBLE) and each.state == "complete"
            yield build_retraining_finished(each, self._home, keeps_model=keeps_model)

    def _backfill_start(self, trial: TrialSummary, frozen: FrozenTrial) -> Iterator[Record]:
        study = self._context.name
        yield TrialStarted(study, trial.number, dict(trial.params), _to_ms(frozen.datetime_start))
        yield from build_epochs_recorded(study, trial.number, self._read_epochs(trial), self._folds, self._seeds)

    def _backfill_trial(
        self, trial: TrialSummary, began: FrozenTrial, ended: FrozenTrial, best: TrialSummary | None
    ) -> Iterator[Record]:
        yield from self._backfill_start(trial, began)
        if (pause := ended.user_attrs.get(PAUSED)) is not None:
            reason = pause["reason"] or self._explain_pause(trial, pause["epochs"])
            yield TrialPaused(self._context.name, trial.number, pause["value"], reason)
        if self._folds * self._seeds > 1:
            mean = self._read_mean(self._locate(trial), f"trial {trial.number}")
            yield from build_epochs_recorded(self._context.name, trial.number, mean, self._folds, mean=True)
        keeps = trial.state == "complete" and self._keeps_model(trial.number)
        if keeps:
            self._write_model(trial)
        ended_ms = _read_end_ms(ended)
        self.latest_ms = max(self.latest_ms, ended_ms)
        best_so_far = best.value if best else None
        yield build_trial_finished(
            self._context, trial, keeps_model=keeps, best_so_far=best_so_far, finished_ms=ended_ms
        )

    def _explain_pause(self, trial: TrialSummary, epochs: int | None) -> str:
        """Return the reason of a trial's last pause, which the store does not keep once the trial has gone on."""
        read = self._read_epochs(trial)
        return f"paused after epoch {epochs} of {read[0].of}" if epochs and read else "paused"

    def _read_epochs(self, trial: TrialSummary) -> Sequence[EpochDone]:
        """Return the epochs that a trial reported; where their file is lost, those of its result."""
        epochs = read_epochs(self._locate(trial))
        if not epochs and self._folds * self._seeds == 1:
            epochs = self._read_mean(self._locate(trial), f"trial {trial.number}")
        if not epochs and trial.state == "complete":
            self.notes.append(f"trial {trial.number}: its epochs are not in its folder, and its curve stays empty")
        return epochs

    def _read_mean(self, folder: Path, name: str) -> tuple[EpochDone, ...]:
        """Return the curve in the result of a trial or a retraining: with folds, the mean over them."""
        try:
            result = read_result(folder)
        except (ValueError, TypeError, KeyError) as error:
            self.notes.append(f"{name}: its result cannot be read: {error}")
            return ()
        return result.epochs if result else ()

    def _locate(self, trial: TrialSummary) -> Path:
        return self._home.locate_trial(self._context.name, trial.number)

    def _write_model(self, trial: TrialSummary) -> None:
        folder = self._home.locate_trial(self._context.name, trial.number)
        try:
            write_mlflow_model(folder, self._home.locate_data(self._context.name), overwrite=False)
        # One broken file costs its model, not the backfill.
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            self.notes.append(f"trial {trial.number}: its model cannot be read: {error}")
        # A fleet writes weights only, and the kept models are written from them when the study ends.
        if not (folder / MLFLOW_MODEL).exists() and not (folder / WEIGHTS_FILE).exists():
            self.notes.append(f"trial {trial.number}: its model is not in its folder, and its run gets none")


def _build_opened(
    context: StudyContext, record: StudyRecord, previous: StudyOpened | None, rows: Sequence[Record], user: str
) -> StudyOpened:
    first_ms = min([row.started_ms for row in rows if isinstance(row, TrialStarted)], default=None)
    # A study that continued after a pause was opened again after its first trials.
    is_first = previous is not None and (first_ms is None or previous.started_ms <= first_ms)
    started_ms = previous.started_ms if previous is not None and is_first else record.created_ms
    return build_study_opened(context, started_ms=started_ms, user=user)


def find_outcome(
    context: StudyContext, record: StudyRecord, trials: Sequence[TrialSummary], retrainings: Sequence[Retraining]
) -> StudyOutcome:
    """Return the state of a study: ended, paused, or interrupted because its supervisor was killed."""
    # A study that is still "running" here was left by a supervisor that was killed.
    is_at_rest = record.state in get_args(StudyState) and record.state != "running"
    state: StudyState = record.state if is_at_rest else "paused"  # type: ignore[assignment]
    reason = record.reason if is_at_rest else _INTERRUPTED
    study, home, best = context.study, context.home, find_best(trials, context.objective)
    if state != "finished":
        return StudyOutcome(state, reason, best)
    best = next((trial for trial in trials if trial.number == record.winner), best)
    is_ensemble = best is not None and is_ensembled(study, home, best.number)
    is_refit = best is not None and not is_ensemble and is_refitted(study, home, best.number)
    return StudyOutcome(
        state,
        reason,
        best,
        read_test_scores(study, home, best.number) if best else {},
        rank_finalists(trials, retrainings, context.spec.selection, context.objective),
        ENSEMBLE if is_ensemble else REFIT if is_refit else "",
        explain_refit(retrainings, best.number, is_refitted=is_refit) if best and study.spec.selection.refit else "",
        explain_ensemble(retrainings, best.number, is_delivered=is_ensemble)
        if best and study.spec.selection.ensemble
        else "",
        explain_finalists(retrainings, context.spec.selection),
    )


def _build_closed(
    context: StudyContext, outcome: StudyOutcome, trials: Sequence[TrialSummary], previous: StudyClosed | None
) -> StudyClosed:
    """Return the record of the study's end; its time is 0 where no previous record has it."""
    closed = build_study_closed(context, outcome, trials, finished_ms=0)
    if previous is None or (previous.state, previous.winner) != (outcome.state, closed.winner):
        return closed
    return replace(closed, finished_ms=previous.finished_ms, test=closed.test or previous.test)


def _read_end_ms(trial: FrozenTrial) -> int:
    return _to_ms(trial.datetime_complete)


def _to_ms(at: datetime | None) -> int:
    if at is None:
        raise AssertionError("Optuna stores the start and the end of a trial")
    return int(at.timestamp() * 1000)
