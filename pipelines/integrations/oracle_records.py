"""Queue entry and MLflow records of a study that a KerasTuner tuner runs.

In the queue its name is `keras_tuner/<name>`, so that it is listed with the others, and one process alone holds it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from pipelines.integrations.oracle_names import make_queue_name, read_goal
from pipelines.search.trial_summaries import TrialSummary, count_by_state, find_best
from pipelines.spec.schema import SearchSpec
from pipelines.study.objective import Objective
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from search_spaces.values import Value
from tracking.mlflow.sink import make_home_sink_factory
from tracking.outbox.dispatcher import OutboxDispatcher
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import (
    EpochsRecorded,
    ParametersDrawn,
    Record,
    StudyClosed,
    StudyOpened,
    StudyState,
    TrialFinished,
    TrialStarted,
)
from tracking.store.database import Store
from tracking.store.processes import identify_process
from tracking.store.study_queue import StudyQueue
from tracking.store.tables import now_ms

# Chosen, as for the study of a study file.
_FLUSH_S = 120.0
# A day, because nothing renews this lease; a holder that is seen to be dead loses it at once.
_LEASE_TTL_S = 86_400.0


class OracleLease:
    """Lease on a tuner's study in the queue while a process searches it."""

    def __init__(self, study: str, objective: Objective, trials: int, store: Store) -> None:
        """Submit the study, or continue it.

        Raises:
            InputError: if it was started with another objective.
            StudyBusyError: if another process searches it.
        """
        self._name = make_queue_name(study)
        self._objective = objective
        self._trials = trials
        self._queue = StudyQueue(store)
        known = self._queue.find(self._name)
        goal = read_goal(known) if known else None
        if goal and goal[0] != objective:
            before = f"{goal[0].direction} {goal[0].metric}"
            message = f"was started to {before}, and not to {objective.direction} {objective.metric}"
            raise InputError(f'study "{study}" {message}; take another name')
        document = json.dumps({"metric": objective.metric, "direction": objective.direction, "trials": trials})
        # The name stands in for the digest: the number of trials may grow, and is amended.
        self._queue.enqueue(self._name, document, self._name)
        self._queue.amend(self._name, document, self._name)
        # A cell of a notebook that is run again makes a second oracle in the process that holds the first.
        is_mine = known is not None and known.owner == identify_process()
        self._lease = None if is_mine else self._queue.claim(self._name, identify_process(), _LEASE_TTL_S)
        self._queue.set_state(self._name, "running")
        self._is_held = True

    def record_progress(self, trials: Sequence[TrialSummary]) -> None:
        """Record the state of the study in the queue."""
        best = find_best(trials, self._objective)
        counts = count_by_state(trials)
        value = best.value if best else None
        self._queue.set_result(self._name, winner=best.number if best else None, best_value=value, counts=counts)

    def release(self, trials: Sequence[TrialSummary], *, is_finished: bool = False) -> None:
        """Record the end of the search, and release the study to other processes; safe to call twice.

        Args:
            trials: the study's trials.
            is_finished: whether no trial is left to try although there were fewer than the limit.
        """
        if not self._is_held:
            return
        self._is_held = False
        ended = sum(trial.has_ended for trial in trials)
        self.record_progress(trials)
        state: StudyState = "finished" if is_finished or ended >= self._trials else "paused"
        self._queue.set_state(self._name, state, f"{ended} trials")
        if self._lease is not None:
            self._queue.release(self._lease)


class OracleRecorder:
    """Recorder of one study: adds records to the outbox, and delivers them while it is open."""

    def __init__(self, study: str, objective: Objective, spec: SearchSpec, home: Home, store: Store) -> None:
        self._study = study
        self._objective = objective
        self._spec = spec
        self._home = home
        self._store = store
        self._outbox = Outbox(store)
        self._delivery: OutboxDispatcher | None = None

    def record_start(self, parameters: Sequence[str]) -> None:
        """Record the start of the study, unless it is recorded, and start the delivery."""
        if self._delivery is not None:
            return
        opened = StudyOpened(
            study=self._study,
            experiment=self._study,
            metric=self._objective.metric,
            direction=self._objective.direction,
            parameters=tuple(dict.fromkeys(parameters)),
            started_ms=now_ms(),
            artifacts="",
            dataset_name=self._study,
            dataset_source="",
            dataset_digest="",  # only the tuner has the data
            dataset_rows={},
            tags={"model": "keras_tuner", "sampler": self._spec.sampler, "pruner": self._spec.pruner},
        )
        self._outbox.add([opened])
        self._delivery = OutboxDispatcher(
            self._store,
            make_home_sink_factory(self._home.folder, os.environ, namespace=self._store.identity),
            study=self._study,
        )
        self._delivery.start()

    def record_trial_start(self, number: int, values: Mapping[str, Value]) -> None:
        """Record the start of a trial, with the values that are known."""
        self._outbox.add([TrialStarted(self._study, number, dict(values), now_ms())])

    def record_trial_end(
        self,
        trial: TrialSummary,
        epochs: Sequence[tuple[int, int, Mapping[str, float]]],
        trials: Sequence[TrialSummary],
    ) -> None:
        """Record a trial's end; `trials` are all so far."""
        if (state := trial.end) is None:
            raise ValueError(f"trial {trial.number} has not ended")
        best = find_best(trials, self._objective)
        rows: list[Record] = [ParametersDrawn(self._study, trial.number, dict(trial.params))]
        if epochs:
            rows.append(EpochsRecorded(self._study, trial.number, tuple(epochs)))
        metrics = {f"best_{name}": value for name, value in trial.metrics.items()}
        if trial.best_epoch is not None:
            metrics["best_epoch"] = float(trial.best_epoch)
        rows.append(
            TrialFinished(
                study=self._study,
                number=trial.number,
                state=state,
                value=trial.value,
                metrics=metrics,
                reason=trial.reason,
                finished_ms=now_ms(),
                folder="",
                best_so_far=best.value if best else None,
            )
        )
        self._outbox.add(rows)

    def record_end(self, trials: Sequence[TrialSummary]) -> None:
        """Record the study's end, and wait until MLflow has everything, for a while."""
        if self._delivery is None:
            return
        best = find_best(trials, self._objective)
        closed = StudyClosed(
            study=self._study,
            state="finished" if best else "failed",
            reason=f"{len(trials)} trials",
            finished_ms=now_ms(),
            winner=best.number if best else None,
            best_value=best.value if best else None,
            trials=count_by_state(trials),
            artifacts="",
        )
        self._outbox.add([closed])
        self.stop()

    def stop(self) -> None:
        """Deliver the waiting records, for a while, and end the delivery."""
        if self._delivery is not None:
            self._delivery.stop(_FLUSH_S)
            self._delivery = None
